package migrate

import (
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/transload/transload/internal/breaker"
	"github.com/transload/transload/topology"
)

// The pauses between tries are go-redis's: from 8 to 512 ms.
const (
	minBackoff = 8 * time.Millisecond
	maxBackoff = 512 * time.Millisecond
)

// A retrier counts the tries of one operation. Errors that can pass are tried
// again Options.Retries times, as go-redis does. What was never sent (the
// connection was refused because a record had changed, or the pool of a lapsed
// lease was closed) and redirections are tried again for as long as an operation
// may wait at all. Each try is admitted anew.
type retrier struct {
	tries int
	free  int
	began time.Time
}

// retry says whether an operation is tried again after err, and pauses first.
// blocking is for commands that wait: a time-out of theirs is not tried again.
func (r *retrier) retry(ctx context.Context, m *member, err error, blocking bool) bool {
	if ctx.Err() != nil {
		return false
	}
	if errors.Is(err, errStale) || errors.Is(err, redis.ErrClosed) || redirected(err) {
		return r.freely(ctx, m)
	}
	if r.tries >= m.opts.Retries || !passing(err, !blocking) {
		return false
	}
	r.tries++
	return pause(ctx, backoff(r.tries))
}

// freely pauses before a try that does not count, but for the first. It reports
// false when an operation has waited for as long as it may.
func (r *retrier) freely(ctx context.Context, m *member) bool {
	if r.began.IsZero() {
		r.began = time.Now()
	}
	select {
	case <-m.closing:
		return false
	default:
	}
	if time.Since(r.began) >= m.opts.Wait {
		return false
	}
	r.free++
	if r.free == 1 {
		return ctx.Err() == nil // mostly the view is new already
	}
	return pause(ctx, min(time.Millisecond<<min(r.free-2, 10), 50*time.Millisecond))
}

func backoff(try int) time.Duration {
	return min(minBackoff+rand.N(minBackoff<<min(try, 10)), maxBackoff)
}

// redirected reports whether a node of a cluster says that another one has the
// key: its command was not carried out.
func redirected(err error) bool {
	_, moved := redis.IsMovedError(err)
	_, ask := redis.IsAskError(err)
	return moved || ask
}

// neverSent reports whether an operation that ended with err reached no server:
// it had no connection, or its breaker was open.
func neverSent(err error) bool {
	var op *net.OpError
	return errors.Is(err, errStale) || errors.Is(err, breaker.ErrOpen) || errors.Is(err, redis.ErrClosed) || errors.Is(err, redis.ErrPoolTimeout) ||
		errors.Is(err, redis.ErrPoolExhausted) || errors.Is(err, topology.ErrNoPrimary) || (errors.As(err, &op) && op.Op == "dial")
}

// refusedByServer reports whether err is a server's answer: the command was not
// carried out, or, if it is a script, up to where it failed.
func refusedByServer(err error) bool {
	var re redis.Error
	return errors.As(err, &re)
}

// passing reports whether err can pass by itself. The list is go-redis's own,
// which it does not export.
func passing(err error, timeouts bool) bool {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return true
	}
	var op *net.OpError
	if errors.As(err, &op) && op.Op == "dial" {
		return true
	}
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return false
	}
	if errors.Is(err, redis.ErrPoolTimeout) {
		return true
	}
	var timeout interface{ Timeout() bool }
	if errors.As(err, &timeout) {
		return timeouts || !timeout.Timeout()
	}
	return redis.IsMaxClientsError(err) || redis.IsLoadingError(err) || redis.IsReadOnlyError(err) ||
		redis.IsMasterDownError(err) || redis.IsClusterDownError(err) || redis.IsTryAgainError(err) ||
		redis.IsNoReplicasError(err)
}
