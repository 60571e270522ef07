package topology_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/transload/transload/internal/redisproc"
	"github.com/transload/transload/internal/redistest"
	"github.com/transload/transload/topology"
)

// A writer's longest time without a write, and when it ended.
type gap struct {
	length time.Duration
	until  time.Time
}

// writers write to one key each until stop is called, which returns the longest
// gap of all and the errors seen.
func writers(t *testing.T, c *topology.Client, n int) (stop func() (gap, []string)) {
	ctx, cancel := context.WithCancel(t.Context())
	var mu sync.Mutex
	var worst gap
	var errs []string
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() {
			key, last := fmt.Sprintf("failover:{%d}", i), time.Now()
			for ctx.Err() == nil {
				err := c.Incr(ctx, key).Err()
				now := time.Now()
				mu.Lock()
				if err != nil && ctx.Err() == nil {
					errs = append(errs, err.Error())
				}
				if d := now.Sub(last); err == nil && d > worst.length {
					worst = gap{d, now}
				}
				mu.Unlock()
				if err == nil {
					last = now
				}
				time.Sleep(2 * time.Millisecond)
			}
		})
	}
	t.Cleanup(func() { cancel(); wg.Wait() })
	return func() (gap, []string) {
		cancel()
		wg.Wait()
		slices.Sort(errs)
		return worst, slices.Compact(errs)
	}
}

// promotion waits until another node than old says that it is a primary, and
// returns which and when.
func promotion(t *testing.T, set *redisproc.Set, old *redisproc.Server) (*redisproc.Server, time.Time) {
	t.Helper()
	var to *redisproc.Server
	redistest.Eventually(t, 60*time.Second, func() error {
		for _, n := range set.Nodes {
			if n == old {
				continue
			}
			v, err := n.Do(t.Context(), "ROLE")
			if list, ok := v.([]any); err == nil && ok && list[0] == "master" {
				to = n
				return nil
			}
		}
		return fmt.Errorf("no replica was promoted")
	})
	return to, time.Now()
}

// heard records events.
type heard struct {
	mu     sync.Mutex
	events []topology.Event
}

func (h *heard) option() topology.Option {
	return topology.WithEvents(func(e topology.Event) {
		h.mu.Lock()
		defer h.mu.Unlock()
		h.events = append(h.events, e)
	})
}

func (h *heard) kinds() string {
	h.mu.Lock()
	defer h.mu.Unlock()
	var b strings.Builder
	for _, e := range h.events {
		fmt.Fprintf(&b, "%s %s %s %v %v\n", e.At.Format("05.000"), e.Kind, e.Addr, e.Duration.Round(time.Millisecond), e.Err)
	}
	return b.String()
}

// TestFailover measures how long after the server side's own promotion writes go
// on. The bound is generous: the tests of others run beside it.
func TestFailover(t *testing.T) {
	t.Parallel()
	const bound = 3 * time.Second
	freeze := func(t *testing.T, s *redisproc.Server) {
		if err := s.Freeze(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { s.Thaw() })
	}
	kill := func(t *testing.T, s *redisproc.Server) {
		if err := s.Kill(); err != nil {
			t.Fatal(err)
		}
	}
	for name, fault := range map[string]func(t *testing.T, set *redisproc.Set, primary *redisproc.Server){
		"killed": func(t *testing.T, _ *redisproc.Set, p *redisproc.Server) { kill(t, p) },
		"hung":   func(t *testing.T, _ *redisproc.Set, p *redisproc.Server) { freeze(t, p) },
		"killed, and a sentinel hung": func(t *testing.T, set *redisproc.Set, p *redisproc.Server) {
			freeze(t, set.Sentinels[0])
			kill(t, p)
		},
		"killed, and a sentinel dead": func(t *testing.T, set *redisproc.Set, p *redisproc.Server) {
			kill(t, set.Sentinels[0])
			kill(t, p)
		},
		"planned": func(t *testing.T, set *redisproc.Set, _ *redisproc.Server) {
			redistest.Do(t, set.Sentinels[1], "SENTINEL", "FAILOVER", "freight-master")
		},
	} {
		t.Run(name, func(t *testing.T) {
			set := redistest.Sentinel(t, redistest.Options{DownAfter: time.Second})
			var h heard
			c := open(t, set.Env("REDIS"), []topology.Option{h.option()})
			roundTrip(t, c)
			stop := writers(t, c, 20)
			old := set.Primaries(t.Context())[0]
			time.Sleep(300 * time.Millisecond)
			start := time.Now()
			fault(t, set, old)
			to, at := promotion(t, set, old)
			redistest.Eventually(t, 30*time.Second, func() error {
				v, err := to.Do(t.Context(), "GET", "failover:{0}")
				if s, _ := v.(string); err != nil || s == "" {
					return fmt.Errorf("got %v, %v", v, err)
				}
				if !strings.Contains(h.kinds(), "failover_ended") {
					return fmt.Errorf("no failover ended:\n%s", h.kinds())
				}
				return nil
			})
			time.Sleep(300 * time.Millisecond)
			worst, errs := stop()
			t.Logf("promoted after %v; writes were away for %v, until %v after the promotion; errors %v\n%s",
				at.Sub(start).Round(time.Millisecond), worst.length.Round(time.Millisecond), worst.until.Sub(at).Round(time.Millisecond), errs, h.kinds())
			if late := worst.until.Sub(at); late > bound {
				t.Errorf("writes went on %v after the promotion; want less than %v", late, bound)
			}
			if len(errs) != 0 {
				t.Errorf("got errors %v; want none", errs)
			}
		})
	}
}

