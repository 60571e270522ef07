package ratelimit

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strconv"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
)

// TestOutagePolicies tells what is granted of 100 a minute, of which 40 were taken,
// by one of two instances.
func TestOutagePolicies(t *testing.T) {
	for name, tt := range map[string]struct {
		outage Outage
		want   int
	}{
		"local share": {LocalShare, 24}, // 0.8 * 60 left / 2
		"deny":        {Deny, 0},
		"allow":       {Allow, 200},
	} {
		for fault, mode := range map[string]int32{"refused": down, "hanging": hangs, "making no sense": broken} {
			t.Run(name+", "+fault, func(t *testing.T) {
				bubble(t, func(t *testing.T, k *kit) {
					p := perMinute(100)
					p[0].OnOutage = tt.outage
					l, other := k.limiter(p), k.limiter(p)
					k.fleet(l, other)
					k.granted(l, "a", 40)
					k.mode.Store(mode)
					if got := k.granted(l, "a", 200); got != tt.want {
						t.Errorf("got %d granted; want %d", got, tt.want)
					}
					d := k.take(l, "a")
					if d.Source != FromOutage || d.Allowed != (tt.outage == Allow) || !d.Allowed && d.RetryAfter <= 0 {
						t.Errorf("got %+v; want it from the outage", d)
					}
				})
			})
		}
	}
}

// fleet has instances know of each other.
func (k *kit) fleet(ls ...*Limiter) {
	k.t.Helper()
	for range 2 {
		for _, l := range ls {
			must(k.t, l.beat(k.t.Context(), beatHolds))
			l.fleet.next.Store(1 << 62)
		}
	}
}

// TestUnknownSubject: who was not seen before an outage gets a share of the whole, of
// as many instances as there may be.
func TestUnknownSubject(t *testing.T) {
	bubble(t, func(t *testing.T, k *kit) {
		k.mode.Store(down)
		l := k.limiter(perMinute(100), WithInstances(4))
		if got := k.granted(l, "a", 100); got != 20 {
			t.Errorf("got %d granted; want 0.8 * 100 / 4", got)
		}
		time.Sleep(time.Minute)
		if got := k.granted(l, "a", 100); got != 20 {
			t.Errorf("in the next window: got %d granted; want 20", got)
		}
	})
}

func TestGCRAInAnOutage(t *testing.T) {
	bubble(t, func(t *testing.T, k *kit) {
		l := k.limiter([]Policy{{Name: "g", Limit: 60, Per: time.Minute, Burst: 10, Algorithm: GCRA}})
		k.fleet(l)
		k.granted(l, "a", 5)
		k.mode.Store(down)
		if got := k.granted(l, "a", 20); got != 4 { // 0.8 of the 5 that were left
			t.Errorf("got %d granted; want 4", got)
		}
		granted := 0
		for range 60 {
			time.Sleep(time.Second)
			granted += k.granted(l, "a", 3)
		}
		if granted < 47 || granted > 0.8*(60+10) {
			t.Errorf("in a minute: got %d granted; want 0.8 * 60, and no more than a burst on top", granted)
		}
	})
}

// TestRecovery: what was granted without Redis is told before it is asked again, and
// counts once though the first word was lost.
func TestRecovery(t *testing.T) {
	for name, p := range map[string]Policy{
		"window": {Name: "w", Limit: 100, Per: time.Hour},
		"gcra":   {Name: "g", Limit: 100, Per: time.Hour, Algorithm: GCRA},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, k *kit) {
				l := k.limiter([]Policy{p})
				k.fleet(l)
				k.granted(l, "a", 10)
				k.mode.Store(down)
				if got := k.granted(l, "a", 100); got != 72 {
					t.Fatalf("got %d granted; want 0.8 * 90", got)
				}
				k.mode.Store(loses)
				time.Sleep(200 * time.Millisecond)
				if k.take(l, "a").Allowed {
					t.Error("allowed while the reply is lost; its share is used up")
				}
				k.recovered(l)
				d := k.take(l, "a")
				if !d.Allowed || d.Source != FromRedis || d.Remaining != 17 {
					t.Errorf("got %+v; want 10 + 72 + 1 used", d)
				}
			})
		})
	}
}

// TestOthersAreTold: what was granted to a subject that does not come back here is
// told when anybody is answered.
func TestOthersAreTold(t *testing.T) {
	bubble(t, func(t *testing.T, k *kit) {
		l, other := k.limiter(perMinute(100)), k.limiter(perMinute(100))
		k.fleet(l, other)
		k.mode.Store(down)
		for i := range 50 {
			k.take(l, fmt.Sprint("subject ", i), Cost(3))
		}
		k.recovered(l)
		k.take(l, "somebody else")
		time.Sleep(time.Second)
		for i := range 50 {
			if d := k.take(other, fmt.Sprint("subject ", i)); d.Remaining != 96 {
				t.Fatalf("subject %d: got %+v at another instance; want 4 used", i, d)
			}
		}
	})
}

