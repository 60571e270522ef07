package ratelimit

import (
	"context"
	"sync/atomic"
	"time"
)

// budgets gives calls their deadline. Those that begin within a sixteenth of it
// share one: a timer for each would be a fifth of all that a decision allocates.
type budgets struct {
	last atomic.Pointer[budget]
}

// A budget is a context that ends in time. Nobody ends it earlier.
type budget struct {
	context.Context
	cancel context.CancelFunc // called by its own end alone
	born   int64
}

// within returns ctx with the end of a budget in the place of its own: a caller who
// goes away is waited for that long at most.
func (b *budgets) within(ctx context.Context, now int64, d time.Duration) context.Context {
	last := b.last.Load()
	if last == nil || now-last.born > int64(d)/16 {
		last = &budget{born: now}
		last.Context, last.cancel = context.WithTimeout(context.WithoutCancel(ctx), d)
		context.AfterFunc(last.Context, last.cancel)
		b.last.Store(last)
	}
	return bounded{ctx, last}
}

// bounded has a caller's values, and the end of a budget.
type bounded struct {
	context.Context
	end *budget
}

// Deadline is the earlier one of the caller's and the budget's.
func (b bounded) Deadline() (time.Time, bool) {
	end, _ := b.end.Deadline()
	if own, ok := b.Context.Deadline(); ok && own.Before(end) {
		return own, true
	}
	return end, true
}

// Done is closed at the budget's end.
func (b bounded) Done() <-chan struct{} { return b.end.Done() }

// Err tells the budget's end.
func (b bounded) Err() error { return b.end.Err() }
