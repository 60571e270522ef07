package topology

import (
	"context"
	"errors"
	"log/slog"

	"github.com/redis/go-redis/v9"

	"github.com/transload/transload/internal/breaker"
	"github.com/transload/transload/internal/command"
	"github.com/transload/transload/internal/front"
)

// ErrBreakerOpen means that a command was not sent, since the last ones of its
// workload had no answer: see WithBreaker. The error that wraps it is a
// BreakerError, which names side and workload and says when one is tried again.
var ErrBreakerOpen = breaker.ErrOpen

// A BreakerError is the error of a command that a breaker has refused.
type BreakerError = breaker.Error

// A BreakerState is one breaker's: "closed", "open" or "half-open".
type BreakerState = breaker.State

// WithBreaker has commands fail at once, with ErrBreakerOpen, after ten transport
// errors of their workload in a row: failed dials, broken connections, time-outs,
// but no replies, whatever they say. Each 150 ms one command is let through, and
// any answer ends it, so that a failover lasts at most 0.2 s longer for it.
//
// side is for people to read. of names the workload of a key, one of workloads;
// commands for which it names another one are not guarded. A pipeline or a
// transaction goes by its first key. Commands without a key are not guarded, nor
// is Watch on a cluster. A function of WithOnConnect must use no keys.
//
// The default is no breaker: commands wait as long as their deadlines and the
// time-outs say.
func WithBreaker(side string, workloads []string, of func(key string) string) Option {
	return func(s *settings) error {
		if side == "" || len(workloads) == 0 || of == nil {
			return errors.Join(ErrOption, errors.New("a breaker needs the name of its side, workloads, and a function that tells them"))
		}
		s.guard = func(log *slog.Logger) guard { return guard{breaker.New(side, workloads, log), of} }
		return nil
	}
}

// Breakers returns the state of every workload's breaker, nothing without
// WithBreaker.
func (c *Client) Breakers() []BreakerState { return c.guard.b.States() }

// A guard is the hook that asks the breakers.
type guard struct {
	b  *breaker.Breaker // nil: no breakers
	of func(key string) string
}

// addGuard puts the breakers before all that a client sends. With reads from
// replicas it is before those too: a replica that does not answer is no news to
// the caller.
func (c *Client) addGuard(s settings) {
	if s.guard == nil {
		return
	}
	log := s.logger
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	c.guard = s.guard(log)
	c.AddHook(c.guard)
}

func (guard) DialHook(next redis.DialHook) redis.DialHook { return next }

func (g guard) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		return g.b.Do(ctx, g.workload(cmd), func() error { return next(ctx, cmd) })
	}
}

func (g guard) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		err := g.b.Do(ctx, g.workload(front.Bare(cmds)...), func() error { return next(ctx, cmds) })
		if errors.Is(err, ErrBreakerOpen) {
			for _, cmd := range cmds {
				cmd.SetErr(err)
			}
		}
		return err
	}
}

// workload returns that of the first key, "" if there is none. What a handshake
// sends has none, so that it is not counted beside the command that it is for.
func (g guard) workload(cmds ...redis.Cmder) string {
	var buf [4]string
	for _, cmd := range cmds {
		k, ok := command.Lookup(cmd.Args())
		if !ok {
			continue
		}
		if keys, err := k.AppendKeys(buf[:0], cmd.Args()); err == nil && len(keys) > 0 {
			return g.of(keys[0])
		}
	}
	return ""
}
