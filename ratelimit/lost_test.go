package ratelimit

import (
	"fmt"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2/server"

	"github.com/transload/transload/internal/redistest"
)

// asking is every way in which a window is asked.
var asking = map[string][]TakeOption{
	"one":              {Only("hourly")},
	"more than a unit": {Only("hourly"), Cost(2)},
	"several":          {},
	"a request":        {Only("hourly"), ReqID("r")},
}

func twoWindows() []Policy {
	return []Policy{{Name: "hourly", Limit: 20, Per: time.Hour}, {Name: "daily", Limit: 100, Per: 24 * time.Hour}}
}

// TestLostCounters: what a server has lost without a fault that anybody saw, by
// eviction, by hand, or in a failover while nobody asked, is told again by who asks next.
func TestLostCounters(t *testing.T) {
	for name, opts := range asking {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, k *kit) {
				l := k.limiter(twoWindows())
				for range 10 {
					k.take(l, "a")
				}
				k.take(l, "a", Only("hourly"))
				time.Sleep(20 * time.Minute)
				k.mini.FlushAll()
				d := k.take(l, "a", opts...)
				cost := 20 - d.Each[0].Remaining - 11
				if d.Source != FromRedis || cost < 1 || cost > 2 || d.Each[0].ResetAfter > 40*time.Minute+time.Second || d.Each[0].ResetAfter < 39*time.Minute {
					t.Errorf("got %+v; want 11 used before, in a window that ends in 40m", d)
				}
				if ttl := k.mini.TTL(l.key("a", 0)); ttl > 40*time.Minute+time.Second || ttl < 39*time.Minute {
					t.Errorf("the counter expires in %v; want 40m", ttl)
				}
			})
		})
	}
}

// TestLostBeforeItIsGivenBack: a counter that has had its limit is lost between the
// count that was too much and its return.
func TestLostBeforeItIsGivenBack(t *testing.T) {
	bubble(t, func(t *testing.T, k *kit) {
		l, other := k.limiter(perMinute(5)), k.limiter(perMinute(5))
		k.fleet(l, other)
		k.granted(l, "a", 4)
		k.take(other, "a")
		k.hook(func(_ *server.Peer, cmd string, _ ...string) bool {
			if cmd == "EVALSHA" {
				k.mini.Del(l.key("a", 0))
			}
			return false
		})
		if d := k.take(l, "a"); d.Allowed || d.Source != FromRedis {
			t.Errorf("got %+v; want it denied, as Redis has counted 6 of 5", d)
		}
		if got := k.counted(l, "a"); got != "5" {
			t.Errorf("got %s counted; want 5", got)
		}
	})
}

// TestGivenBackIsNotLost: a Reset or Refund of another instance is no loss.
func TestGivenBackIsNotLost(t *testing.T) {
	for name, opts := range asking {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, k *kit) {
				l, other := k.limiter(twoWindows()), k.limiter(twoWindows())
				for range 10 {
					k.take(l, "a")
				}
				must(t, other.Reset(t.Context(), "a", Only("hourly")))
				must(t, other.Refund(t.Context(), "a", Only("daily"), Cost(50)))
				if d, err := other.Peek(t.Context(), "a"); err != nil || d.Remaining != 20 || d.ResetAfter != 0 {
					t.Errorf("a peek: got %+v, %v; want all of it, now", d, err)
				}
				for i, s := range k.take(l, "a", opts...).Each {
					if used := s.Limit - s.Remaining; used < 1 || used > 2 || s.ResetAfter > s.Per {
						t.Errorf("policy %d: got %+v; want what was taken since", i, s)
					}
				}
			})
		})
	}
}

// TestServerLosesEverything under three instances, again and again, and answers all the
// while.
func TestServerLosesEverything(t *testing.T) {
	t.Parallel()
	server := redistest.Standalone(t, redistest.Options{})
	const limit = 100
	c := newCrowd(t, []Policy{{Name: "hourly", Limit: limit, Per: time.Hour}}, clients(t, server, 3)...)
	stop := c.run("subject ", 10, 10*time.Millisecond)
	admin := redistest.Client(t, server)
	for range 8 {
		c.grow()
		must(t, admin.FlushAll(t.Context()).Err())
	}
	redistest.Eventually(t, time.Minute, func() error {
		for i := range 10 {
			if d, err := c.ls[0].Peek(t.Context(), fmt.Sprint("subject ", i)); err != nil || d.Allowed {
				return fmt.Errorf("subject %d: got %+v, %v; want it over its limit", i, d, err)
			}
		}
		return nil
	})
	stop()
	c.judge(limit)
}

// grow waits until so many more were asked.
func (c *crowd) grow() {
	c.t.Helper()
	from := c.takes.Load()
	redistest.Eventually(c.t, time.Minute, func() error {
		if n := c.takes.Load() - from; n < 200 {
			return fmt.Errorf("%d more were asked", n)
		}
		return nil
	})
}
