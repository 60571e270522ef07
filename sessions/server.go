package sessions

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/transload/transload/internal/breaker"
)

const workload = "sessions"

// confirmTries is how often a change that is to be confirmed is sent at most. A
// connection to a primary that was replaced is found out by its use, and a WATCH is
// not tried again by go-redis; scripts may be run twice.
const confirmTries = 3

// A client is what is needed of a redis.UniversalClient.
type client interface {
	redis.Scripter
	Process(ctx context.Context, cmd redis.Cmder) error
	Pipelined(ctx context.Context, f func(redis.Pipeliner) error) ([]redis.Cmder, error)
	Watch(ctx context.Context, f func(*redis.Tx) error, keys ...string) error
	Scan(ctx context.Context, cursor uint64, match string, count int64) *redis.ScanCmd
}

// A server is Redis, with a bound on each call and a breaker.
type server struct {
	c       client
	heeds   bool // a deadline ends a read
	budget  time.Duration
	confirm time.Duration
	breaker *breaker.Breaker
}

func newServer(c redis.UniversalClient, budget, confirm time.Duration, log *slog.Logger) *server {
	return &server{c: c, heeds: heedsDeadlines(c), budget: budget, confirm: confirm,
		breaker: breaker.New("redis", []string{workload}, log)}
}

// heedsDeadlines reports whether a context's deadline ends the wait for a reply:
// with go-redis's own clients by an option alone. Those of topology and migrate do.
func heedsDeadlines(c redis.UniversalClient) bool {
	switch c := c.(type) {
	case *redis.Client:
		return c.Options().ContextTimeoutEnabled
	case *redis.ClusterClient:
		return c.Options().ContextTimeoutEnabled
	case *redis.Ring:
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
// its own time-outs say. The breaker keeps those that wait few. What f sets must not
// be read after an error.
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

// process sends a command.
func (s *server) process(ctx context.Context, cmd redis.Cmder) error {
	_, err := call(ctx, s, s.budget, func(ctx context.Context) (struct{}, error) { return struct{}{}, s.c.Process(ctx, cmd) })
	return err
}

// run runs a script on one key.
func (s *server) run(ctx context.Context, script *redis.Script, key string, args ...any) (any, error) {
	return call(ctx, s, s.budget, func(ctx context.Context) (any, error) {
		return script.Run(ctx, s.c, []string{key}, args...).Result()
	})
}

// A confirmation is a script's reply, and whether a replica has what it wrote.
type confirmation struct {
	reply any
	ok    bool
}

// confirmed runs a script, and waits until a replica has what it wrote. That takes
// one connection: WAIT covers what was sent on its own. Watch is the one way to it
// that every client has; nothing is ever executed under it.
func (s *server) confirmed(ctx context.Context, script *redis.Script, key string, args ...any) (reply any, ok bool, err error) {
	if s.confirm < 0 {
		reply, err = s.run(ctx, script, key, args...)
		return reply, false, err
	}
	c, err := call(ctx, s, s.budget+s.confirm, func(ctx context.Context) (c confirmation, err error) {
		for try := 1; ; try++ {
			err = s.c.Watch(ctx, func(tx *redis.Tx) (err error) {
				if c.reply, err = script.Run(ctx, tx, []string{key}, args...).Result(); err == nil {
					c.ok = s.wait(ctx, tx)
				}
				return err
			}, key)
			if err == nil || ctx.Err() != nil || try == confirmTries || answered(err) {
				return c, err
			}
		}
	})
	return c.reply, c.ok, err
}

// answered reports whether err is a server's reply, which would be the same again.
// A transaction that failed is tried again: its keys have moved to another side.
func answered(err error) bool {
	_, reply := errors.AsType[redis.Error](err)
	return reply && !errors.Is(err, redis.TxFailedErr) && !redis.IsReadOnlyError(err)
}

// wait waits for one replica. Where there is none, it does not wait.
func (s *server) wait(ctx context.Context, tx *redis.Tx) bool {
	info, err := tx.Info(ctx, "replication").Result()
	if err == nil && strings.Contains(info, "connected_slaves:0\r") {
		return false
	}
	n, err := tx.Wait(ctx, 1, s.confirm).Result()
	return err == nil && n > 0
}

func (s *server) open() bool { return s.breaker.States()[0].State != "closed" }
