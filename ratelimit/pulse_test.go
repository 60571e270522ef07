package ratelimit

import (
	"context"
	"sync"
	"testing"
	"time"
)

const (
	// beatOfPulse is how finely it is seen that the process does not run.
	beatOfPulse = time.Millisecond
	// hurry is what one goroutine may be held up by that another was not.
	hurry = 20 * time.Millisecond
)

// A pulse tells for how long the process got no processor, which no budget can bound:
// on a machine that others use too, a decision that took long may have done so for
// that alone.
type pulse struct {
	mu     sync.Mutex
	stalls []stall
	over   []stall // takes that were
}

type stall struct {
	until time.Time
	stood time.Duration
}

// start takes it until the test ends.
func (p *pulse) start(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	wg.Go(func() {
		for ctx.Err() == nil {
			before := time.Now()
			time.Sleep(beatOfPulse)
			if stood := time.Since(before) - beatOfPulse; stood > 5*beatOfPulse {
				p.mu.Lock()
				p.stalls = append(p.stalls, stall{time.Now(), stood})
				p.mu.Unlock()
			}
		}
	})
	t.Cleanup(func() { cancel(); wg.Wait() })
}

// took notes a take that was over the budget.
func (p *pulse) took(began time.Time, took time.Duration) {
	if took <= defaultBudget+hurry {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.over = append(p.over, stall{began.Add(took), took})
}

// judge says how many takes were over, and how many of these by more than the process
// stood still while they were under way.
func (p *pulse) judge() (over, unexplained int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, o := range p.over {
		allowed := defaultBudget + hurry
		for _, s := range p.stalls {
			if began := o.until.Add(-o.stood); s.until.After(began) && s.until.Add(-s.stood).Before(o.until) {
				allowed += s.stood
			}
		}
		if o.stood > allowed {
			unexplained++
		}
	}
	return len(p.over), unexplained
}

// longest is for how long it stood still at most.
func (p *pulse) longest() (most time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, s := range p.stalls {
		most = max(most, s.stood)
	}
	return most
}
