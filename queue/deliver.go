package queue

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/transload/transload/internal/budget"
)

// atOnce is how many jobs one pipeline takes: a server works on one for some
// milliseconds, and a hold of a migration waits for no more than that.
const atOnce = 500

// A sender is a client, or one connection of it.
type sender interface {
	Process(ctx context.Context, cmd redis.Cmder) error
	Pipelined(ctx context.Context, f func(redis.Pipeliner) error) ([]redis.Cmder, error)
}

// deliver enqueues jobs, each batch until all of it is answered or the budget is over.
func (c *Client) deliver(ctx context.Context, entries []*entry) error {
	now := time.Now()
	for _, e := range entries {
		if e.replicated && !e.retainSet {
			e.retain = max(e.retain, 2*c.opt.Budget) // as long as it may be sent again
		}
		e.compose(c.scripts, now)
	}
	for left := entries; len(left) > 0; {
		n := min(len(left), atOnce)
		if err := c.persist(ctx, left[:n]); err != nil {
			return err
		}
		left = left[n:]
	}
	return nil
}

var errBudget = errors.New("no answer within Options.Budget")

// persist tries a batch again as long as its time is not over.
func (c *Client) persist(ctx context.Context, entries []*entry) error {
	bounded := c.budget.Within(ctx)
	if entries[0].replicated {
		bounded = c.confirming.Within(ctx)
	}
	for wait := 20 * time.Millisecond; ; wait = min(2*wait, time.Second) {
		err := budget.Ended(ctx)
		if err == nil {
			err = c.breaker.Do(bounded, workload, func() error { return c.attempt(bounded, entries) })
		}
		switch {
		case err == nil || errors.Is(err, ErrEvicts):
			return err
		case full(err):
			return fmt.Errorf("%w: %w", ErrFull, err)
		case redis.IsAuthError(err):
			return fmt.Errorf("%w: it does not let us in: %w", ErrUnavailable, err)
		case answered(err):
			undo(bounded, c.redis, entries)
			return fmt.Errorf("queue: enqueue: %w", err)
		}
		if why := pause(ctx, bounded, wait); why != nil {
			return fmt.Errorf("%w: %w: %w", ErrUnavailable, why, err)
		}
	}
}

// pause waits for about d, and says why if a call is over: its own context is, or the
// budget.
func pause(ctx, bounded context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-bounded.Done():
		return errBudget
	case <-time.After(jittered(d)):
		return nil
	}
}

func jittered(d time.Duration) time.Duration { return d/2 + rand.N(d) }

// answered reports whether err is a server's reply that would be the same again.
func answered(err error) bool {
	reply, ok := errors.AsType[redis.Error](err)
	if !ok || errors.Is(err, redis.TxFailedErr) || redis.IsMaxClientsError(err) {
		return false
	}
	text := reply.Error() // not what it is wrapped in
	for _, passing := range []string{"READONLY", "LOADING", "CLUSTERDOWN", "MASTERDOWN", "TRYAGAIN", "NOREPLICAS", "UNBLOCKED", "NOSCRIPT", "BUSY ",
		"ERR WAIT cannot be used with replica"} { // which was a primary when it was written to
		if strings.HasPrefix(text, passing) {
			return false
		}
	}
	return true
}

// full reports whether a server has no room, in its memory or on its disk. That may
// last for hours, so nobody waits for it.
func full(err error) bool { return redis.IsOOMError(err) || redis.HasErrorPrefix(err, "MISCONF") }

// sleep waits for about d, and reports whether ctx has not ended.
func sleep(ctx context.Context, d time.Duration) bool {
	select {
	case <-ctx.Done():
		return false
	case <-time.After(jittered(d)):
		return true
	}
}

// attempt sends what is not answered yet, once.
func (c *Client) attempt(ctx context.Context, entries []*entry) error {
	if err := c.policy.allows(ctx); err != nil {
		return err
	}
	if err := c.announce(ctx, entries); err != nil {
		return err
	}
	if err := c.elsewhere(ctx, entries); err != nil {
		return err
	}
	if !entries[0].replicated {
		return send(ctx, c.redis, entries)
	}
	return c.replicate(ctx, entries)
}

// replicate sends jobs and waits for a replica, on one connection. What an earlier
// attempt got an answer for stays unconfirmed: that may have been another primary. If
// nobody can say whether a replica has them, a failover may have lost them: they are
// sent again, and those that are there after all are found by their nonce.
func (c *Client) replicate(ctx context.Context, entries []*entry) error {
	left := undone(entries)
	return c.redis.Watch(ctx, func(tx *redis.Tx) error {
		err, ok := send(ctx, tx, entries), false
		if err == nil {
			ok, err = confirmed(ctx, tx, c.opt.Confirm)
		}
		lost := err != nil && !answered(err) // also those of a batch that were answered before the others were not
		for _, e := range left {
			if lost {
				e.done, e.taken, e.state, e.last = false, false, 0, err
			}
			e.confirmed = ok && !e.taken // else the write was not on this connection
		}
		return err
	}, entries[0].firstKey())
}

// waitLate is how much longer than it was asked to a primary may take to answer a
// WAIT: one that was stopped never does.
const waitLate = 2 * time.Second

// confirmed waits until a replica has what was written on this connection: WAIT
// covers no other, and Watch is the one way to a connection that every client has.
// Where there is no replica it does not wait. An error means that there was no answer.
func confirmed(ctx context.Context, tx *redis.Tx, most time.Duration) (bool, error) {
	ctx, cancel := context.WithTimeout(ctx, most+waitLate)
	defer cancel()
	info, err := tx.Info(ctx, "replication").Result()
	if err == nil && strings.Contains(info, "connected_slaves:0\r") && !strings.Contains(info, "role:slave\r") {
		return false, nil
	}
	n, err := tx.Wait(ctx, 1, most).Result()
	if err != nil && !answered(err) {
		return false, fmt.Errorf("no answer to WAIT: %w", err)
	}
	return err == nil && n > 0, nil
}

