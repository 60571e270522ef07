package queue

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
)

// atOnce is how many jobs one pipeline takes: a server works on one for some
// milliseconds, and a hold of a migration waits for no more than that.
const atOnce = 500

// A sender is a client, or one connection of it.
type sender interface {
	Process(ctx context.Context, cmd redis.Cmder) error
	Pipelined(ctx context.Context, f func(redis.Pipeliner) error) ([]redis.Cmder, error)
}

// deliver sends calls, each batch until all of it is answered or the budget is over.
func (c *Client) deliver(ctx context.Context, calls []*call) error {
	for len(calls) > 0 {
		n := min(len(calls), atOnce)
		if err := c.persist(ctx, calls[:n]); err != nil {
			return err
		}
		calls = calls[n:]
	}
	return nil
}

var errBudget = errors.New("no answer within Options.Budget")

func (c *Client) confirm(calls []*call) time.Duration {
	if calls[0].entry.replicated {
		return c.opt.Confirm
	}
	return 0
}

// persist tries a batch again as long as its time is not over.
func (c *Client) persist(ctx context.Context, calls []*call) error {
	ctx, cancel := context.WithTimeoutCause(ctx, c.opt.Budget+c.confirm(calls), errBudget)
	defer cancel()
	for wait := 20 * time.Millisecond; ; wait = min(2*wait, time.Second) {
		err := c.breaker.Do(ctx, workload, func() error { return c.attempt(ctx, calls) })
		if err == nil || errors.Is(err, ErrEvicts) {
			return err
		}
		if answered(err) {
			return fmt.Errorf("queue: enqueue: %w", err)
		}
		if !sleep(ctx, wait) {
			return fmt.Errorf("%w: %w: %w", ErrUnavailable, context.Cause(ctx), err)
		}
	}
}

// answered reports whether err is a server's reply that would be the same again.
func answered(err error) bool {
	_, reply := errors.AsType[redis.Error](err)
	if !reply || errors.Is(err, redis.TxFailedErr) {
		return false
	}
	text := err.Error()
	for _, passing := range []string{"READONLY", "LOADING", "CLUSTERDOWN", "MASTERDOWN", "TRYAGAIN", "NOREPLICAS", "UNBLOCKED", "NOSCRIPT"} {
		if strings.HasPrefix(text, passing) {
			return false
		}
	}
	return true
}

// sleep waits for about d, and reports whether ctx has not ended.
func sleep(ctx context.Context, d time.Duration) bool {
	select {
	case <-ctx.Done():
		return false
	case <-time.After(d/2 + rand.N(d)):
		return true
	}
}

// attempt sends what is not answered yet, once.
func (c *Client) attempt(ctx context.Context, calls []*call) error {
	if err := c.policy.allows(ctx); err != nil {
		return err
	}
	if err := c.announce(ctx, calls); err != nil {
		return err
	}
	if err := c.elsewhere(ctx, calls); err != nil {
		return err
	}
	if !calls[0].entry.replicated {
		return c.send(ctx, c.redis, calls)
	}
	return c.replicate(ctx, calls)
}

// replicate sends calls and waits for a replica, on one connection. What an earlier
// attempt got an answer for stays unconfirmed: that may have been another primary.
func (c *Client) replicate(ctx context.Context, calls []*call) error {
	left, _ := pending(ctx, calls)
	return c.redis.Watch(ctx, func(tx *redis.Tx) error {
		if err := c.send(ctx, tx, calls); err != nil {
			return err
		}
		ok := confirmed(ctx, tx, c.opt.Confirm)
		for _, x := range left {
			x.entry.confirmed = ok
		}
		return nil
	}, calls[0].keys...)
}

// confirmed waits until a replica has what was written on this connection: WAIT
// covers no other, and Watch is the one way to a connection that every client has.
// Where there is no replica it does not wait.
func confirmed(ctx context.Context, tx *redis.Tx, most time.Duration) bool {
	info, err := tx.Info(ctx, "replication").Result()
	if err == nil && strings.Contains(info, "connected_slaves:0\r") {
		return false
	}
	n, err := tx.Wait(ctx, 1, most).Result()
	return err == nil && n > 0
}

