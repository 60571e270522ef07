package migrate

import (
	"context"
	"errors"
	"fmt"

	"github.com/redis/go-redis/v9"

	"github.com/transload/transload/internal/breaker"
	"github.com/transload/transload/internal/command"
	"github.com/transload/transload/internal/front"
	"github.com/transload/transload/internal/protocol"
)

// pipeline is the innermost of the front's hooks for pipelines and MULTI.
func (c *Client) pipeline(ctx context.Context, cmds []redis.Cmder) error {
	switch {
	case c.plain != nil:
		return front.Pipeline(ctx, c.plain, cmds)
	case front.IsTx(cmds):
		return c.tx(ctx, cmds)
	}
	c.census.pipelines.Add(1)
	return c.stretches(ctx, cmds)
}

// A step is one command of a pipeline. The units are its own; none mean that any
// side will do.
type step struct {
	cmd   redis.Cmder
	k     *command.Command
	class command.Class
	keys  []string
	units []unit
	write bool
	alone bool // goes by itself: it is on two sides, or for both, or for all keys
}

// stretches runs a pipeline: it is cut into stretches of one side, which run one
// after the other, so that nobody sees a later write before an earlier one. A
// pipeline that only reads is sorted by side first, which makes two of it at
// most. What is refused gets its own error, and the others run, as on a server.
// When a stretch ends without replies, those after it are not sent.
func (c *Client) stretches(ctx context.Context, cmds []redis.Cmder) error {
	steps, writes := c.steps(cmds)
	if !writes {
		steps = c.sortBySide(steps)
	}
	for len(steps) > 0 {
		n, side := c.stretch(steps)
		var err error
		if steps[0].alone {
			err = c.process(ctx, steps[0].cmd)
			steps[0].cmd.SetErr(err)
		} else {
			err = c.runStretch(ctx, steps[:n], side)
		}
		steps = steps[n:]
		if err != nil && !refusedByServer(err) && len(steps) > 0 && !refusedHere(err) {
			for _, s := range steps {
				s.cmd.SetErr(err)
			}
			break
		}
	}
	return firstError(cmds)
}

func refusedHere(err error) bool {
	return errors.Is(err, ErrSplitAuthority) || errors.Is(err, ErrRefused) || errors.Is(err, ErrUnknownCommand) || errors.Is(err, command.ErrArgs)
}

func firstError(cmds []redis.Cmder) error {
	for _, cmd := range cmds {
		if err := cmd.Err(); err != nil {
			return err
		}
	}
	return nil
}

// steps looks the commands up. Those that cannot go get their error and are left
// out.
func (c *Client) steps(cmds []redis.Cmder) (steps []step, writes bool) {
	steps = make([]step, 0, len(cmds))
	done := c.m.view.Load().phase == protocol.Done
	for _, cmd := range cmds {
		args := cmd.Args()
		k, err := classOf(args)
		if err != nil && done && errors.Is(err, ErrUnknownCommand) {
			k, err = anyCommand, nil
		}
		var keys []string
		if err == nil {
			keys, err = k.AppendKeys(nil, args)
		}
		if err == nil {
			err = refuseOwn(k, args, keys)
		}
		if err != nil {
			if !refusedHere(err) {
				err = fmt.Errorf("migrate: %w", err)
			}
			c.census.refuse(args, k)
			cmd.SetErr(err)
			continue
		}
		s := step{cmd: cmd, k: k, class: k.Route(args, len(keys)), keys: keys, write: k.Write(args)}
		switch s.class {
		case command.Keyed:
			s.units = c.m.plan.units(nil, keys)
			if len(s.units) > 1 {
				c.census.spread(k, s.units)
			}
			if k.Script {
				c.census.script(s.units)
				c.known.see(k.Name, args)
			}
			s.alone = k.Cursor
		case command.BothSides, command.AllKeys:
			s.alone = true
		case command.AnySide:
			s.alone = k.Name == "scan" || k.Name == "keys" || k.Name == "dbsize" || k.Name == "script|exists"
		}
		if !s.alone {
			c.census.count(k) // the others are counted when they run
		}
		writes = writes || s.write || s.class == command.BothSides
		steps = append(steps, s)
	}
	return steps, writes
}

// sortBySide puts the commands for one side before those for the other, in their
// order. Their replies are in their own commands.
func (c *Client) sortBySide(steps []step) []step {
	v := c.m.view.Load()
	if v.only != protocol.None || v.blank {
		return steps
	}
	var first, second []step
	for _, s := range steps {
		if side, _, _ := v.place(s.units, s.write); side == protocol.Target {
			second = append(second, s)
		} else {
			first = append(first, s)
		}
	}
	return append(first, second...)
}

