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
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/transload/transload/internal/breaker"
	"github.com/transload/transload/internal/budget"
)

// errReply means that a script's reply is not of its form. Nothing is allowed by it.
var errReply = errors.New("malformed reply")

// errUnasked means that Redis was not asked, since it could not be told what it had
// to know first.
var errUnasked = errors.New("not asked")

var (
	//go:embed window.lua
	windowLua string
	//go:embed gcra.lua
	gcraLua string
	//go:embed take.lua
	takeLua string
	//go:embed merge.lua
	mergeLua string
	//go:embed refund.lua
	refundLua string
	//go:embed beat.lua
	beatLua string

	windowScript = newScript(windowLua)
	gcraScript   = newScript(gcraLua)
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
type once struct{ *redis.IntSliceCmd }

// NoRetry tells go-redis, and the migrating client.
func (once) NoRetry() bool { return true }

// onceCount is once for ZADD.
type onceCount struct{ *redis.FloatCmd }

// NoRetry is once's.
func (onceCount) NoRetry() bool { return true }

// A call is a script with its arguments, and what became of it.
type call struct {
	to      processor
	script  *script // none: ZADD, which counts in a window if there is one
	circuit int
	again   bool  // by go-redis, which waits before it tries again what a server refuses
	args    []any // whole, or as EVALSHA takes them: the first two are filled in by send
	want    int   // elements of the reply
	reply   []int64
}

// run sends a call within the budget, if the breaker lets it, and notes when
// something goes wrong.
func (l *Limiter) run(ctx context.Context, c *call) ([]int64, error) {
	if ctx == nil {
		return nil, budget.Ended(ctx)
	}
	c.to = l.redis
	err := l.breaker.Do(ctx, circuitNames[c.circuit], func() (err error) {
		c.reply, err = budget.Do(ctx, l.budget, c.send)
		return err
	})
	if err != nil && !errors.Is(err, context.Canceled) {
		l.faults[c.circuit].Store(l.now())
		l.meter.failed(err)
		l.complain(err)
	}
	return c.reply, err
}

// complainEach is how often a refusal is logged, of which there is one a decision.
const complainEach = int64(time.Minute)

// complain logs what a server refuses: unlike one that is away, it may do so for good
// (NOPERM, OOM, WRONGTYPE, MOVED), while decisions are made without it.
func (l *Limiter) complain(err error) {
	now, next := l.now(), l.quiet.Load()
	if refused(err) && now >= next && l.quiet.CompareAndSwap(next, now+complainEach) {
		l.log.Warn("Redis refuses; until it does not, Policy.OnOutage decides", "workload", workload, "err", err)
	}
}

// refused reports whether err is a server's word.
func refused(err error) bool {
	_, reply := errors.AsType[redis.Error](err)
	return reply
}

// send sends a script, and its text if the server asks for it.
func (c *call) send(ctx context.Context) ([]int64, error) {
	if c.script == nil {
		return c.count(ctx)
	}
	c.args[0], c.args[1] = "evalsha", c.script.sha
	reply, err := c.process(ctx, c.args)
	if err != nil && redis.HasErrorPrefix(err, "NOSCRIPT") {
		whole := slices.Clone(c.args)
		whole[0], whole[1] = "eval", c.script.text
		reply, err = c.process(ctx, whole)
	}
	if err == nil && len(reply) == c.want {
		return reply, nil
	}
	if err == nil || errors.Is(err, redis.Nil) {
		err = fmt.Errorf("%w: want %d numbers", errReply, c.want)
	}
	return nil, err
}

// count sends ZADD, and answers as window.lua does, but for the time, which who counts
// knows already: -1. Where there is no window there is no answer.
func (c *call) count(ctx context.Context) ([]int64, error) {
	cmd := redis.NewFloatCmd(ctx, c.args...)
	err := c.to.Process(ctx, onceCount{cmd})
	switch used := int64(cmd.Val()); {
	case errors.Is(err, redis.Nil):
		return nil, nil
	case err != nil:
		return nil, err
	case used < 1 || float64(used) != cmd.Val():
		return nil, fmt.Errorf("%w: want a count", errReply)
	default:
		return []int64{used, -1, 0}, nil
	}
}

func (c *call) process(ctx context.Context, args []any) ([]int64, error) {
	cmd := redis.NewIntSliceCmd(ctx, args...)
	if c.again {
		err := c.to.Process(ctx, cmd)
		return cmd.Val(), err
	}
	err := c.to.Process(ctx, once{cmd})
	return cmd.Val(), err
}

// uncounted reports whether Redis has certainly not counted what ended with err: it
// was never sent, or refused. A time-out says nothing.
func uncounted(err error) bool {
	if refused(err) {
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
