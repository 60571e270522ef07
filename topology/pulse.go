package topology

import (
	"context"
	"sync"
	"sync/atomic"
	"time"
)

// How often servers are asked how they are.
const (
	// calmly: what nobody tells of is found within this time.
	calmly = time.Second

	// hastily, while there is trouble: a promotion is seen a twentieth of a second
	// after it happened. Each question costs a server some 30 µs.
	hastily = 50 * time.Millisecond

	// wearily, when trouble has lasted for patience: a set that nobody mends for
	// hours should not be asked twenty times a second by each of its clients.
	wearily  = 200 * time.Millisecond
	patience = 30 * time.Second

	// breather lies between two questions to one server, whoever calls.
	breather = 20 * time.Millisecond
)

// A pulse sets the pace of those who ask servers how they are.
type pulse struct {
	trouble atomic.Int64 // when it began, in Unix nanoseconds; 0 for none

	mu   sync.Mutex
	call chan struct{}
}

// next returns a channel that is closed by the next look.
func (p *pulse) next() <-chan struct{} {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.call == nil {
		p.call = make(chan struct{})
	}
	return p.call
}

// look has everybody ask at once.
func (p *pulse) look() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.call != nil {
		close(p.call)
		p.call = nil
	}
}

// since says when the trouble began; the zero time ends it.
func (p *pulse) since(t time.Time) {
	if t.IsZero() {
		p.trouble.Store(0)
		return
	}
	p.trouble.Store(t.UnixNano())
}

// pause waits until a server that was asked at began is to be asked again; call
// is what next returned before that. It reports false when ctx is done.
func (p *pulse) pause(ctx context.Context, began time.Time, call <-chan struct{}, haste time.Duration) bool {
	d := calmly
	if t := p.trouble.Load(); t != 0 {
		d = haste
		if time.Since(time.Unix(0, t)) > patience {
			d = max(wearily, haste)
		}
	}
	timer := time.NewTimer(time.Until(began.Add(d)))
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	case <-call:
	}
	timer.Reset(time.Until(began.Add(breather)))
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}