// stretch returns how many of the first steps are for one side, by the view of
// this moment. A step that lies on two sides is a stretch of its own.
func (c *Client) stretch(steps []step) (n int, side protocol.Side) {
	v := c.m.view.Load()
	for i := range steps {
		s := &steps[i]
		if s.alone {
			return max(i, 1), side
		}
		if v.only != protocol.None || v.blank || s.class != command.Keyed || len(s.units) == 0 {
			continue
		}
		at, _, split := v.place(s.units, s.write)
		switch {
		case split && i == 0:
			s.alone = true
			return 1, protocol.None
		case split, side != protocol.None && at != side:
			return i, side
		}
		side = at
	}
	return len(steps), side
}

// runStretch runs steps of one side as one pipeline, and again those of them
// that can be tried again. If the view has moved so that they lie on two sides,
// they are cut anew.
func (c *Client) runStretch(ctx context.Context, steps []step, _ protocol.Side) error {
	var r retrier
	for {
		units, write := together(steps)
		p, err := c.m.enter(ctx, units, write)
		if errors.Is(err, ErrSplitAuthority) {
			return c.cutAnew(ctx, steps)
		}
		if err != nil {
			return setErrors(steps, err)
		}
		p.is(&aPipeline)
		err = c.m.guarded(ctx, p, func() error { return c.sendStretch(ctx, p, steps) })
		if errors.Is(err, breaker.ErrOpen) {
			_ = setErrors(steps, err)
		}
		switch c.m.leave(p, units) {
		case again:
			if !r.freely(ctx, c.m) {
				return setErrors(steps, orCause(ctx, err))
			}
			continue
		case unknown:
			if !neverSent(err) {
				return setErrors(steps, unknownOutcome(err))
			}
		}
		left := c.settle(p, steps)
		if len(left) == 0 {
			return nil
		}
		err = left[0].cmd.Err()
		if !r.retry(ctx, c.m, err, false) {
			return c.orClosed(err)
		}
		steps = left
		for _, s := range steps {
			s.cmd.SetErr(nil)
		}
	}
}

// cutAnew runs the steps of a stretch that now lies on two sides.
func (c *Client) cutAnew(ctx context.Context, steps []step) error {
	cmds := make([]redis.Cmder, len(steps))
	n, _ := c.stretch(steps)
	if n == len(steps) && !steps[0].alone { // they are together again
		return c.runStretch(ctx, steps, protocol.None)
	}
	for i, s := range steps {
		cmds[i] = s.cmd
	}
	return c.stretches(ctx, cmds)
}

// together returns what steps need as one operation.
func together(steps []step) (units []unit, write bool) {
	if len(steps) == 1 {
		return steps[0].units, steps[0].write
	}
	for i := range steps {
		units = append(units, steps[i].units...)
		write = write || steps[i].write
	}
	return units, write
}

// setErrors gives every step an error, whatever it had: nothing that was read
// counts.
func setErrors(steps []step, err error) error {
	for _, s := range steps {
		s.cmd.SetErr(err)
	}
	return err
}

// settle takes the steps that were answered off, marks what they wrote, and
// returns the others: those that got no reply, or one that can pass.
func (c *Client) settle(p pass, steps []step) (left []step) {
	var written []string
	for _, s := range steps {
		err := s.cmd.Err()
		answered := err == nil || errors.Is(err, redis.Nil) || refusedByServer(err)
		if answered && s.write && p.view.mirrored() && (err == nil || errors.Is(err, redis.Nil) || s.k.Script) {
			written, _ = s.k.AppendWritten(written, s.cmd.Args())
		}
		if !answered || redirected(err) || refusedByServer(err) && passing(err, true) {
			left = append(left, s)
		}
	}
	if len(written) > 0 {
		c.m.mirror.mark(p.view, written...)
	}
	return left
}

// sendStretch sends steps once. Scripts that the side may not know are loaded
// first: in a pipeline EVALSHA cannot fall back.
func (c *Client) sendStretch(ctx context.Context, p pass, steps []step) error {
	if len(steps) == 1 {
		err := c.send(ctx, p, steps[0].cmd, steps[0].k)
		steps[0].cmd.SetErr(err)
		return err
	}
	cmds := make([]redis.Cmder, len(steps))
	for i, s := range steps {
		cmds[i] = s.cmd
		if s.k.Script {
			if err := c.load(ctx, p, s.cmd); err != nil {
				return setErrors(steps, err)
			}
		}
	}
	err := front.Pipeline(ctx, p.pool.client, cmds)
	for i, s := range steps {
		if one := s.cmd.Err(); redirected(one) {
			s.cmd.SetErr(follow(ctx, p.pool.client, cmds[i], one))
		}
	}
	return err
}
