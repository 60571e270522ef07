package migrate

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/redis/go-redis/v9"

	"github.com/transload/transload/internal/command"
	"github.com/transload/transload/internal/protocol"
)

// few is how many keys a command may have before its keys cost an allocation.
const few = 4

// process is the innermost of the front's hooks for single commands.
func (c *Client) process(ctx context.Context, cmd redis.Cmder) error {
	if c.plain != nil {
		return c.processPlain(ctx, cmd)
	}
	args := cmd.Args()
	k, err := classOf(args)
	if err != nil {
		if c.m.view.Load().phase == protocol.Done && !errors.Is(err, ErrRefused) {
			return c.keyed(ctx, cmd, anyCommand, nil, nil)
		}
		c.census.refuse(args, k)
		return err
	}
	var keyBuf [few]string
	keys, err := k.AppendKeys(keyBuf[:0], args)
	if err != nil {
		return fmt.Errorf("migrate: %w", err)
	}
	if err := refuseOwn(k, args, keys); err != nil {
		c.census.refuse(args, k)
		return err
	}
	c.census.count(k)
	switch k.Route(args, len(keys)) {
	case command.Keyed:
		var unitBuf [few]unit
		units := c.m.plan.units(unitBuf[:0], keys)
		if len(units) > 1 {
			c.census.spread(k, units)
		}
		switch {
		case k.Script:
			c.census.script(units)
			c.known.see(k.Name, args)
		case k.Cursor:
			return c.scanKey(ctx, cmd, k, keys, units)
		case k.Blocking(args):
			return c.block(ctx, cmd, k, keys, units)
		}
		return c.keyed(ctx, cmd, k, keys, units)
	case command.AnySide:
		return c.anySide(ctx, cmd, k)
	case command.BothSides:
		return c.bothSides(ctx, cmd, k)
	case command.AllKeys:
		return c.allKeys(ctx, cmd, k)
	}
	return fmt.Errorf("%w: %s: it has no class", ErrRefused, k.Name)
}

// anyCommand stands for what the table does not know, where there is one side
// alone.
var anyCommand = &command.Command{Name: "unknown"}

// keyed runs a command on the side that has its keys. With no units it is for
// any side, or, if it writes, for the one that has them all.
func (c *Client) keyed(ctx context.Context, cmd redis.Cmder, k *command.Command, keys []string, units []unit) error {
	write := k.Write(cmd.Args())
	var r retrier
	for {
		p, err := c.m.enter(ctx, units, write)
		if err != nil {
			if errors.Is(err, ErrSplitAuthority) {
				return c.split(ctx, cmd, k, keys, units)
			}
			return err
		}
		p.is(&k.Name)
		err = c.m.guarded(ctx, p, func() error { return c.send(ctx, p, cmd, k) })
		switch c.m.leave(p, units) {
		case again:
			if cmd.NoRetry() || !r.freely(ctx, c.m) {
				return orCause(ctx, err)
			}
			continue
		case unknown:
			if !neverSent(err) {
				return unknownOutcome(err)
			}
		}
		if err == nil || errors.Is(err, redis.Nil) {
			if p.write {
				c.wrote(p, cmd, k)
			} else {
				c.m.shadow.read(p, cmd, units)
			}
			return err
		}
		if k.Script && refusedByServer(err) {
			c.wrote(p, cmd, k) // what it wrote before it failed stays written
		}
		if cmd.NoRetry() && !neverSent(err) || !r.retry(ctx, c.m, err, false) {
			return c.orClosed(err) // NoRetry: the reply goes to a writer of the caller's
		}
	}
}

// send runs a command once on a pool, with what belongs to running it once: a
// redirection is followed, and a script that the side does not know is sent whole.
func (c *Client) send(ctx context.Context, p pass, cmd redis.Cmder, k *command.Command) error {
	err := p.pool.client.Process(ctx, cmd)
	if err == nil || errors.Is(err, redis.Nil) {
		return err
	}
	if k.Script && redis.HasErrorPrefix(err, "NOSCRIPT") {
		if whole, ok := c.known.whole(cmd); ok {
			return p.pool.client.Process(ctx, whole)
		}
	}
	if redirected(err) {
		return follow(ctx, p.pool.client, cmd, err)
	}
	return err
}

// wrote marks the keys of a write that was answered for the mirror.
func (c *Client) wrote(p pass, cmd redis.Cmder, k *command.Command) {
	if !p.write || !p.view.mirrored() {
		return
	}
	var buf [few]string
	keys, err := k.AppendWritten(buf[:0], cmd.Args())
	if err == nil && len(keys) > 0 {
		c.m.mirror.mark(p.view, keys...)
	}
}

// units appends the units of keys.
func (p *plan) units(dst []unit, keys []string) []unit {
	for _, key := range keys {
		dst = append(dst, p.unit(key))
	}
	return dst
}

// unknownOutcome is the error of a write whose reply does not count.
func unknownOutcome(err error) error {
	if err == nil || errors.Is(err, redis.Nil) {
		return ErrUnknownOutcome
	}
	return fmt.Errorf("%w: %w", ErrUnknownOutcome, err)
}

// orCause returns why an operation that was to be run again was not.
func orCause(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if err != nil {
		return err
	}
	return fmt.Errorf("%w: its keys, or the lease, changed at every try", ErrNoSide)
}

// orClosed names our own end in place of a closed pool's.
func (c *Client) orClosed(err error) error {
	select {
	case <-c.m.closing:
		if errors.Is(err, redis.ErrClosed) {
			return ErrClosed
		}
	default:
	}
	return err
}

// splitError says which command lies on two sides, whose keys it has, and which
// step mends that.
func (m *member) splitError(name string, units []unit) error {
	var names []string
	for _, u := range units {
		if w := m.plan.names[u.workload]; !slices.Contains(names, w) {
			names = append(names, w)
		}
	}
	if len(names) == 0 {
		return fmt.Errorf("%w: %s may touch any key: move every workload to one side (migrate cutover --to 100, or migrate rollback)", ErrSplitAuthority, name)
	}
	only := strings.Join(names, ",")
	return fmt.Errorf("%w: %s on keys of %s: move them whole (migrate cutover --only %s --to 100, or migrate rollback)", ErrSplitAuthority, name, strings.Join(names, " and "), only)
}
