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
	"github.com/transload/transload/internal/budget"
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
	budget  *budget.Budget // of one call
	longer  *budget.Budget // of one that waits for a replica too
	confirm time.Duration
	breaker *breaker.Breaker
}

func newServer(c redis.UniversalClient, within, confirm time.Duration, log *slog.Logger) *server {
	return &server{c: c, budget: budget.New(c, within), longer: budget.New(c, within+max(confirm, 0)), confirm: confirm,
		breaker: breaker.New("redis", []string{workload}, log)}
}

// call runs f within a budget. Whatever keeps it from an answer is ErrUnavailable.
func call[T any](ctx context.Context, s *server, b *budget.Budget, f func(context.Context) (T, error)) (v T, err error) {
	if ctx == nil {
		return v, errNoContext
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
	c, err := call(ctx, s, s.longer, func(ctx context.Context) (c confirmation, err error) {
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
