package coordinator

import (
	"context"
	"sync"
	"time"

	"github.com/transload/transload/internal/control"
	"github.com/transload/transload/internal/protocol"
)

const (
	// probeEvery is how often a side's round trip is measured.
	probeEvery = 100 * time.Millisecond

	// strained is how many times its usual length a round trip may take before
	// the pass slows down, and calm the length below which it never does.
	strained = 4
	calm     = 5 * time.Millisecond
)

// A throttle keeps the sync pass from hurting the app: it bounds the rate, and
// slows down while a side answers slower than it usually does.
type throttle struct {
	rate int // keys a second; 0 is no bound

	mu    sync.Mutex
	next  time.Time     // when the next keys may go, by the rate
	delay time.Duration // put before each batch while a side is strained
	sides [3]roundTrip
}

// A roundTrip is what the probes of one side showed.
type roundTrip struct {
	usual, now time.Duration
}

// wait holds back n keys for as long as the rate and the strain ask for.
func (th *throttle) wait(ctx context.Context, n int) error {
	th.mu.Lock()
	now := time.Now()
	d := th.delay
	if th.rate > 0 {
		if th.next.Before(now) {
			th.next = now
		}
		d = max(d, th.next.Sub(now))
		th.next = th.next.Add(time.Duration(n) * time.Second / time.Duration(th.rate))
	}
	th.mu.Unlock()
	if d > 0 && !pause(ctx, d) {
		return context.Cause(ctx)
	}
	return nil
}

// watch measures the round trips of both sides until ctx is done.
func (th *throttle) watch(ctx context.Context, t *term) {
	for pause(ctx, probeEvery) {
		slow := false
		for _, s := range protocol.Sides {
			node, err := t.sides[s].client.MasterFor(ctx, control.Reserved)
			if err != nil {
				continue
			}
			began := time.Now()
			if node.Ping(ctx).Err() == nil {
				slow = th.took(s, time.Since(began)) || slow
			}
		}
		th.strain(slow)
	}
}

// took takes one round trip, and reports whether the side is strained.
func (th *throttle) took(s protocol.Side, d time.Duration) bool {
	th.mu.Lock()
	defer th.mu.Unlock()
	r := &th.sides[s]
	if r.usual == 0 {
		r.usual, r.now = d, d
	}
	r.now += (d - r.now) / 4
	if d < r.usual {
		r.usual += (d - r.usual) / 4
	} else {
		r.usual += (d - r.usual) / 100 // what is usual may grow, slowly
	}
	return r.now > calm && r.now > strained*r.usual
}

func (th *throttle) strain(slow bool) {
	th.mu.Lock()
	defer th.mu.Unlock()
	switch {
	case slow && th.delay == 0:
		th.delay = time.Millisecond
	case slow:
		th.delay = min(2*th.delay, 200*time.Millisecond)
	default:
		th.delay /= 2
		if th.delay < time.Millisecond {
			th.delay = 0
		}
	}
}

// held reports how long each batch is held back now.
func (th *throttle) held() time.Duration {
	th.mu.Lock()
	defer th.mu.Unlock()
	return th.delay
}

// longest returns the usual round trip of the slower side.
func (th *throttle) longest() time.Duration {
	th.mu.Lock()
	defer th.mu.Unlock()
	return max(th.sides[protocol.Source].usual, th.sides[protocol.Target].usual)
}
