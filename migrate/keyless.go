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
	"github.com/transload/transload/topology"
)

// processPlain runs a command with no target configured. On a cluster, what asks
// a whole server is asked of each master, as go-redis's own methods do.
func (c *Client) processPlain(ctx context.Context, cmd redis.Cmder) error {
	if c.plain.Mode() != topology.Cluster {
		return c.plain.Process(ctx, cmd)
	}
	if k, ok := command.Lookup(cmd.Args()); ok {
		switch k.Class {
		case command.AnySide, command.BothSides, command.AllKeys:
			return wholeServer(ctx, c.plain, cmd, k)
		}
	}
	return c.plain.Process(ctx, cmd)
}

// anySide runs what asks a whole server on the side that serves more keys. Both
// hold the same, since each is kept equal to the other; what is the server's own
// (INFO, SLOWLOG) is that of this side. The migration's own keys, some ten, are
// hidden from KEYS, SCAN and RANDOMKEY, and counted by DBSIZE.
func (c *Client) anySide(ctx context.Context, cmd redis.Cmder, k *command.Command) error {
	if k.Name == "scan" {
		return c.scan(ctx, cmd)
	}
	var r retrier
	for {
		p, err := c.m.enter(ctx, nil, false)
		if err != nil {
			return err
		}
		err = wholeServer(ctx, p.pool.client, cmd, k)
		if c.m.leave(p, nil) == again {
			if !r.freely(ctx, c.m) {
				return orCause(ctx, err)
			}
			continue
		}
		if err == nil && k.Name == "randomkey" && own(textOf(cmd)) {
			if !r.freely(ctx, c.m) {
				return orCause(ctx, redis.Nil)
			}
			continue
		}
		if err == nil || errors.Is(err, redis.Nil) {
			hideOwn(cmd, k)
			return err
		}
		if !r.retry(ctx, c.m, err, false) {
			return c.orClosed(err)
		}
	}
}

// bothSides runs what the other side has to know too. The caller gets the reply
// of one side: for PUBLISH that of the source, where subscribers are until the
// migration is done, else that of the side with more keys. The other side is
// told off the caller's path.
func (c *Client) bothSides(ctx context.Context, cmd redis.Cmder, k *command.Command) error {
	c.known.see(k.Name, cmd.Args())
	var r retrier
	for {
		p, err := c.m.enter(ctx, nil, false)
		if err != nil {
			return err
		}
		if publishes(k) {
			c.m.favour(&p, protocol.Source)
		}
		err = wholeServer(ctx, p.pool.client, cmd, k)
		c.m.leave(p, nil)
		if err == nil {
			c.echo.add(p, cmd, k)
			return nil
		}
		if !r.retry(ctx, c.m, err, false) {
			return c.orClosed(err)
		}
	}
}

func publishes(k *command.Command) bool { return k.Name == "publish" || k.Name == "spublish" }

// favour moves a pass for no key in particular to a side, if that may be used.
func (m *member) favour(p *pass, s protocol.Side) {
	if pl := p.view.pools[s]; p.view.leased && pl != nil && pl.valid(m.now()) {
		p.pool, p.side = pl, s
	}
}

// allKeys runs what may change any key: on the one side that owns them all, or
// not at all. What concerns scripts and functions alone may be on both sides at
// any time, and only waits out a hold.
func (c *Client) allKeys(ctx context.Context, cmd redis.Cmder, k *command.Command) error {
	if flushes(k) && c.m.view.Load().leased {
		return c.m.refuseFlush(k)
	}
	if k.Script {
		c.known.see(k.Name, cmd.Args())
		c.census.script(nil)
	}
	if k.Name == "script|flush" {
		c.known.forget()
	}
	var r retrier
	for {
		p, err := c.m.enter(ctx, nil, true)
		if err != nil {
			if !errors.Is(err, ErrSplitAuthority) {
				return err
			}
			if code(k) {
				return c.bothSides(ctx, cmd, k)
			}
			return c.m.splitError(k.Name, nil)
		}
		if flushes(k) && p.view.leased {
			c.m.leave(p, nil)
			return c.m.refuseFlush(k)
		}
		if k.Script {
			err = c.send(ctx, p, cmd, k)
		} else {
			err = wholeServer(ctx, p.pool.client, cmd, k)
		}
		if c.m.leave(p, nil) == unknown && !neverSent(err) {
			return unknownOutcome(err)
		}
		if err == nil || errors.Is(err, redis.Nil) {
			if code(k) {
				c.echo.add(p, cmd, k)
			}
			return err
		}
		if !r.retry(ctx, c.m, err, false) {
			return c.orClosed(err)
		}
	}
}

// flushes reports whether a command empties a server.
func flushes(k *command.Command) bool { return k.Name == "flushdb" || k.Name == "flushall" }

// code reports whether a command concerns scripts or functions, and no key.
func code(k *command.Command) bool {
	return strings.HasPrefix(k.Name, "script|") || strings.HasPrefix(k.Name, "function|")
}

func (m *member) refuseFlush(k *command.Command) error {
	return fmt.Errorf("%w: %s: it would erase the control record while a migration is in phase %v: delete the keys, or roll back to off first",
		ErrRefused, k.Name, m.view.Load().phase)
}

// hideOwn takes the migration's own keys out of a reply to KEYS.
func hideOwn(cmd redis.Cmder, k *command.Command) {
	if k.Name != "keys" {
		return
	}
	switch cmd := cmd.(type) {
	case *redis.StringSliceCmd:
		cmd.SetVal(slices.DeleteFunc(cmd.Val(), own))
	case *redis.Cmd:
		if list, err := cmd.StringSlice(); err == nil {
			setStrings(cmd, slices.DeleteFunc(list, own))
		}
	}
}
