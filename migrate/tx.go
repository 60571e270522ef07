package migrate

import (
	"context"
	"errors"

	"github.com/redis/go-redis/v9"

	"github.com/transload/transload/internal/command"
	"github.com/transload/transload/internal/front"
)

// tx runs a transaction whole on one side. It is tried again only where nothing
// of it can have been carried out, as go-redis does.
func (c *Client) tx(ctx context.Context, cmds []redis.Cmder) error {
	inner := front.Bare(cmds)
	err := c.runTx(ctx, cmds, inner)
	if err != nil && !partly(err) {
		for _, cmd := range cmds {
			cmd.SetErr(err)
		}
	}
	return err
}

func (c *Client) runTx(ctx context.Context, cmds, inner []redis.Cmder) error {
	b, err := c.batch(inner)
	if err != nil {
		return err
	}
	c.census.transaction(b.units)
	var r retrier
	for {
		p, err := c.m.enter(ctx, b.units, b.write)
		if errors.Is(err, ErrSplitAuthority) {
			return c.m.splitError("a transaction", b.units)
		}
		if err != nil {
			return err
		}
		p.is(&aTransaction)
		for _, cmd := range inner {
			cmd.SetErr(nil)
			if err = c.load(ctx, p, cmd); err != nil {
				break
			}
		}
		sent := err == nil
		if sent {
			err = c.m.guarded(ctx, p, func() error { return front.Pipeline(ctx, p.pool.client, cmds) })
			sent = !neverSent(err)
		}
		switch v := c.m.leave(p, b.units); {
		case v == again:
			if !r.freely(ctx, c.m) {
				return orCause(ctx, err)
			}
			continue
		case v == unknown && sent:
			return unknownOutcome(err)
		case sent && (err == nil || errors.Is(err, redis.Nil) || partly(err) && !redirected(err) && !passing(err, true)):
			if b.write {
				c.wroteBatch(p, inner)
			}
			c.echoBatch(p, inner)
			return err
		}
		if sent && !refusedByServer(err) || !r.retry(ctx, c.m, err, false) {
			return c.orClosed(err)
		}
	}
}

// echoBatch tells the other side what both have to know.
func (c *Client) echoBatch(p pass, cmds []redis.Cmder) {
	for _, cmd := range cmds {
		if k, ok := command.Lookup(cmd.Args()); ok && k.Class == command.BothSides && cmd.Err() == nil {
			c.echo.add(p, cmd, k)
		}
	}
}
