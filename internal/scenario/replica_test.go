package scenario

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/transload/transload/internal/redistest"
)

// TestReplicaFails is the plan's second scenario: no failover and no write error,
// reads go on at the other replica, one line tells people of it, and after its
// restart the replica takes reads again.
func TestReplicaFails(t *testing.T) {
	set := redistest.Sentinel(t, redistest.Options{})
	a := run(t, set.Env("REDIS"))
	dead, other := set.Nodes[1], set.Nodes[2]
	for _, n := range set.Nodes[1:] {
		takesReads(t, n.Addr(), func() int { return gets(t.Context(), n) })
	}
	a.hurt(dead.Kill)
	a.answeredSince(time.Now())
	takesReads(t, "the other replica", func() int { return gets(t.Context(), other) })
	redistest.Eventually(t, within, func() error {
		list := fmt.Sprint(redistest.Do(t, set.Sentinels[0], "SENTINEL", "REPLICAS", "freight-master"))
		if !strings.Contains(list, "s_down") {
			return fmt.Errorf("the sentinel has not marked the replica as down: %s", list)
		}
		return nil
	})
	redistest.Eventually(t, within, func() error {
		if len(a.log.holding("replica_down")) == 0 {
			return fmt.Errorf("no warning tells of the replica; got %q", a.log.holding(""))
		}
		return nil
	})
	a.answeredSince(time.Now())
	if err := dead.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	isReplicaOf(t, dead, set.Nodes[0].Addr())
	takesReads(t, "the restarted replica", func() int { return gets(t.Context(), dead) })

	a.noFailover(set)
	if lines := a.log.holding("replica_down"); len(lines) != 1 || !strings.Contains(lines[0], dead.Addr()) {
		t.Errorf("got warnings %q; want one, which names %s", lines, dead.Addr())
	}
	writes, reads, loss := a.end()
	if writes.Failed()+reads.Failed() > 0 || loss.Lost > 0 {
		t.Errorf("got write errors %v, read errors %v, %d lost; want none", writes.Samples, reads.Samples, loss.Lost)
	}
}

// takesReads waits until a server's count of reads goes up.
func takesReads(t *testing.T, who string, count func() int) {
	t.Helper()
	before := count()
	redistest.Eventually(t, within, func() error {
		if now := count(); now <= before {
			return fmt.Errorf("%s has answered %d reads, and no more come", who, now)
		}
		return nil
	})
}