// send sends calls, in one pipeline if they are several. A script that the server
// does not know is sent whole, by the first that needs it.
func (c *Client) send(ctx context.Context, s sender, calls []*call) error {
	for range 2 {
		left, cmds := pending(ctx, calls)
		var err error
		switch len(left) {
		case 0:
			return c.judge(ctx, s, calls)
		case 1:
			err = s.Process(ctx, cmds[0])
		default:
			_, err = s.Pipelined(ctx, func(p redis.Pipeliner) error { return p.BatchProcess(ctx, cmds...) })
		}
		unknown := 0
		for i, x := range left {
			if x.settle(cmds[i]); errors.Is(x.last, redis.ErrNoScript) || redis.HasErrorPrefix(x.last, "NOSCRIPT") {
				unknown++
			}
		}
		if unknown == 0 {
			if err = firstError(left, err); err != nil {
				return err
			}
			return c.judge(ctx, s, calls)
		}
		wholeOnce(left)
	}
	return firstError(calls, nil)
}

// pending makes the commands of calls that are not answered.
func pending(ctx context.Context, calls []*call) (left []*call, cmds []redis.Cmder) {
	left, cmds = make([]*call, 0, len(calls)), make([]redis.Cmder, 0, len(calls))
	for _, x := range calls {
		if !x.done {
			left = append(left, x)
			cmds = append(cmds, x.command(ctx))
		}
	}
	return left, cmds
}

func (x *call) command(ctx context.Context) *redis.Cmd {
	if x.whole {
		return newScriptCmd(ctx, "eval", x.text, x.keys, x.args)
	}
	return newScriptCmd(ctx, "evalsha", x.sha, x.keys, x.args)
}

// settle reads a reply.
func (x *call) settle(cmd redis.Cmder) {
	n, err := cmd.(*redis.Cmd).Int64()
	if x.last, x.done = err, err == nil; !x.done {
		return
	}
	x.taken = n != 1
	x.entry.state = New
	if x.taken {
		x.entry.state = Duplicate
	}
}

// wholeOnce has the first call of each script that is unknown send its text.
func wholeOnce(left []*call) {
	seen := map[string]bool{}
	for _, x := range left {
		if !x.done && !seen[x.sha] {
			seen[x.sha], x.whole = true, true
		}
	}
}

// firstError returns the first call's error, or err if none has one.
func firstError(calls []*call, err error) error {
	for _, x := range calls {
		if !x.done && x.last != nil {
			return x.last
		}
	}
	return err
}

// judge looks again at the jobs whose id or lock was taken. It may be by this very
// call: go-redis sends a script again when a reply is lost, and the second copy finds
// the first one's job.
func (c *Client) judge(ctx context.Context, s sender, calls []*call) error {
	var taken []*call
	var cmds []redis.Cmder
	for _, x := range calls {
		if x.taken {
			taken = append(taken, x)
			cmds = append(cmds, redis.NewStringCmd(ctx, "hget", taskKey(x.entry.queue, x.entry.id), "msg"))
		}
	}
	if len(taken) == 0 {
		return nil
	}
	_, err := s.Pipelined(ctx, func(p redis.Pipeliner) error { return p.BatchProcess(ctx, cmds...) })
	for i, x := range taken {
		if strings.Contains(cmds[i].(*redis.StringCmd).Val(), x.entry.nonce) {
			x.entry.state = New
		}
	}
	if err != nil && !errors.Is(err, redis.Nil) {
		return err
	}
	return nil
}

// queueKey is the name of a key of a queue, as asynq has it.
func queueKey(queue, part string) string { return "asynq:{" + queue + "}:" + part }

func taskKey(queue, id string) string { return queueKey(queue, "t:"+id) }
