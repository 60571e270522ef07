package cache

import (
	"context"
	"fmt"
	"sync"
	"time"
)

// A Limit says how much one process may ask of a database. Zero fields mean the
// default.
type Limit struct {
	// AtOnce is how many loads may be under way. The default is 16.
	AtOnce int
	// PerSecond is how many loads may begin in any one second. The default is 500.
	PerSecond int
	// Wait is how long a load may wait for its turn; beyond that it is shed. The default
	// is 1s; negative means not at all.
	Wait time.Duration
	// Ramp is how long it takes until PerSecond is allowed again after Redis went away,
	// came back, or was found empty: it begins with a tenth. The default is 30s;
	// negative means no ramp.
	Ramp time.Duration
}

// A Guard keeps loads within a Limit: those of a cache's own that come all at once
// too. It is safe for concurrent use. In no second more loads begin than
// Limit.PerSecond, and never are there more under way than Limit.AtOnce.
type Guard struct {
	limit Limit
	slots chan struct{}

	mu     sync.Mutex
	starts []time.Time // of the last PerSecond loads, a ring; those of the future are booked
	next   int
	last   time.Time
	rise   time.Time // when the last ramp began
}

// NewGuard returns a Guard.
func NewGuard(l Limit) (*Guard, error) {
	setDefault(&l.AtOnce, 16)
	setDefault(&l.PerSecond, 500)
	setDefault(&l.Wait, time.Second)
	setDefault(&l.Ramp, 30*time.Second)
	switch {
	case l.AtOnce < 0 || l.AtOnce > 10_000:
		return nil, bad(true, "Limit.AtOnce: %d is not between 1 and 10,000", l.AtOnce)
	case l.PerSecond < 0 || l.PerSecond > 100_000:
		return nil, bad(true, "Limit.PerSecond: %d is not between 1 and 100,000", l.PerSecond)
	case l.Wait > time.Minute:
		return nil, bad(true, "Limit.Wait: %v is over 1m", l.Wait)
	}
	return &Guard{limit: l, slots: make(chan struct{}, l.AtOnce), starts: make([]time.Time, l.PerSecond)}, nil
}

// enter waits for a load's turn; leave is to be called when the load is over.
func (g *Guard) enter(ctx context.Context) (leave func(), err error) {
	deadline := time.Now().Add(g.limit.Wait)
	wait := time.NewTimer(g.limit.Wait)
	defer wait.Stop()
	select {
	case g.slots <- struct{}{}:
	default:
		select {
		case g.slots <- struct{}{}:
		case <-wait.C:
			return nil, fmt.Errorf("%w: %d loads are under way", ErrShed, g.limit.AtOnce)
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
	leave = func() { <-g.slots }
	at, ok := g.book(time.Now(), deadline)
	if !ok {
		leave()
		return nil, fmt.Errorf("%w: %d loads a second", ErrShed, g.rate(time.Now()))
	}
	if err := sleep(ctx, time.Until(at)); err != nil {
		leave()
		return nil, err
	}
	return leave, nil
}

// try is enter for who does not wait.
func (g *Guard) try() (leave func(), ok bool) {
	select {
	case g.slots <- struct{}{}:
	default:
		return nil, false
	}
	now := time.Now()
	if _, ok := g.book(now, now); !ok {
		<-g.slots
		return nil, false
	}
	return func() { <-g.slots }, true
}

// book finds the first moment, until deadline, at which a load may begin: a second
// after the one that began so many loads ago as may begin in a second. Booked moments
// follow each other, so that who waits keeps his turn.
func (g *Guard) book(now, deadline time.Time) (at time.Time, ok bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	n := len(g.starts)
	earliest := g.starts[(g.next-g.rateLocked(now)+n)%n].Add(time.Second)
	at = latest(now, earliest, g.last)
	if at.After(deadline) && at.After(now) {
		return at, false
	}
	g.starts[g.next], g.last = at, at
	g.next = (g.next + 1) % n
	return at, true
}

func latest(times ...time.Time) (t time.Time) {
	for _, u := range times {
		if u.After(t) {
			t = u
		}
	}
	return t
}

// rate is how many loads may begin in a second now.
func (g *Guard) rate(now time.Time) int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.rateLocked(now)
}

func (g *Guard) rateLocked(now time.Time) int {
	all := g.limit.PerSecond
	risen := now.Sub(g.rise)
	if g.rise.IsZero() || risen >= g.limit.Ramp {
		return all
	}
	least := max(all/10, 1)
	return least + int(float64(all-least)*risen.Seconds()/g.limit.Ramp.Seconds())
}

// ramp begins a ramp, unless one has begun within its last third: what one outage
// brings along, in all who share the guard, is one ramp.
func (g *Guard) ramp() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if now := time.Now(); now.Sub(g.rise) > g.limit.Ramp/3 {
		g.rise = now
	}
}

// underway returns how many loads there are, and allowed how many may begin in a
// second now.
func (g *Guard) underway() int { return len(g.slots) }
func (g *Guard) allowed() int  { return g.rate(time.Now()) }

// sleep waits, unless ctx is over first.
func sleep(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return nil
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
