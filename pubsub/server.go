package pubsub

import (
	"context"
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/transload/transload/internal/breaker"
)

const workload = "pubsub"

// A processor takes commands.
type processor interface {
	Process(ctx context.Context, cmd redis.Cmder) error
}

// A client is what is needed of a redis.UniversalClient, which grows with each
// release.
type client interface {
	processor
	Watch(ctx context.Context, f func(*redis.Tx) error, keys ...string) error
}

// once is a command that is sent once: go-redis would send it again after a reply
// that was lost, and would not say since when it tries.
type once struct{ *redis.Cmd }

// NoRetry tells go-redis, and the migrating client.
func (once) NoRetry() bool { return true }

// A server is Redis, with a bound on each call and a breaker.
type server struct {
	c       client
	heeds   bool // a deadline ends a read
	budget  time.Duration
	breaker *breaker.Breaker
}

func newServer(c redis.UniversalClient, name string, o Options) *server {
	return &server{c: c, heeds: heedsDeadlines(c), budget: o.Budget, breaker: breaker.New(name, []string{workload}, o.Logger)}
}

// heedsDeadlines reports whether a context's deadline ends the wait for a reply:
// with go-redis's own clients by an option alone. Those of topology and migrate do.
func heedsDeadlines(c redis.UniversalClient) bool {
	switch c := c.(type) {
	case *redis.Client:
		return c.Options().ContextTimeoutEnabled
	case *redis.ClusterClient:
		return c.Options().ContextTimeoutEnabled
	}
	return true
}

// call runs f within a budget. Whatever keeps it from an answer is ErrUnavailable.
func call[T any](ctx context.Context, s *server, budget time.Duration, f func(context.Context) (T, error)) (v T, err error) {
	err = s.breaker.Do(ctx, workload, func() (err error) {
		ctx, cancel := context.WithTimeout(ctx, budget)
		defer cancel()
		if s.heeds {
			v, err = f(ctx)
		} else {
			v, err = abandon(ctx, f)
		}
		return err
	})
	if err != nil {
		return v, fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	return v, nil
}

// abandon leaves f to itself when ctx is over: its client waits on for as long as
// its own time-outs say. The breaker keeps those that wait few.
func abandon[T any](ctx context.Context, f func(context.Context) (T, error)) (T, error) {
	type result struct {
		v   T
		err error
	}
	done := make(chan result, 1)
	go func() { v, err := f(ctx); done <- result{v, err} }() // ends by the client's own time-outs
	select {
	case r := <-done:
		return r.v, r.err
	case <-ctx.Done():
		var none T
		return none, context.Cause(ctx)
	}
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
