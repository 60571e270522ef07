package drill

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/transload/transload/internal/command"
)

// A worker is one goroutine of a Load, with keys of its own in one slot.
type worker struct {
	base string
	slot uint16
	do   func(ctx context.Context, n int64) error

	mu        sync.Mutex
	journal   journal
	tried     int64
	lastBegan time.Time     // of the latest call that was answered
	longest   time.Duration // that any call took, answered or not
	late      int64         // calls that outlived their deadline by more than lateness
	errors    map[string]int64
	samples   map[string]string // kind → one of its errors, in full
}

// lateness is by how much a call may outlive its deadline before that is held
// against the client: what a busy machine may cost.
const lateness = 500 * time.Millisecond

func newWorker(base string) *worker {
	return &worker{base: base, slot: command.Slot(base), errors: map[string]int64{}, samples: map[string]string{}}
}

func (w *worker) key(n int64) string { return fmt.Sprintf("%s%d", w.base, n) }

// run makes a call at every tick until ctx is done. The last call is let finish:
// one that was given up because the load ended would prove nothing.
func (w *worker) run(ctx context.Context, every, deadline time.Duration) {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			w.call(context.WithoutCancel(ctx), deadline)
		}
	}
}

func (w *worker) call(ctx context.Context, deadline time.Duration) {
	if deadline > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, deadline)
		defer cancel()
	}
	w.mu.Lock()
	w.tried++
	n := w.tried
	w.mu.Unlock()
	began := time.Now()
	err := w.do(ctx, n)
	w.note(call{n, began, time.Now()}, deadline, err)
}

func (w *worker) note(c call, deadline time.Duration, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	took := c.ended.Sub(c.began)
	w.longest = max(w.longest, took)
	if deadline > 0 && took > deadline+lateness {
		w.late++
	}
	if err != nil {
		kind := kindOf(err)
		w.errors[kind]++
		w.samples[kind] = err.Error()
		return
	}
	w.lastBegan = c.began
	w.journal.add(c)
}

// with runs f while nothing of the worker changes.
func (w *worker) with(f func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	f()
}
