package scenario

import (
	"testing"
	"time"

	"github.com/transload/transload/internal/drill"
	"github.com/transload/transload/internal/redistest"
)

// TestPrimaryFails is the plan's first scenario: the sentinels notice, agree,
// elect one of them and promote a replica; the other replica follows it; the app
// reads on meanwhile and writes again by itself; little is lost; and the old
// primary comes back as a replica.
func TestPrimaryFails(t *testing.T) {
	t.Parallel()
	set := redistest.Sentinel(t, redistest.Options{DownAfter: 4 * time.Second}) // long enough to tell reads that go on
	a := run(t, set.Env("REDIS"))
	old := set.Nodes[0]
	a.hurt(old.Kill)

	var last time.Time
	for _, name := range []string{drill.PingLost, drill.ObjectivelyDown, drill.LeaderElected, drill.Promoted} {
		m := a.moment(name)
		t.Logf("%6d ms  %s %s", m.At.Sub(a.fault).Milliseconds(), name, m.Addr)
		if m.At.Before(last) {
			t.Errorf("%s came before what should lead to it", name)
		}
		last = m.At
	}
	primary, away := a.moment(drill.Promoted).Addr, last.Sub(a.fault)
	a.answeredSince(last) // writers and readers alike, with nobody's help
	for _, n := range set.Nodes[1:] {
		if n.Addr() != primary {
			isReplicaOf(t, n, primary)
		}
	}
	a.moment(drill.Switched) // clients are told by the sentinels too
	if err := old.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	isReplicaOf(t, old, primary)

	writes, reads, loss := a.end()
	if reads.Failed() > 0 || reads.OutageMS >= float64(away.Milliseconds()) {
		t.Errorf("got read errors %v and an outage of %.0f ms; want reads that go on while there is no primary, for %v", reads.Samples, reads.OutageMS, away)
	}
	if age := a.fault.Sub(loss.Oldest); loss.Lost > 0 && age > time.Second {
		t.Errorf("lost %d writes, the oldest acknowledged %v before the fault; want only what was under way to the replicas", loss.Lost, age)
	}
	if writes.Late > 0 {
		t.Errorf("%d writes outlived their own deadline", writes.Late)
	}
}