// send sends jobs, in one pipeline if they are several. A script that the server
// does not know is sent whole, by the first that needs it.
func send(ctx context.Context, s sender, entries []*entry) error {
	for range 2 {
		left := undone(entries)
		if len(left) == 0 {
			break
		}
		err := transmit(ctx, s, left)
		if wholeOnce(left) {
			continue
		}
		if err = firstError(left, err); err != nil {
			return err
		}
		break
	}
	if err := firstError(entries, nil); err != nil {
		return err
	}
	return judge(ctx, s, entries)
}

// undone are the jobs that are not answered: mostly all, or none.
func undone(entries []*entry) []*entry {
	answered := func(e *entry) bool { return e.done }
	if !slices.ContainsFunc(entries, answered) {
		return entries
	}
	return slices.DeleteFunc(slices.Clone(entries), answered)
}

func transmit(ctx context.Context, s sender, left []*entry) (err error) {
	if len(left) == 1 {
		cmd := left[0].command(ctx)
		err = s.Process(ctx, cmd)
		left[0].answer(cmd)
		return err
	}
	cmds := make([]redis.Cmder, len(left))
	for i, e := range left {
		cmds[i] = e.command(ctx)
	}
	_, err = s.Pipelined(ctx, func(p redis.Pipeliner) error { return p.BatchProcess(ctx, cmds...) })
	for i, e := range left {
		e.answer(cmds[i].(*redis.Cmd))
	}
	return err
}

// answer reads a reply.
func (e *entry) answer(cmd *redis.Cmd) {
	n, err := cmd.Int64()
	if e.last, e.done = err, err == nil; !e.done {
		return
	}
	e.taken = n != 1
	e.state = New
	if e.taken {
		e.state = Duplicate
	}
}

// wholeOnce has the first job of each script that is unknown send its text, and
// reports whether there is one.
func wholeOnce(left []*entry) (unknown bool) {
	var seen []*script
	for _, e := range left {
		if e.done || !redis.HasErrorPrefix(e.last, "NOSCRIPT") {
			continue
		}
		unknown = true
		if !slices.Contains(seen, e.script) {
			seen, e.whole = append(seen, e.script), true
		}
	}
	return unknown
}

// firstError returns the first job's error, or err if none has one.
func firstError(entries []*entry, err error) error {
	for _, e := range entries {
		if !e.done && e.last != nil {
			return e.last
		}
	}
	return err
}

// judge looks again at the jobs whose id or lock was taken. It may be by this very
// call: go-redis sends a script again when a reply is lost, and the second copy finds
// the first one's job.
func judge(ctx context.Context, s sender, entries []*entry) error {
	var taken []*entry
	var cmds []redis.Cmder
	for _, e := range entries {
		if e.taken {
			taken = append(taken, e)
			cmds = append(cmds, redis.NewStringCmd(ctx, "hget", taskKey(e.queue, e.id), "msg"))
		}
	}
	if len(taken) == 0 {
		return nil
	}
	_, err := s.Pipelined(ctx, func(p redis.Pipeliner) error { return p.BatchProcess(ctx, cmds...) })
	for i, e := range taken {
		if !strings.Contains(cmds[i].(*redis.StringCmd).Val(), e.nonce) {
			continue
		}
		e.state = New
		if e.unique > 0 {
			if err := unlock(ctx, s, e); err != nil {
				return err
			}
		}
	}
	if err != nil && !errors.Is(err, redis.Nil) {
		return err
	}
	return nil
}

// unlock gives back the lock of a job that was done when its script was sent again:
// asynq's takes the lock before it sees that the job is there, and nobody else would
// give it back before its time is over.
func unlock(ctx context.Context, s sender, e *entry) error {
	cmd := redis.NewCmd(ctx, "eval", unlockLua, 2, e.lock(), taskKey(e.queue, e.id), e.id)
	cmd.SetFirstKeyPos(3)
	return s.Process(ctx, cmd)
}

const unlockLua = `if redis.call('HGET', KEYS[2], 'state') == 'completed' and redis.call('GET', KEYS[1]) == ARGV[1] then
	return redis.call('DEL', KEYS[1])
end
return 0`

// undo removes what a script wrote before it met an error, as far as Redis answers: a
// job without a place in its queue, which another of this id would be a Duplicate of.
// One that was in before would have had its id taken, and no error.
func undo(ctx context.Context, s sender, entries []*entry) {
	_, _ = s.Pipelined(ctx, func(p redis.Pipeliner) error {
		for _, e := range undone(entries) {
			if answered(e.last) {
				keys := []string{taskKey(e.queue, e.id), cmp.Or(e.lock(), queueKey(e.queue, "unique:"))}
				p.Eval(ctx, undoLua, keys, e.nonce, e.id)
			}
		}
		return nil
	})
}

const undoLua = `local msg = redis.call('HGET', KEYS[1], 'msg')
if msg and string.find(msg, ARGV[1], 1, true) then
	redis.call('DEL', KEYS[1])
end
if redis.call('GET', KEYS[2]) == ARGV[2] then
	redis.call('DEL', KEYS[2])
end
return 0`

// queueKey is the name of a key of a queue, as asynq has it.
func queueKey(queue, part string) string { return "asynq:{" + queue + "}:" + part }

func taskKey(queue, id string) string { return queueKey(queue, "t:"+id) }
