package ratelimit

import (
	"context"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2/server"
	"github.com/redis/go-redis/v9"
)

// TestNoDecisionTakesLonger than its budget, whatever hangs, and however the time is
// spent: here no time passes but what is waited for.
func TestNoDecisionTakesLonger(t *testing.T) {
	const ever = 10 * time.Second
	for name, tt := range map[string]struct {
		slow   map[string]time.Duration // how long the server takes over a command
		change func(*redis.Options)
		before func(*kit, *Limiter)
	}{
		"a dial that hangs": {change: func(o *redis.Options) {
			o.Dialer = func(ctx context.Context, _, _ string) (net.Conn, error) {
				time.Sleep(ever)
				return nil, context.DeadlineExceeded
			}
		}},
		"a handshake that hangs": {slow: map[string]time.Duration{"HELLO": ever}},
		"a reply that hangs":     {slow: map[string]time.Duration{"EVALSHA": ever}},
		"a text that hangs":      {slow: map[string]time.Duration{"EVAL": ever}},
		"each takes a while": {slow: map[string]time.Duration{
			"HELLO": 20 * time.Millisecond, "EVALSHA": 20 * time.Millisecond, "EVAL": 20 * time.Millisecond}},
		"a count that hangs": {
			slow:   map[string]time.Duration{"ZADD": ever},
			before: func(k *kit, l *Limiter) { k.take(l, "a") },
		},
		"what is given back takes a while": {
			slow:   map[string]time.Duration{"ZADD": 30 * time.Millisecond, "EVALSHA": 30 * time.Millisecond},
			before: func(k *kit, l *Limiter) { k.granted(l, "a", 100) },
		},
		"it must be told first": {
			slow: map[string]time.Duration{"EVALSHA": 30 * time.Millisecond},
			before: func(k *kit, l *Limiter) {
				k.take(l, "a")
				k.mode.Store(down)
				k.take(l, "a")
				k.mode.Store(up)
			},
		},
	} {
		for kind, heeds := range map[string]bool{"deadlines heeded": true, "not heeded": false} {
			t.Run(name+", "+kind, func(t *testing.T) {
				bubble(t, func(t *testing.T, k *kit) {
					c := k.client(func(o *redis.Options) {
						o.ContextTimeoutEnabled, o.MaxRetries, o.DialerRetries = heeds, 3, 1
						if tt.change != nil {
							tt.change(o)
						}
					})
					l, err := New(c, perMinute(100))
					must(t, err)
					l.fleet.next.Store(1 << 62) // its word would be slow as well
					k.dawdle(nil)
					if tt.before != nil {
						tt.before(k, l)
					}
					k.dawdle(tt.slow)
					for range 12 {
						began := time.Now()
						k.take(l, "a")
						if took := time.Since(began); took > defaultBudget {
							t.Fatalf("a decision took %v; want %v at most", took, defaultBudget)
						}
					}
					k.dawdle(nil)
					_ = l.Close(t.Context())
					must(t, c.Close())
					time.Sleep(4 * ever) // what hangs ends
				})
			})
		}
	}
}

// TestNoConnectionIsFree: who waits for one waits for the budget, too. This is in real
// time, since go-redis keeps timers for such waits beyond a bubble.
func TestNoConnectionIsFree(t *testing.T) {
	k := newKit(t)
	must(t, k.mini.Start())
	gate := make(chan struct{})
	k.mini.Server().SetPreHook(func(_ *server.Peer, cmd string, _ ...string) bool {
		if strings.EqualFold(cmd, "EVALSHA") {
			<-gate
		}
		return false
	})
	l, err := New(k.client(func(o *redis.Options) { o.PoolSize, o.PoolTimeout, o.ReadTimeout = 1, time.Minute, time.Minute }), perMinute(100))
	must(t, err)
	var wg sync.WaitGroup
	began := time.Now()
	for range 5 {
		wg.Go(func() { k.take(l, "a") })
	}
	wg.Wait()
	if took := time.Since(began); took > 20*time.Second {
		t.Errorf("five took %v; want some %v", took, defaultBudget)
	}
	close(gate)
	_ = l.Close(t.Context())
}

// dawdle has the server take so long over commands.
func (k *kit) dawdle(slow map[string]time.Duration) {
	k.hook(func(_ *server.Peer, cmd string, _ ...string) bool {
		time.Sleep(slow[strings.ToUpper(cmd)])
		return false
	})
}

// hook has f look at what comes to the server.
func (k *kit) hook(f server.Hook) {
	k.t.Helper()
	c, err := k.mini.Dial() // which begins the server
	must(k.t, err)
	must(k.t, c.Close())
	k.mini.Server().SetPreHook(f)
}
