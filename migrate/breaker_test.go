package migrate

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/transload/transload/internal/protocol"
	"github.com/transload/transload/internal/redistest"
	"github.com/transload/transload/topology"
)

// TestBreaker: a side that does not answer opens the breakers of the workloads
// that ask it, and no others; what waits for a hold knows nothing of that.
func TestBreaker(t *testing.T) {
	a, b := redistest.Standalone(t, redistest.Options{}), redistest.Standalone(t, redistest.Options{})
	p := newPair(t, envConfig(t, a.Env("REDIS")), envConfig(t, b.Env("REDIS")))
	c := p.member(func(o *Options) { o.Breaker, o.Retries = true, -1 })
	p.shadow(c)
	if err := c.Set(t.Context(), "low:1", "a", 0).Err(); err != nil {
		t.Fatal(err)
	}
	short := func(f func(ctx context.Context) error) error {
		return f(within(t, 50*time.Millisecond))
	}
	ways := map[string]func(ctx context.Context) error{
		"single": func(ctx context.Context) error { return c.Get(ctx, "low:1").Err() },
		"pipeline": func(ctx context.Context) error {
			_, err := c.Pipelined(ctx, func(p redis.Pipeliner) error { p.Get(ctx, "low:1"); p.Set(ctx, "low:2", 1, 0); return nil })
			return err
		},
		"transaction": func(ctx context.Context) error {
			_, err := c.TxPipelined(ctx, func(p redis.Pipeliner) error { p.Set(ctx, "low:1", "a", 0); return nil })
			return err
		},
	}
	// The target's being away is no news to the app, whatever the mirror finds.
	if err := b.Freeze(); err != nil {
		t.Fatal(err)
	}
	for range 20 {
		if err := c.Set(t.Context(), "low:1", "a", 0).Err(); err != nil {
			t.Errorf("with the target away: %v", err)
		}
	}
	b.Thaw()
	if err := a.Freeze(); err != nil {
		t.Fatal(err)
	}
	defer a.Thaw()
	for name, run := range ways {
		var err error
		redistest.Eventually(t, 10*time.Second, func() error {
			if err = short(run); !errors.Is(err, topology.ErrBreakerOpen) {
				return errors.Join(errors.New("not open"), err)
			}
			return nil
		})
		if e, ok := errors.AsType[*topology.BreakerError](err); !ok || e.Side != "source" || e.Workload != "low" {
			t.Errorf("%s: got %v; want the source's breaker for low", name, err)
		}
	}
	for _, state := range c.Breakers() {
		if (state.State == "closed") == (state.Side == "source" && state.Workload == "low") {
			t.Errorf("got %+v", state)
		}
	}
	a.Thaw()
	redistest.Eventually(t, 10*time.Second, func() error { return short(ways["single"]) })

	mv := p.prepare(protocol.Source, everything(50))
	mv.hold()
	parked := make(chan error, 20)
	key := keyBelow("low:", 50, true, 0)
	for range cap(parked) {
		go func() { parked <- c.Set(t.Context(), key, "b", 0).Err() }()
	}
	redistest.Eventually(t, 10*time.Second, func() error {
		if n := c.m.parked.Load(); n < int64(cap(parked)) {
			return errors.New("not all are parked")
		}
		return nil
	})
	mv.abort()
	for range cap(parked) {
		if err := <-parked; err != nil {
			t.Errorf("after a hold: %v", err)
		}
	}
}
