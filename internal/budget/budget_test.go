package budget

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/redis/go-redis/v9"
)

const most = 160 * time.Millisecond

// waits ends with its context, or, if that is nobody's business, later.
func waits(heeds bool) func(context.Context) (int, error) {
	return func(ctx context.Context) (int, error) {
		if heeds {
			<-ctx.Done()
			return 0, ctx.Err()
		}
		time.Sleep(5 * time.Second)
		return 1, nil
	}
}

func TestDoIsOver(t *testing.T) {
	for name, heeds := range map[string]bool{"direct": true, "by a goroutine": false} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := &Budget{most: most, direct: heeds, base: time.Now()}
				for wait := time.Duration(0); wait < most; wait += most / 20 {
					time.Sleep(wait)
					began := time.Now()
					_, err := Do(t.Context(), b, waits(heeds))
					if took := time.Since(began); took > most || took < most*15/16 || !errors.Is(err, context.DeadlineExceeded) {
						t.Errorf("got %v after %v; want the end of %v", err, took, most)
					}
				}
				time.Sleep(5 * time.Second) // what was left to itself ends
			})
		})
	}
}

// TestSharedByCalls: two calls of one decision have one budget together.
func TestSharedByCalls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &Budget{most: most, direct: true, base: time.Now()}
		began := time.Now()
		ctx := b.Within(t.Context())
		time.Sleep(most / 2)
		_, err := Do(ctx, b, waits(true))
		if took := time.Since(began); took > most || err == nil {
			t.Errorf("got %v after %v; want one end for both", err, took)
		}
		if err := b.Within(ctx).Err(); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("afterwards: got %v", err)
		}
	})
}

func TestWithin(t *testing.T) {
	b := New(nil, time.Hour)
	type key struct{}
	soon := time.Now().Add(time.Minute)
	ctx, cancel := context.WithDeadline(context.WithValue(t.Context(), key{}, "value"), soon)
	w := b.Within(ctx)
	if at, ok := w.Deadline(); !ok || !at.Equal(soon) {
		t.Errorf("got %v; want the caller's own, which is earlier", at)
	}
	if at, ok := b.Within(t.Context()).Deadline(); !ok || time.Until(at) < 50*time.Minute {
		t.Errorf("got %v; want the budget's", at)
	}
	if w.Value(key{}) != "value" {
		t.Error("the caller's values are gone")
	}
	cancel()
	if err := w.Err(); err != nil {
		t.Errorf("the caller has gone: got %v; want that it is waited for", err)
	}
	if _, err := Do(ctx, b, waits(true)); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v; want that nothing begins for who has gone", err)
	}
	if _, err := Do[int](nil, b, nil); !errors.Is(err, errNoContext) { //nolint:staticcheck // that is what is tried
		t.Errorf("no context: got %v", err)
	}
}

// heedful is as the clients of topology and migrate.
type heedful struct{ redis.UniversalClient }

func (heedful) HeedsDeadlines() bool { return true }

func TestClients(t *testing.T) {
	closed := func(c redis.UniversalClient) redis.UniversalClient {
		t.Cleanup(func() { _ = c.Close() })
		return c
	}
	plain := closed(redis.NewClient(&redis.Options{Addr: "127.0.0.1:1"}))
	for name, tt := range map[string]struct {
		c    redis.UniversalClient
		want bool
	}{
		"go-redis by default": {plain, false},
		"told to":             {closed(redis.NewClient(&redis.Options{Addr: "127.0.0.1:1", ContextTimeoutEnabled: true})), true},
		"a cluster":           {closed(redis.NewClusterClient(&redis.ClusterOptions{Addrs: []string{"127.0.0.1:1"}, ContextTimeoutEnabled: true})), true},
		"by its word":         {heedful{plain}, true},
		"unknown":             {struct{ redis.UniversalClient }{plain}, false},
		"none":                {nil, false},
	} {
		if got := New(tt.c, most).Heeded(); got != tt.want {
			t.Errorf("%s: got %v; want %v", name, got, tt.want)
		}
	}
	if !Missing(nil) || !Missing((*redis.Client)(nil)) || Missing(plain) || Missing(heedful{plain}) {
		t.Error("nil is missing, and nil of a type, and nothing else")
	}
}
