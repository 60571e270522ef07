package coordinator

import (
	"slices"
	"strings"
	"testing"

	"github.com/transload/transload/internal/protocol"
)

// TestAudit moves by way of the coordinator that runs, and reads afterwards who
// did it, for whom, and with which figures.
func TestAudit(t *testing.T) {
	t.Parallel()
	s := pair(t)
	seed(t, s.source, 20)
	startApp(t, s, 1, 20)
	c := coordinate(t, s)
	stop := shadowing(t, c)
	defer stop()
	waitShadow(t, c)
	asker := coordinate(t, s)
	if _, err := asker.Cutover(t.Context(), CutoverRequest{To: []int{10}}); err != nil {
		t.Fatal(err)
	}
	all, err := asker.Events(t.Context(), 100)
	if err != nil {
		t.Fatal(err)
	}
	i := slices.IndexFunc(all, func(e Event) bool { return strings.HasPrefix(e.What, "moved ") })
	if i < 0 {
		t.Fatalf("got %+v; want a line that tells of the move", all)
	}
	e := all[i]
	if e.Side != both || !strings.HasPrefix(e.Who, "coordinator-") || !strings.HasSuffix(e.What, "to 10 %") ||
		e.Why != "cutover, asked for by "+thisProcess() {
		t.Errorf("got %+v; want who moved to 10 %%, and that it was asked for", e)
	}
	for _, figure := range []string{"move", "prepare_ms", "hold_ms", "longest_wait_ms", "keys_compared", "keys_repaired"} {
		if e.Figures[figure] == "" {
			t.Errorf("got figures %v; want %s", e.Figures, figure)
		}
	}
}

func TestGoalText(t *testing.T) {
	for want, percent := range map[string]map[string]int{
		"a, b to 10 %":         {"b": 10, "a": 10},
		"a to 100 %":           {"a": 100},
		"a to 10 %, b to 50 %": {"a": 10, "b": 50},
	} {
		if got := goalText(percent); got != want {
			t.Errorf("got %q; want %q", got, want)
		}
	}
}

// TestDisobey holds what a verb says it waits for against what members lack.
func TestDisobey(t *testing.T) {
	recs := readings{}
	recs[protocol.Source].Record.Epoch, recs[protocol.Source].Record.Phase = 4, protocol.Shadow
	recs[protocol.Target].Record.Epoch, recs[protocol.Target].Record.Phase = 4, protocol.Shadow
	member := func(on bool, epoch uint64, ready bool) *seenMember {
		e := protocol.Entry{Epoch: epoch, Ready: ready}
		return &seenMember{on: [3]bool{protocol.Source: on, protocol.Target: true}, entry: [3]protocol.Entry{protocol.Source: e, protocol.Target: e}}
	}
	l := &lookout{seen: map[string]*seenMember{
		"a": member(true, 3, true), "b": member(true, 3, true), "c": member(true, 4, false), "d": member(false, 4, true), "e": member(true, 4, true),
	}}
	want := "waiting for 1 of 5 to come to the roll of the source: d; " +
		"waiting for 2 of 5 to obey the new record of the source: a, b; " +
		"waiting for 1 of 5 to take leases on both sides: c"
	if got := l.disobey(recs); got != want {
		t.Errorf("got %q; want %q", got, want)
	}
}
