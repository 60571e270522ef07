package ratelimit

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/transload/transload/internal/redistest"
)

// A crowd is instances of an app that are asked for the same subjects, and what they
// have granted.
type crowd struct {
	t  *testing.T
	ls []*Limiter

	takes, without, errs atomic.Int64
	longest              atomic.Int64
	pulse                pulse

	mu    sync.Mutex
	tally map[string]*tally
}

// A tally is what one subject was granted.
type tally struct {
	granted int
	byRedis []time.Time
}

func newCrowd(t *testing.T, p []Policy, clients ...redis.UniversalClient) *crowd {
	t.Helper()
	c := &crowd{t: t, tally: map[string]*tally{}}
	c.pulse.start(t)
	for _, client := range clients {
		l, err := New(client, p)
		must(t, err)
		t.Cleanup(func() { _ = l.Close(context.Background()) })
		c.ls = append(c.ls, l)
	}
	redistest.Eventually(t, time.Minute, func() error {
		for _, l := range c.ls {
			if err := l.beat(t.Context(), beatHolds); err != nil {
				return err
			}
		}
		for _, l := range c.ls {
			if n := l.instances(); n != len(c.ls) {
				return fmt.Errorf("an instance knows %d; want %d", n, len(c.ls))
			}
		}
		return nil
	})
	return c
}

// run takes for so many subjects until it is stopped.
func (c *crowd) run(prefix string, subjects int, every time.Duration) (stop func()) {
	ctx, cancel := context.WithCancel(c.t.Context())
	var wg sync.WaitGroup
	for _, l := range c.ls {
		for range 4 {
			wg.Go(func() {
				for ctx.Err() == nil {
					c.take(context.WithoutCancel(ctx), l, fmt.Sprint(prefix, rand.IntN(subjects)))
					time.Sleep(every)
				}
			})
		}
	}
	stop = sync.OnceFunc(func() { cancel(); wg.Wait() })
	c.t.Cleanup(stop)
	return stop
}

func (c *crowd) take(ctx context.Context, l *Limiter, subject string) {
	began := time.Now()
	d, err := l.Take(ctx, subject)
	took := int64(time.Since(began))
	c.pulse.took(began, time.Duration(took))
	for was := c.longest.Load(); took > was && !c.longest.CompareAndSwap(was, took); was = c.longest.Load() {
	}
	c.takes.Add(1)
	if err != nil {
		c.errs.Add(1)
		return
	}
	if d.Source == FromOutage {
		c.without.Add(1)
	}
	if !d.Allowed {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	x := c.tally[subject]
	if x == nil {
		x = &tally{}
		c.tally[subject] = x
	}
	x.granted++
	if d.Source == FromRedis {
		x.byRedis = append(x.byRedis, time.Now())
	}
}

// judge holds every subject to the bound of the package's comment, for a window that
// has not ended. lost tells when a Redis died that may have lost what it had allowed
// in the second before.
func (c *crowd) judge(limit int, lost ...time.Time) {
	c.t.Helper()
	c.mu.Lock()
	defer c.mu.Unlock()
	n := len(c.ls)
	worst := 0
	for subject, x := range c.tally {
		most := limit + int(share*float64(limit)) + n
		for _, at := range x.byRedis {
			for _, death := range lost {
				if at.After(death.Add(-time.Second)) && at.Before(death.Add(100*time.Millisecond)) {
					most++
				}
			}
		}
		worst = max(worst, x.granted)
		if x.granted > most {
			c.t.Errorf("%s was granted %d of %d; want %d at most", subject, x.granted, limit, most)
		}
		if x.granted < limit {
			c.t.Logf("%s was granted %d of %d", subject, x.granted, limit)
		}
	}
	c.t.Logf("%d takes, %d decided without Redis, %d errors; %d subjects, the most granted %d of %d (bound %d)",
		c.takes.Load(), c.without.Load(), c.errs.Load(), len(c.tally), worst, limit, limit+int(share*float64(limit))+n)
	over, unexplained := c.pulse.judge()
	c.t.Logf("the longest took %v of %v; %d were over, %d of them by more than the process stood still, which was %v at most",
		time.Duration(c.longest.Load()).Round(time.Millisecond), defaultBudget, over, unexplained, c.pulse.longest().Round(time.Millisecond))
	if os.Getenv("LOAD") != "" && unexplained > 0 { // in a busy test there is more than one sees
		c.t.Errorf("%d takes were over the budget though the process ran; want none", unexplained)
	}
	if c.errs.Load() > 0 {
		c.t.Errorf("%d takes ended with an error; want a decision each", c.errs.Load())
	}
}

// asked waits until Redis decides for every instance.
func (c *crowd) asked() {
	c.t.Helper()
	redistest.Eventually(c.t, time.Minute, func() error {
		for i, l := range c.ls {
			d, err := l.Take(c.t.Context(), fmt.Sprint("asked ", i))
			if err != nil {
				return err
			}
			if d.Source == FromOutage {
				return errors.New("an instance decides without Redis")
			}
		}
		return nil
	})
}
