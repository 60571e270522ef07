package migrate

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/transload/transload/internal/command"
	"github.com/transload/transload/internal/control"
	"github.com/transload/transload/internal/protocol"
)

const (
	// slice is the longest that a blocking command stays on a server at a time. An
	// idle one in flight would make each hold abort, and one that was begun in
	// phase off would be on the source forever.
	slice = time.Second

	// afterSlice is how much longer than its slice a reply may take before the
	// connection is given up: go-redis's own margin. A server that is only slow must
	// not be hung up on: what it pops for a closed connection is lost.
	afterSlice = 10 * time.Second

	// afterDeadline is how long after the caller's deadline the reply of its last slice
	// may come. It is due at the deadline; a server that hangs gives none, and the
	// caller must not wait for that.
	afterDeadline = time.Second

	// unblockWithin bounds one CLIENT UNBLOCK.
	unblockWithin = time.Second
)

// block runs a blocking command in slices. The caller sees one call with the
// time-out that it gave. A slice's own reply decides what has become of it: it
// is ended by CLIENT UNBLOCK, and an element that was popped before that came is
// in the reply.
func (c *Client) block(ctx context.Context, cmd redis.Cmder, k *command.Command, keys []string, units []unit) error {
	v := c.m.view.Load()
	if v.phase == protocol.Done {
		return c.keyed(ctx, cmd, k, keys, units)
	}
	c.census.block(k, units)
	args := cmd.Args()
	limit, _ := k.Timeout(args)
	var end time.Time // zero: none
	if limit > 0 {
		end = time.Now().Add(limit)
	}
	if k.Name == "xread" {
		var err error
		if args, err = c.pinLatest(ctx, args, units); err != nil {
			return err
		}
	}
	var r retrier
	for {
		over, err := c.awaitTurn(ctx, units, end)
		if err != nil {
			return err
		}
		if over {
			cmd.SetErr(redis.Nil)
			return redis.Nil
		}
		ended, err := c.slice(ctx, cmd, k, args, units, end)
		switch {
		case errors.Is(err, ErrSplitAuthority):
			return c.m.splitError(k.Name, units)
		case errors.Is(err, redis.Nil) && !ended:
			r = retrier{} // an empty slice is a success
		case err == nil || ended || !r.retry(ctx, c.m, err, true):
			return c.orClosed(err)
		}
		if ctx.Err() != nil {
			cmd.SetErr(context.Cause(ctx))
			return context.Cause(ctx)
		}
	}
}

// awaitTurn waits while a move of the keys is under way: a slice that was begun
// now would have to be ended again. It reports whether the command's own time is
// over.
func (c *Client) awaitTurn(ctx context.Context, units []unit, end time.Time) (over bool, err error) {
	var timer <-chan time.Time
	for {
		if !end.IsZero() {
			left := time.Until(end)
			if left <= 0 {
				return true, nil
			}
			if timer == nil {
				t := time.NewTimer(left)
				defer t.Stop()
				timer = t.C
			}
		}
		v := c.m.view.Load()
		if !v.moves(units) {
			return false, nil
		}
		select {
		case <-v.changed:
		case <-timer:
		case <-c.m.closing:
			return false, ErrClosed
		case <-ctx.Done():
			return false, context.Cause(ctx)
		}
	}
}

// moves reports whether a move is under way that covers one of the units: until
// it is granted nobody may write them. If all keys move, and the taker dies before
// its offer was heard of, nobody may read them either.
func (v *view) moves(units []unit) bool {
	if v.only != protocol.None {
		return false
	}
	return slices.ContainsFunc(units, func(u unit) bool {
		side, moving := v.serve(u, true)
		return moving || side == protocol.None && (v.between || !v.blank)
	})
}

// slice runs one slice. ended says that err is the command's last word, and is
// not to be tried again.
func (c *Client) slice(ctx context.Context, cmd redis.Cmder, k *command.Command, args []any, units []unit, end time.Time) (ended bool, err error) {
	p, err := c.enterBefore(ctx, units, k.Write(args), end)
	if err != nil {
		return !errors.Is(err, redis.Nil), err
	}
	p.is(&k.Name)
	err = c.runSlice(ctx, p, cmd, k, args, end)
	switch verdict := c.m.leave(p, units); {
	case errors.Is(err, redis.Nil):
		return false, err // nothing was taken, whatever that reply is worth
	case verdict == again:
		return false, redis.Nil
	case verdict == unknown && !neverSent(err):
		return true, unknownOutcome(err)
	case err == nil:
		c.wrote(p, cmd, k)
	}
	return err == nil, err
}

// enterBefore is enter for a command with a time-out of its own. That a move held
// its keys until then is no error: there was nothing for it.
func (c *Client) enterBefore(ctx context.Context, units []unit, write bool, end time.Time) (pass, error) {
	if end.IsZero() {
		return c.m.enter(ctx, units, write)
	}
	own, cancel := context.WithDeadline(ctx, end)
	defer cancel()
	p, err := c.m.enter(own, units, write)
	if err != nil && ctx.Err() == nil && own.Err() != nil && c.m.view.Load().moves(units) {
		return p, redis.Nil
	}
	return p, err
}

