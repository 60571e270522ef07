package coordinator

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/transload/transload/internal/control"
	"github.com/transload/transload/internal/protocol"
	"github.com/transload/transload/topology"
)

const (
	// probeEvery is how often a side's round trip is measured.
	probeEvery = 100 * time.Millisecond

	// strained is how many times its usual length a round trip may take before
	// the pass slows down, and calm the length below which it never does.
	strained = 4
	calm     = 5 * time.Millisecond

	// habit is how many probes let the usual round trip grow by its 2.7-fold at the
	// most: five minutes of them. With a hundred a server that stayed slow, because of
	// us, was held for a usual one after three seconds.
	habit = 3000

	// longestDelay is put before each batch at the most: that leaves 4,000 keys a
	// second, a twentieth of what a server can do.
	longestDelay = 200 * time.Millisecond
)

// A throttle keeps a pass over all keys from hurting the app: it bounds the rate,
// and slows down while a side answers slower than it usually does.
type throttle struct {
	rate int // keys a second; 0 is no bound

	mu    sync.Mutex
	next  time.Time     // when the next keys may go, by the rate
	delay time.Duration // put before each batch while a side is strained
	why   string        // who is, with figures
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
func (th *throttle) watch(ctx context.Context, sides [3]*side) {
	for pause(ctx, probeEvery) {
		var slow []string
		for _, s := range protocol.Sides {
			d := probeTrip(ctx, sides[s].client)
			if ctx.Err() == nil && th.took(s, d) {
				slow = append(slow, th.strain(s))
			}
		}
		th.slow(strings.Join(slow, "; "))
	}
}

// probeTrip is how long the slowest master of a side takes to answer, or not to.
func probeTrip(ctx context.Context, client *topology.Client) (slowest time.Duration) {
	var mu sync.Mutex
	ping := func(ctx context.Context, _ string, node *redis.Client) error {
		began := time.Now()
		err := node.Ping(ctx).Err()
		mu.Lock()
		defer mu.Unlock()
		slowest = max(slowest, time.Since(began))
		return err
	}
	if client.Mode() == topology.Cluster {
		_ = client.EachMaster(ctx, ping) // who did not answer took long
	} else if node, err := client.MasterFor(ctx, control.Reserved); err == nil { // no sentinel is asked
		_ = ping(ctx, "", node)
	}
	return slowest
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
		r.usual += min(d-r.usual, r.usual) / habit // the slower, the longer it takes
	}
	return r.now > calm && r.now > strained*r.usual
}

// strain tells the strain of a side.
func (th *throttle) strain(s protocol.Side) string {
	th.mu.Lock()
	defer th.mu.Unlock()
	r := th.sides[s]
	return fmt.Sprintf("the %v answers in %v, usually %v", s, r.now.Round(100*time.Microsecond), r.usual.Round(10*time.Microsecond))
}

// slow slows the pass down while there is a reason to.
func (th *throttle) slow(why string) {
	th.mu.Lock()
	defer th.mu.Unlock()
	switch {
	case why == "":
		if th.delay /= 2; th.delay < time.Millisecond {
			th.delay = 0
		}
		return
	case th.delay == 0:
		th.delay = time.Millisecond
	default:
		th.delay = min(2*th.delay, longestDelay)
	}
	th.why = why
}

// held says by what a pass is held back now, or nothing.
func (th *throttle) held() string {
	th.mu.Lock()
	defer th.mu.Unlock()
	var by []string
	if th.rate > 0 {
		by = append(by, fmt.Sprintf("at most %d keys a second, by --rate", th.rate))
	}
	if th.delay > 0 {
		by = append(by, fmt.Sprintf("slowed by %v a batch since %s", th.delay.Round(time.Millisecond), th.why))
	}
	return strings.Join(by, ", ")
}

// longest returns the usual round trip of the slower side.
func (th *throttle) longest() time.Duration {
	th.mu.Lock()
	defer th.mu.Unlock()
	return max(th.sides[protocol.Source].usual, th.sides[protocol.Target].usual)
}
