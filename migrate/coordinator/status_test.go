package coordinator

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/transload/transload/internal/protocol"
)

// TestStatus looks at a migration from outside at each of its phases.
func TestStatus(t *testing.T) {
	t.Parallel()
	s := pair(t)
	seed(t, s.source, 50)
	watcher := coordinate(t, s)
	st := status(t, watcher)
	if st.Phase != protocol.Off || st.Coordinator != nil || len(st.NextSteps) == 0 {
		t.Errorf("before: got %+v; want off, nobody leading, and a next step", st)
	}
	startApp(t, s, 2, 20)
	c := coordinate(t, s)
	stop := shadowing(t, c)
	waitShadow(t, c)
	eventually(t, func() bool {
		st = status(t, watcher)
		return st.Sync.Done && len(st.Blockers) == 0
	})
	if st.Phase != protocol.Shadow || len(st.Members) != 2 || !st.Members[0].Ready || st.Feed.UnbrokenSince.IsZero() ||
		st.Coordinator == nil || !strings.HasPrefix(st.Coordinator.About, "shadow on ") || !st.Sides.Target.Healthy {
		t.Errorf("in shadow: got %+v; want two ready members, whole feeds, and who leads", st)
	}
	stop()
	res, err := watcher.Cutover(t.Context(), CutoverRequest{To: []int{10}})
	if err != nil {
		t.Fatal(err)
	}
	st = status(t, watcher)
	if st.LastMove != nil && st.LastMove.LongestWait != res.Moves[0].LongestWait {
		t.Errorf("got a longest wait of %v ms; want %v, as the verb told", st.LastMove.LongestWait, res.Moves[0].LongestWait)
	}
	if st.Phase != protocol.Cutover || st.Percent["sessions"] != 10 || st.LastMove == nil || st.LastMove.HoldMS <= 0 {
		t.Errorf("at 10 %%: got %+v; want the percentage and the last move", st)
	}
	if !slices.ContainsFunc(st.Blockers, func(b string) bool { return strings.Contains(b, "no coordinator runs") }) {
		t.Errorf("got blockers %q; want that no coordinator runs", st.Blockers)
	}
}

func status(t *testing.T, c *Coordinator) Status {
	t.Helper()
	st, err := c.Status(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return st
}

// TestStatusFields holds the JSON against what scripts are promised.
func TestStatusFields(t *testing.T) {
	text, err := json.Marshal(Status{LastMove: &MoveReport{}, Members: []MemberStatus{{}}})
	if err != nil {
		t.Fatal(err)
	}
	var tree map[string]any
	if err := json.Unmarshal(text, &tree); err != nil {
		t.Fatal(err)
	}
	side := "mode healthy version used_memory replicas lag_ms"
	for at, fields := range map[string]string{
		"":             "name phase epoch percent moving sides members sync feed dirty mirror shadow_reads latency last_move blockers next_steps",
		"sides.source": side, "sides.target": side,
		"members.0": "id version epoch lease_ms dirty", "sync": "done keys rate eta_s verified_at", "feed": "unbroken_since",
		"mirror": "written failed dropped lag_ms", "shadow_reads": "compared different",
		"latency.source": "p50_ms p99_ms", "latency.target": "p50_ms p99_ms",
		"last_move": "prepare_ms hold_ms longest_wait_ms keys_compared keys_repaired",
	} {
		node := any(tree)
		for part := range strings.FieldsFuncSeq(at, func(r rune) bool { return r == '.' }) {
			if list, ok := node.([]any); ok {
				node = list[0]
				continue
			}
			node = node.(map[string]any)[part]
		}
		for field := range strings.FieldsSeq(fields) {
			if _, ok := node.(map[string]any)[field]; !ok {
				t.Errorf("%s: no field %q", at, field)
			}
		}
	}
}
