package coordinator

import (
	"encoding/json"
	"errors"
	"testing"
	"time"

	"github.com/transload/transload/internal/protocol"
	"github.com/transload/transload/migrate"
)

// TestPlan reads the workloads off rolls of all kinds.
func TestPlan(t *testing.T) {
	ws := []migrate.Workload{{Name: "w", Prefixes: []string{"w:"}}}
	about, err := json.Marshal(migrate.About{Workloads: ws})
	if err != nil {
		t.Fatal(err)
	}
	member := func(id, plan string, about []byte) protocol.Entry {
		return protocol.Entry{ID: id, Plan: plan, About: about}
	}
	mine := migrate.Plan(ws)
	for name, tt := range map[string]struct {
		roll  []protocol.Entry
		alone bool
		want  func(error) bool
	}{
		"agree":             {[]protocol.Entry{member("a", mine, about), member("b", mine, nil)}, false, nil},
		"disagree":          {[]protocol.Entry{member("a", mine, about), member("b", "other", nil)}, false, func(err error) bool { return errors.Is(err, errDisagree) }},
		"counted otherwise": {[]protocol.Entry{member("a", "other", about)}, false, func(err error) bool { return isRefusal(err, "members") }},
		"untold":            {[]protocol.Entry{member("a", mine, nil)}, false, func(err error) bool { return errors.Is(err, errUntold) }},
		"nobody":            {nil, false, func(err error) bool { return isRefusal(err, "members") }},
		"nobody, and known": {nil, true, nil},
	} {
		t.Run(name, func(t *testing.T) {
			c := &Coordinator{opts: Options{NoMembers: tt.alone, Workloads: ws}}
			p, err := c.planOf(tt.roll)
			if tt.want == nil && (err != nil || p.digest != mine) || tt.want != nil && !tt.want(err) {
				t.Errorf("got %+v, %v", p, err)
			}
		})
	}
}

// TestDisagree begins a migration while two members have different workloads:
// refused while both live, and not held up for ever by one that has died.
func TestDisagree(t *testing.T) {
	t.Parallel()
	s := pair(t)
	startApp(t, s, 1, 0)
	other := openMember(t, s, []migrate.Workload{{Name: "old", Prefixes: []string{"old:"}}})
	c := coordinate(t, s)
	began := time.Now()
	if err := c.Shadow(t.Context()); !isRefusal(err, "members") || time.Since(began) > protocol.SilentFor/2 {
		t.Fatalf("both live: got %v after %v; want a refusal at once", err, time.Since(began))
	}
	if err := other.Close(); err != nil {
		t.Fatal(err)
	}
	dead := protocol.Entry{ID: "dead", Beat: 3, Plan: "other"} // no goodbye
	if _, err := c.sides[protocol.Source].store.Refresh(t.Context(), dead, false, false); err != nil {
		t.Fatal(err)
	}
	shadowing(t, c)
	waitShadow(t, c)
	if st := status(t, c); len(st.Members) != 1 {
		t.Errorf("got members %+v; want the dead one off the roll", st.Members)
	}
}
