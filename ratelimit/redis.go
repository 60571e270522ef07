package ratelimit

import (
	"context"
	"crypto/sha1" // the name that Redis gives a script, not a secret
	_ "embed"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"slices"

	"github.com/redis/go-redis/v9"

	"github.com/transload/transload/internal/breaker"
)

// errReply means that a script's reply is not of its form. Nothing is allowed by it.
var errReply = errors.New("malformed reply")

// errUnasked means that Redis was not asked, since it could not be told what it had
// to know first.
var errUnasked = errors.New("not asked")

//go:embed take.lua
var takeLua string

//go:embed merge.lua
var mergeLua string

//go:embed refund.lua
var refundLua string

//go:embed beat.lua
var beatLua string

var (
	takeScript   = newScript(takeLua)
	mergeScript  = newScript(mergeLua)
	refundScript = newScript(refundLua)
	beatScript   = newScript(beatLua)
)

// A script is sent by its name, and whole where the server does not know it: after a
// restart, on a promoted replica, on the other side of a migration.
type script struct{ text, sha any }

func newScript(text string) *script {
	sum := sha1.Sum([]byte(text))
	return &script{text, hex.EncodeToString(sum[:])}
}

// A processor is all that is needed of a redis.UniversalClient, which grows with
// each release.
type processor interface {
	Process(ctx context.Context, cmd redis.Cmder) error
}

// once is a command that is sent once: go-redis would send it again after a reply
// that was lost, and it would count again.
type once struct{ *redis.Cmd }

// NoRetry tells go-redis, and the migrating client.
func (once) NoRetry() bool { return true }

// prompt reports whether a client is known to end a call at its deadline. go-redis
// does not unless it is told to: a read goes on for its ReadTimeout of 5 s.
func prompt(c redis.UniversalClient) bool {
	switch c := c.(type) {
	case *redis.Client:
		return c.Options().ContextTimeoutEnabled
	case *redis.ClusterClient:
		return c.Options().ContextTimeoutEnabled
	}
	return false
}

// A call is a script with its arguments, and what became of it.
type call struct {
	script  *script
	circuit int
	again   bool  // it may be run twice
	args    []any // as EVALSHA takes them; the first two are filled in by send
	want    int   // elements of the reply
	reply   []int64
}

// run sends a call within the budget, if the breaker lets it, and notes when
// something goes wrong.
func (l *Limiter) run(ctx context.Context, c *call) ([]int64, error) {
	err := l.breaker.Do(ctx, circuitNames[c.circuit], func() error { return l.bounded(ctx, c) })
	if err != nil && !errors.Is(err, context.Canceled) {
		l.faults[c.circuit].Store(l.now())
		l.meter.failed(err)
	}
	return c.reply, err
}

// bounded runs a call in time. What a client that does not end it has under way is
// left to end by the client's own time-outs; the breaker sees to it that there are
// not many.
func (l *Limiter) bounded(ctx context.Context, c *call) (err error) {
	if l.prompt {
		c.reply, err = c.send(l.budgets.within(ctx, l.now(), l.budget), l.redis)
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, l.budget)
	defer cancel()
	type answer struct {
		reply []int64
		err   error
	}
	done := make(chan answer, 1) // so that it ends if nobody waits any more
	to := l.redis
	go func() {
		reply, err := c.send(ctx, to)
		done <- answer{reply, err}
	}()
	select {
	case a := <-done:
		c.reply = a.reply
		return a.err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// send sends a script, and its text if the server asks for it.
func (c *call) send(ctx context.Context, to processor) ([]int64, error) {
	c.args[0], c.args[1] = "evalsha", c.script.sha
	v, err := c.process(ctx, to, c.args)
	if redis.HasErrorPrefix(err, "NOSCRIPT") {
		whole := slices.Clone(c.args)
		whole[0], whole[1] = "eval", c.script.text
		v, err = c.process(ctx, to, whole)
	}
	if err != nil {
		return nil, err
	}
	return c.parse(v)
}

func (c *call) process(ctx context.Context, to processor, args []any) (any, error) {
	cmd := redis.NewCmd(ctx, args...)
	if c.again {
		err := to.Process(ctx, cmd)
		return cmd.Val(), err
	}
	err := to.Process(ctx, once{cmd})
	return cmd.Val(), err
}

func (c *call) parse(v any) ([]int64, error) {
	list, ok := v.([]any)
	if !ok || len(list) != c.want {
		return nil, fmt.Errorf("%w: want %d numbers", errReply, c.want)
	}
	numbers := make([]int64, len(list))
	for i, x := range list {
		if numbers[i], ok = x.(int64); !ok {
			return nil, fmt.Errorf("%w: want %d numbers", errReply, c.want)
		}
	}
	return numbers, nil
}

// uncounted reports whether Redis has certainly not counted what ended with err: it
// was never sent, or refused. A time-out says nothing.
func uncounted(err error) bool {
	if _, refused := errors.AsType[redis.Error](err); refused {
		return true
	}
	if op, ok := errors.AsType[*net.OpError](err); ok && op.Op == "dial" {
		return true
	}
	if _, unanswered := errors.AsType[interface {
		error
		Unanswered()
	}](err); unanswered {
		return true
	}
	return errors.Is(err, errUnasked) || errors.Is(err, breaker.ErrOpen) || errors.Is(err, redis.ErrClosed) ||
		errors.Is(err, redis.ErrPoolTimeout) || errors.Is(err, redis.ErrPoolExhausted)
}