// runSlice sends one slice on a connection whose id is known, so that it can be
// ended. Before shadow there are no moves, and the id is not asked for.
func (c *Client) runSlice(ctx context.Context, p pass, cmd redis.Cmder, k *command.Command, args []any, end time.Time) error {
	wait := slice
	if !end.IsZero() {
		wait = min(wait, time.Until(end))
	}
	if deadline, ok := ctx.Deadline(); ok {
		wait = min(wait, time.Until(deadline))
	}
	wait = max(wait, time.Millisecond)
	part := shaped{cmd, k.WithTimeout(args, wait)}
	// The caller's deadline itself must not close the connection: what it had just
	// popped would be lost. The server ends the slice in time by itself.
	limit := wait + afterSlice
	if deadline, ok := ctx.Deadline(); ok {
		limit = min(limit, time.Until(deadline)+afterDeadline)
	}
	sliceCtx, cancel := context.WithTimeout(context.WithoutCancel(ctx), limit)
	defer cancel()
	keys, err := k.AppendKeys(nil, args)
	if err != nil {
		return err
	}
	node, err := p.pool.client.MasterFor(sliceCtx, keys[0])
	if err != nil {
		return err
	}
	conn := node.Conn()
	defer conn.Close()
	if !p.view.leased {
		return conn.Process(sliceCtx, part)
	}
	b := &blockedCall{side: p.side, key: keys[0]}
	if b.id, err = conn.ClientID(sliceCtx).Result(); err != nil && !control.Lacks(err) {
		return err
	}
	if b.id > 0 {
		c.blocks.add(b)
		defer c.blocks.remove(b)
		// Asked after it can be found: who comes later finds it.
		if c.m.view.Load() != p.view {
			return redis.Nil
		}
		told := make(chan struct{})
		stop := context.AfterFunc(ctx, func() {
			defer close(told)
			_ = b.unblock(sliceCtx, c.m)
		})
		defer func() {
			if !stop() {
				<-told
			}
		}()
	}
	return conn.Process(sliceCtx, part)
}

// pinLatest gives XREAD the ids that $ stands for now: in later slices it would
// leave out what came in between.
func (c *Client) pinLatest(ctx context.Context, args []any, units []unit) ([]any, error) {
	at := slices.IndexFunc(args, func(a any) bool { s, ok := a.(string); return ok && s == "$" })
	if at < 0 {
		return args, nil
	}
	k, _ := command.Lookup([]any{"xread"})
	keys, err := k.AppendKeys(nil, args)
	if err != nil {
		return nil, err
	}
	args = slices.Clone(args)
	first := len(args) - len(keys)
	read, _ := command.Lookup([]any{"xrevrange"})
	for i, key := range keys {
		if s, ok := args[first+i].(string); !ok || s != "$" {
			continue
		}
		last := redis.NewXMessageSliceCmd(ctx, "xrevrange", key, "+", "-", "count", 1)
		if err := c.keyed(ctx, last, read, keys[i:i+1], units[i:i+1]); err != nil {
			return nil, err
		}
		args[first+i] = "0-0"
		if len(last.Val()) > 0 {
			args[first+i] = last.Val()[0].ID
		}
	}
	return args, nil
}

// blocked are the slices that are on a server now.
type blocked struct {
	mu    sync.Mutex
	calls map[*blockedCall]struct{}
}

type blockedCall struct {
	side protocol.Side
	key  string // finds the node
	id   int64  // of the connection
}

func (b *blocked) add(x *blockedCall) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.calls == nil {
		b.calls = map[*blockedCall]struct{}{}
	}
	b.calls[x] = struct{}{}
}

func (b *blocked) remove(x *blockedCall) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.calls, x)
}

// unblock ends every slice that is on a server now, whatever its keys: a
// preparation waits for all that was let in before it, and those whose keys stay
// begin again at once. What a server does not allow is waited out: it takes a
// slice at most.
func (b *blocked) unblock(ctx context.Context, m *member) error {
	b.mu.Lock()
	calls := make([]*blockedCall, 0, len(b.calls))
	for x := range b.calls {
		calls = append(calls, x)
	}
	b.mu.Unlock()
	for _, x := range calls {
		if x.unblock(ctx, m) != nil {
			return ctx.Err()
		}
	}
	return nil
}

// unblock ends one slice, as if its time were over. It uses the control client:
// every connection of the app's pool may be blocked itself.
func (x *blockedCall) unblock(ctx context.Context, m *member) error {
	ctx, cancel := context.WithTimeout(ctx, unblockWithin)
	defer cancel()
	node, err := m.sides[x.side].ctl.MasterFor(ctx, x.key)
	if err != nil {
		return err
	}
	return node.ClientUnblock(ctx, x.id).Err()
}
