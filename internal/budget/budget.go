package budget

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"
)

// errNoContext is for who calls without one: a clear word instead of a panic.
var errNoContext = errors.New("the context is nil: want context.Background() at least")

// A Budget is how long a call may wait. It is safe for concurrent use.
type Budget struct {
	most   time.Duration
	heeded bool
	direct bool
	base   time.Time
	last   atomic.Pointer[end]
}

// New makes a budget for calls of a client.
func New(c redis.UniversalClient, most time.Duration) *Budget {
	return &Budget{most: most, heeded: heeds(c), direct: direct(c), base: time.Now()}
}

// Heeded reports whether the client is known to end a call at its deadline. If not,
// what was given up is left to its own time-outs.
func (b *Budget) Heeded() bool { return b.heeded }

// An end is when the calls of a moment are over.
type end struct {
	born int64 // ns since the budget was made
	at   time.Time
	done chan struct{}
}

// Do runs f, and is over when the budget is, whatever f does. A context that is over
// already ends it before f. What f sets must not be read after an error.
func Do[T any](ctx context.Context, b *Budget, f func(context.Context) (T, error)) (v T, err error) {
	if err := Ended(ctx); err != nil {
		return v, err
	}
	ctx = b.Within(ctx)
	if b.direct {
		return f(ctx)
	}
	return abandon(ctx, f)
}

// Ended is the error of a context that is over, or nil itself.
func Ended(ctx context.Context) error {
	if ctx == nil {
		return errNoContext
	}
	err := ctx.Err()
	if err == nil {
		return nil
	}
	if cause := context.Cause(ctx); !errors.Is(cause, err) {
		return fmt.Errorf("%w: %w", err, cause)
	}
	return err
}

// abandon leaves f to itself when ctx is over.
func abandon[T any](ctx context.Context, f func(context.Context) (T, error)) (T, error) {
	type result struct {
		v   T
		err error
	}
	done := make(chan result, 1)                             // so that it ends if nobody waits any more
	go func() { v, err := f(ctx); done <- result{v, err} }() // ends by the client's own time-outs
	select {
	case r := <-done:
		return r.v, r.err
	case <-ctx.Done():
		var none T
		return none, ctx.Err()
	}
}

// Within returns ctx with the budget's end in the place of its own, unless it has
// one of this budget already: then several calls share what is left. A caller who
// goes away is waited for until then at most.
func (b *Budget) Within(ctx context.Context) context.Context {
	if w, ok := ctx.(within); ok && w.of == b {
		return ctx
	}
	now := int64(time.Since(b.base))
	e := b.last.Load()
	if e == nil || now-e.born > int64(b.most)/16 {
		e = &end{born: now, at: time.Now().Add(b.most), done: make(chan struct{})}
		time.AfterFunc(b.most, func() { close(e.done) })
		b.last.Store(e)
	}
	return within{ctx, b, e}
}

// within has a caller's values, and the end of a budget.
type within struct {
	context.Context
	of  *Budget
	end *end
}

// Deadline is the earlier one of the caller's and the budget's.
func (w within) Deadline() (time.Time, bool) {
	if own, ok := w.Context.Deadline(); ok && own.Before(w.end.at) {
		return own, true
	}
	return w.end.at, true
}

// Done is closed at the budget's end.
func (w within) Done() <-chan struct{} { return w.end.done }

// Err tells the budget's end.
func (w within) Err() error {
	select {
	case <-w.end.done:
		return context.DeadlineExceeded
	default:
		return nil
	}
}
