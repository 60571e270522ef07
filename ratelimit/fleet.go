package ratelimit

import (
	"context"
	"sync/atomic"
	"time"
)

const (
	// beatEvery is how often an instance says that it lives.
	beatEvery = 5 * time.Second
	// beatHolds is how long it counts as living after its last word: two may be lost.
	beatHolds = 3 * beatEvery
)

// A fleet is all instances that share the limits. Each says by itself, while it is
// used, that it lives; Redis counts them.
type fleet struct {
	name, key string
	circuit   int
	next      atomic.Int64 // when to beat
	alive     atomic.Int64 // as Redis counted them last; 0 if it never has
}

// instances is among how many a LocalShare is divided.
func (l *Limiter) instances() int {
	if n := l.fleet.alive.Load(); n > 0 {
		return int(n)
	}
	return l.settings.instances
}

// keepBeating beats when it is time to, off the caller's path.
func (l *Limiter) keepBeating(ctx context.Context, now int64) {
	next := l.fleet.next.Load()
	if now < next || !l.fleet.next.CompareAndSwap(next, now+int64(beatEvery)) {
		return
	}
	l.background(ctx, func(ctx context.Context) {
		if l.beat(ctx, beatHolds) == nil {
			return
		}
		// Something is wrong somewhere: what Redis has is compared with what is
		// remembered, also where nobody asked meanwhile.
		for i := range l.faults {
			l.faults[i].Store(l.now())
		}
		l.fleet.next.Store(l.now() + int64(time.Second))
	})
}

// beat says that this instance lives for so long, or leaves.
func (l *Limiter) beat(ctx context.Context, holds time.Duration) error {
	args := []any{nil, nil, 1, l.fleet.key, l.fleet.name, holds.Milliseconds()}
	reply, err := l.run(ctx, &call{script: beatScript, circuit: l.fleet.circuit, args: args, want: 1})
	if err == nil {
		l.fleet.alive.Store(max(reply[0], 1))
	}
	return err
}