// TestClusterFailover is TestFailover on a cluster, for the keys of the shard
// whose primary is gone.
func TestClusterFailover(t *testing.T) {
	t.Parallel()
	const bound = 3 * time.Second
	for name, fault := range map[string]func(s *redisproc.Server) error{
		"killed": (*redisproc.Server).Kill,
		"hung":   (*redisproc.Server).Freeze,
	} {
		t.Run(name, func(t *testing.T) {
			set := redistest.Cluster(t, redistest.Options{})
			var h heard
			c := open(t, set.Env("REDIS"), []topology.Option{h.option()})
			roundTrip(t, c)
			node, err := c.MasterFor(t.Context(), "failover:{0}")
			if err != nil {
				t.Fatal(err)
			}
			old := set.Node(node.Options().Addr)
			replica := set.Node(replicaOf(t, set, old))
			stop := writers(t, c, 20)
			time.Sleep(300 * time.Millisecond)
			start := time.Now()
			if err := fault(old); err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { old.Thaw() })
			at := promoted(t, replica)
			redistest.Eventually(t, 30*time.Second, func() error {
				if !strings.Contains(h.kinds(), "failover_ended") {
					return fmt.Errorf("no failover ended:\n%s", h.kinds())
				}
				return nil
			})
			time.Sleep(500 * time.Millisecond)
			worst, errs := stop()
			t.Logf("promoted after %v; writes were away for %v, until %v after the promotion; errors %v\n%s",
				at.Sub(start).Round(time.Millisecond), worst.length.Round(time.Millisecond), worst.until.Sub(at).Round(time.Millisecond), errs, h.kinds())
			if late := worst.until.Sub(at); late > bound {
				t.Errorf("writes went on %v after the promotion; want less than %v", late, bound)
			}
		})
	}
}

// replicaOf returns the address of a node's only replica.
func replicaOf(t *testing.T, set *redisproc.Set, primary *redisproc.Server) string {
	t.Helper()
	for _, n := range set.Nodes {
		v, err := n.Do(t.Context(), "ROLE")
		if err != nil {
			t.Fatal(err)
		}
		if r, ok := v.([]any); ok && r[0] == "slave" && strings.HasSuffix(primary.Addr(), fmt.Sprintf(":%v", r[2])) {
			return n.Addr()
		}
	}
	t.Fatalf("%s has no replica", primary.Addr())
	return ""
}

// promoted waits until a replica says that it is a primary, and returns when.
func promoted(t *testing.T, n *redisproc.Server) time.Time {
	t.Helper()
	redistest.Eventually(t, 60*time.Second, func() error {
		v, err := n.Do(t.Context(), "ROLE")
		if r, ok := v.([]any); err != nil || !ok || r[0] != "master" {
			return fmt.Errorf("%s was not promoted: %v, %v", n.Addr(), v, err)
		}
		return nil
	})
	return time.Now()
}
