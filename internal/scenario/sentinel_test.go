package scenario

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/transload/transload/internal/redistest"
)

// TestSentinelFails is the plan's third scenario, with each sentinel in turn: the
// others notice and could still agree on a failover, the app sees nothing of it,
// and the sentinel comes back into the round.
func TestSentinelFails(t *testing.T) {
	t.Parallel()
	set := redistest.Sentinel(t, redistest.Options{})
	a := run(t, set.Env("REDIS"))
	for i, s := range set.Sentinels {
		a.hurt(s.Kill)
		a.answeredSince(time.Now()) // nobody waits for the dead one
		other := set.Sentinels[(i+1)%len(set.Sentinels)]
		redistest.Eventually(t, within, func() error {
			list := redistest.Do(t, other, "SENTINEL", "SENTINELS", "freight-master")
			if !strings.Contains(fmt.Sprint(list), "s_down") {
				return fmt.Errorf("%s has not noticed that %s is down", other.Addr(), s.Addr())
			}
			return nil
		})
		if said := redistest.Do(t, other, "SENTINEL", "CKQUORUM", "freight-master"); !strings.HasPrefix(fmt.Sprint(said), "OK 2 usable") {
			t.Errorf("with %s down: got %v; want that two sentinels can agree", s.Addr(), said)
		}
		if err := s.Restart(t.Context()); err != nil {
			t.Fatal(err)
		}
		redistest.Eventually(t, within, func() error {
			v, err := other.Do(t.Context(), "SENTINEL", "CKQUORUM", "freight-master")
			if err == nil && !strings.HasPrefix(fmt.Sprint(v), "OK 3 usable") {
				err = fmt.Errorf("%v", v)
			}
			return err
		})
	}
	a.noFailover(set)
	writes, reads, loss := a.end()
	if n := writes.Failed() + reads.Failed(); n > 0 || loss.Lost > 0 {
		t.Errorf("got %d errors and %d lost writes; want none: %v %v", n, loss.Lost, writes.Samples, reads.Samples)
	}
}
