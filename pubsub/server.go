package pubsub

import (
	"context"
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/transload/transload/internal/breaker"
	"github.com/transload/transload/internal/budget"
)

const workload = "pubsub"

// A processor takes commands.
type processor interface {
	Process(ctx context.Context, cmd redis.Cmder) error
}

// once is a command that is sent once: go-redis would send it again after a reply
// that was lost, and would not say since when it tries.
type once struct{ *redis.Cmd }

// NoRetry tells go-redis, and the migrating client.
func (once) NoRetry() bool { return true }

// A server is Redis, with a bound on each call and a breaker.
type server struct {
	c       redis.UniversalClient
	budget  *budget.Budget
	breaker *breaker.Breaker
}

func newServer(c redis.UniversalClient, name string, o Options) *server {
	return &server{c: c, budget: budget.New(c, o.Budget), breaker: breaker.New(name, []string{workload}, o.Logger)}
}

// call runs f within a budget. Whatever keeps it from an answer is ErrUnavailable.
func call[T any](ctx context.Context, s *server, b *budget.Budget, f func(context.Context) (T, error)) (v T, err error) {
	if err := budget.Ended(ctx); err != nil {
		return v, fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	err = s.breaker.Do(ctx, workload, func() (err error) {
		v, err = budget.Do(ctx, b, f)
		return err
	})
	if err != nil {
		return v, fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	return v, nil
}

// run runs a script, once.
func (s *server) run(ctx context.Context, script *script, keys []string, args ...any) (any, error) {
	return call(ctx, s, s.budget, func(ctx context.Context) (any, error) { return runOn(ctx, s.c, script, keys, args...) })
}

// runOn runs a script: by its name, and whole where the server does not know it.
func runOn(ctx context.Context, c processor, script *script, keys []string, args ...any) (any, error) {
	words := make([]any, 0, 3+len(keys)+len(args))
	words = append(words, "evalsha", script.sha, len(keys))
	for _, k := range keys {
		words = append(words, k)
	}
	words = append(words, args...)
	cmd := redis.NewCmd(ctx, words...)
	err := c.Process(ctx, once{cmd})
	if redis.HasErrorPrefix(err, "NOSCRIPT") {
		words[0], words[1] = "eval", script.text
		cmd = redis.NewCmd(ctx, words...)
		err = c.Process(ctx, once{cmd})
	}
	return cmd.Val(), err
}

// answered reports whether err is a server's reply that would be the same again.
func answered(err error) bool {
	_, reply := errors.AsType[redis.Error](err)
	return reply && !redis.IsReadOnlyError(err) && !redis.IsLoadingError(err) && !redis.IsMasterDownError(err) &&
		!redis.IsClusterDownError(err) && !redis.IsTryAgainError(err) && !redis.IsMaxClientsError(err) && !redis.IsNoReplicasError(err)
}

// unsent reports whether a call that ended with err has certainly not reached a server.
func unsent(err error) bool {
	if op, ok := errors.AsType[*net.OpError](err); ok && op.Op == "dial" {
		return true
	}
	_, reply := errors.AsType[redis.Error](err)
	return reply || errors.Is(err, breaker.ErrOpen) || errors.Is(err, redis.ErrPoolTimeout) || errors.Is(err, redis.ErrPoolExhausted)
}

// pause waits, and reports whether ctx is still good.
func pause(ctx context.Context, d time.Duration) bool {
	select {
	case <-ctx.Done():
		return false
	case <-time.After(d):
		return true
	}
}