// TestLargerCountWins: a promoted replica had not heard of the last ones.
func TestLargerCountWins(t *testing.T) {
	bubble(t, func(t *testing.T, k *kit) {
		p := []Policy{{Name: "w", Limit: 100, Per: time.Hour}, {Name: "g", Limit: 100, Per: time.Hour, Algorithm: GCRA}}
		l := k.limiter(p)
		k.fleet(l)
		k.granted(l, "a", 90)
		k.mode.Store(down)
		_, _ = l.Peek(t.Context(), "a") // so that the fault is seen
		k.count(l, "a", 40)
		k.mini.SetTTL(l.key("a", 0), 30*time.Minute)
		k.mini.Del(l.key("a", 1))
		k.recovered(l)
		for i, s := range k.take(l, "a", Cost(2)).Each {
			if s.Remaining != 8 {
				t.Errorf("policy %d: got %+v; want 92 used", i, s)
			}
		}
		if got := k.counted(l, "a"); got != "92" {
			t.Errorf("got %s counted; want 92", got)
		}
	})
}

// TestResetIsNotUndone while nothing has gone wrong.
func TestResetIsNotUndone(t *testing.T) {
	bubble(t, func(t *testing.T, k *kit) {
		l, other := k.limiter(perMinute(100)), k.limiter(perMinute(100))
		k.granted(l, "a", 90)
		must(t, other.Reset(t.Context(), "a"))
		if d := k.take(l, "a"); d.Remaining != 99 {
			t.Errorf("got %+v; want 1 used", d)
		}
	})
}

// TestLostReplyIsCountedOnce: the command is not sent again, and what may have been
// counted is not told as if it had not.
func TestLostReplyIsCountedOnce(t *testing.T) {
	bubble(t, func(t *testing.T, k *kit) {
		l := k.limiter(perMinute(100))
		k.fleet(l)
		for i := range 20 {
			if i%2 == 1 {
				k.mode.Store(loses)
			}
			if !k.take(l, "a").Allowed {
				t.Fatalf("take %d: denied", i)
			}
			k.mode.Store(up)
		}
		if got := k.counted(l, "a"); got != "20" {
			t.Errorf("got %s counted; want 20", got)
		}
	})
}

// TestDecisionsAreFast: one waits for the budget, and most for nothing.
func TestDecisionsAreFast(t *testing.T) {
	bubble(t, func(t *testing.T, k *kit) {
		l := k.limiter(perMinute(100))
		k.mode.Store(hangs)
		began, waited, longest := time.Now(), 0, time.Duration(0)
		for time.Since(began) < time.Minute {
			asked := time.Now()
			k.take(l, "a")
			took := time.Since(asked)
			if longest = max(longest, took); took > 0 {
				waited++
			}
			time.Sleep(time.Millisecond)
		}
		if longest > defaultBudget || waited > 700 {
			t.Errorf("the longest took %v, and %d of some 25,000 waited; want %v, and the ten a second that look", longest, waited, defaultBudget)
		}
	})
}

// TestAHungClient does not keep decisions waiting, though it heeds no deadline.
func TestAHungClient(t *testing.T) {
	bubble(t, func(t *testing.T, k *kit) {
		l, err := New(deaf{k.client()}, perMinute(100))
		must(t, err)
		began := time.Now()
		for range 100 {
			if d := k.take(l, "a"); d.Source != FromOutage {
				t.Fatalf("got %+v", d)
			}
		}
		if took := time.Since(began); took > 15*defaultBudget {
			t.Errorf("a hundred took %v; want some ten budgets", took)
		}
		time.Sleep(10 * time.Second) // the calls that were given up end
		if err := l.Close(t.Context()); err == nil {
			t.Error("closed, though Redis was not told")
		}
		time.Sleep(10 * time.Second)
	})
}

// deaf is a client that answers after five seconds, whatever the context says.
type deaf struct{ redis.UniversalClient }

func (deaf) Process(context.Context, redis.Cmder) error {
	time.Sleep(5 * time.Second)
	return context.DeadlineExceeded
}

// TestBound is the sum of the package's comment, for faults at any time: Redis, which
// loses nothing, is away for every instance by itself, in any way, again and again.
func TestBound(t *testing.T) {
	for seed := range uint64(10) {
		t.Run(strconv.FormatUint(seed, 10), func(t *testing.T) {
			t.Parallel()
			bubble(t, func(t *testing.T, k *kit) { k.bound(rand.New(rand.NewPCG(seed, 1))) })
		})
	}
}

func (k *kit) bound(rnd *rand.Rand) {
	const limit, n = 100, 3
	faults := []int32{up, up, up, down, hangs, loses}
	var ls []*Limiter
	for range n {
		ls = append(ls, k.limiter(perMinute(limit)))
	}
	k.fleet(ls...)
	granted := 0
	began := time.Now()
	for time.Since(began) < 55*time.Second { // within one window: the first take began it
		k.mode.Store(faults[rnd.IntN(len(faults))])
		for range 1 + rnd.IntN(8) {
			if k.take(ls[rnd.IntN(n)], "a").Allowed {
				granted++
			}
		}
		time.Sleep(time.Duration(rnd.IntN(400)) * time.Millisecond)
	}
	if most := limit + int(share*limit) + n; granted > most || granted < limit/2 {
		// Less than the limit is right: a unit that was counted, of which the word was lost.
		k.t.Errorf("got %d granted of %d a minute; want %d at most, and not next to nothing", granted, limit, most)
	}
}
