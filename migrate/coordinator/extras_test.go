package coordinator

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/transload/transload/internal/protocol"
	"github.com/transload/transload/migrate"
)

// TestForeignKeys begins a migration to a target that holds keys already.
func TestForeignKeys(t *testing.T) {
	for told, want := range map[TargetKeys]string{KeepKeys: "theirs", DeleteKeys: ""} {
		t.Run(string(told), func(t *testing.T) {
			t.Parallel()
			s := pair(t)
			seed(t, s.source, 10)
			dst := client(t, s.target)
			dst.Set(t.Context(), "foreign", "theirs", 0)
			dst.Set(t.Context(), "sess:{3}", "stale", 0)
			alone := func(o *Options) { o.NoMembers = true }

			refused := coordinate(t, s, alone)
			if err := refused.Shadow(t.Context()); !isRefusal(err, "foreign keys") {
				t.Fatalf("not told: got %v; want a refusal", err)
			}
			if p := phaseOf(t, refused); p != protocol.Off {
				t.Errorf("after the refusal: got phase %v; want off", p)
			}
			c := coordinate(t, s, alone, func(o *Options) { o.TargetKeys = told })
			stop := shadowing(t, c)
			waitShadow(t, c)
			stop()
			again := coordinate(t, s, alone) // is not told any more
			shadowing(t, again)
			waitShadow(t, again)
			if got := dst.Get(t.Context(), "foreign").Val(); got != want {
				t.Errorf("foreign key: got %q; want %q", got, want)
			}
			if got := dst.Get(t.Context(), "sess:{3}").Val(); got != "value 3" {
				t.Errorf("key that both have: got %q; want the source's", got)
			}
		})
	}
}

func isRefusal(err error, gate string) bool {
	r, ok := errors.AsType[*Refusal](err)
	return ok && r.Gate == gate
}

// TestExtras plants keys on the mirror that the authority does not have.
func TestExtras(t *testing.T) {
	t.Parallel()
	s := pair(t)
	seed(t, s.source, 10)
	a := startApp(t, s, 1, 0)
	c := coordinate(t, s)
	stop := shadowing(t, c)
	waitShadow(t, c)
	dst := client(t, s.target)
	dst.Set(t.Context(), "planted:1", "x", 0) // named by the target's feed
	eventually(t, func() bool { return dst.Exists(t.Context(), "planted:1").Val() == 0 })
	stop()
	for i := range 500 {
		dst.Set(t.Context(), fmt.Sprint("planted:", i), "x", 0) // found by the walk
	}
	shadowing(t, coordinate(t, s))
	eventually(t, func() bool { return dst.Exists(t.Context(), "planted:1", "planted:499").Val() == 0 })
	if n := dst.Exists(t.Context(), "sess:{1}", "h:9").Val(); n != 2 {
		t.Errorf("got %d of 2 keys that both have", n)
	}
	_ = a
}

// TestCold moves a workload that begins cold: nothing of it is carried, and what
// the taking side has from an earlier time is gone when it takes it again.
func TestCold(t *testing.T) {
	t.Parallel()
	s := pair(t)
	ws := []migrate.Workload{{Name: "cache", Prefixes: []string{"cache:"}, Cold: true}}
	m := openMember(t, s, ws)
	c := coordinate(t, s)
	stop := shadowing(t, c)
	waitShadow(t, c)
	stop()
	set(t, m, "cache:{a}", "old")
	set(t, m, "other:{a}", "carried")
	if _, err := c.Cutover(t.Context(), CutoverRequest{To: []int{100}}); err != nil {
		t.Fatal(err)
	}
	if got := m.Get(t.Context(), "cache:{a}").Val() + m.Get(t.Context(), "other:{a}").Val(); got != "carried" {
		t.Errorf("on the target: got %q; want the cache empty and the rest carried", got)
	}
	if _, err := c.Rollback(t.Context(), RollbackRequest{}); err != nil {
		t.Fatal(err)
	}
	if got := m.Get(t.Context(), "cache:{a}").Val(); got != "" {
		t.Errorf("back on the source: got %q; want nothing, for it is older than what was written since", got)
	}
}

func openMember(t *testing.T, s sides, ws []migrate.Workload) *migrate.Client {
	t.Helper()
	m, err := migrate.Open(context.Background(), migrate.Options{Source: s.source, Target: s.target, Workloads: ws})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = m.Close() })
	if err := m.Ready(t.Context()); err != nil {
		t.Fatal(err)
	}
	return m
}

func set(t *testing.T, c *migrate.Client, key, value string) {
	t.Helper()
	if err := c.Set(t.Context(), key, value, 0).Err(); err != nil {
		t.Fatal(err)
	}
}
