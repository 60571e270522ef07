package migrate

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/transload/transload/internal/command"
	"github.com/transload/transload/internal/front"
	"github.com/transload/transload/internal/protocol"
)

// unwatchWithin bounds the UNWATCH after a transaction that was not sent.
const unwatchWithin = time.Second

// Watch runs fn with a transaction on the side that has the watched keys. All
// that fn does with it goes to that side. Each of its commands is admitted by
// itself: keys of the other side are ErrSplitAuthority, and if the keys have
// moved, or the lease ended, since they were watched, it fails with TxFailedErr,
// as a race that was lost does. So callers need no more than the loop that they
// have anyway. A transaction that meets a hold waits for its end.
//
// Only the connection to the first master is chosen here: as with a plain client
// of a cluster, all keys must share a slot there.
func (c *Client) Watch(ctx context.Context, fn func(*redis.Tx) error, keys ...string) error {
	if c.plain != nil {
		return c.plain.Watch(ctx, fn, keys...)
	}
	units := c.m.plan.units(nil, keys)
	c.census.watch(units)
	var r retrier
	for {
		p, err := c.m.enter(ctx, units, false)
		if errors.Is(err, ErrSplitAuthority) {
			return c.m.splitError("watch", units)
		}
		if err != nil {
			return err
		}
		called := false
		err = p.pool.client.Watch(ctx, func(tx *redis.Tx) error {
			called = true
			if len(keys) == 0 { // the connection is made before the guard looks on
				if err := tx.Ping(ctx).Err(); err != nil {
					called = false
					return err
				}
			}
			g := txGuard{c, tx, p, units}
			tx.AddHook(g)
			err := fn(tx)
			if ctx.Err() != nil {
				_ = g.fail(ctx) // go-redis would try with a context that is done
			}
			return err
		}, keys...)
		c.m.leave(p, units)
		if called {
			return err
		}
		if err == nil { // a cluster without redirects returns nil where it was told MOVED
			err = errStale
		}
		if !r.retry(ctx, c.m, err, false) {
			return c.orClosed(err)
		}
	}
}

// A txGuard admits what runs on the connection of one Watch.
type txGuard struct {
	c       *Client
	tx      *redis.Tx
	at      pass // under which the keys were watched
	watched []unit
}

func (g txGuard) DialHook(next redis.DialHook) redis.DialHook { return next }

func (g txGuard) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		k, known := command.Lookup(cmd.Args())
		if known && (k.Name == "watch" || k.Name == "unwatch") {
			return g.watch(ctx, cmd, k, next)
		}
		if known && k.Name == "wait" {
			return next(ctx, cmd) // refused elsewhere for want of one connection, which this is
		}
		return g.run(ctx, []redis.Cmder{cmd}, func() error { return next(ctx, cmd) })
	}
}

func (g txGuard) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		err := g.run(ctx, front.Bare(cmds), func() error { return next(ctx, cmds) })
		if err != nil {
			for _, cmd := range cmds {
				if cmd.Err() == nil && !refusedByServer(err) || errors.Is(err, redis.TxFailedErr) {
					cmd.SetErr(err)
				}
			}
		}
		return err
	}
}

// watch lets fn watch more keys, of the same side.
func (g txGuard) watch(ctx context.Context, cmd redis.Cmder, k *command.Command, next redis.ProcessHook) error {
	var units []unit
	if k.Name == "watch" {
		for _, arg := range cmd.Args()[1:] {
			units = append(units, g.c.m.plan.unit(fmt.Sprint(arg)))
		}
	}
	if side, _, split := g.c.m.view.Load().place(units, false); len(units) > 0 && (split || side != g.at.side) {
		return g.c.m.splitError("watch", append(units, g.watched...))
	}
	return next(ctx, cmd)
}

// run admits commands as one operation, a write if any of them writes, and runs
// them if they are for the connection's own side and lease.
func (g txGuard) run(ctx context.Context, cmds []redis.Cmder, send func() error) error {
	m := g.c.m
	b, err := g.c.batch(cmds)
	if err != nil {
		return err
	}
	units := b.units
	if b.write {
		units = append(slices.Clip(units), g.watched...)
	}
	if len(units) == 0 && !b.all { // PING, PUBLISH and the like
		err := send()
		g.c.echoBatch(g.at, cmds)
		return err
	}
	p, err := m.enter(ctx, units, b.write)
	if errors.Is(err, ErrSplitAuthority) {
		return m.splitError("a transaction", units)
	}
	if err != nil {
		return err
	}
	if p.pool != g.at.pool {
		m.leave(p, units)
		// A pool may be another one and its side the same: a migration has begun, or a
		// lease has ended. Only where what was watched stays while the keys lie on the
		// other side would trying again be of no use.
		if at, _, _ := p.view.place(g.watched, false); len(g.watched) > 0 && at == g.at.side && at != p.side {
			return m.splitError("a transaction", units)
		}
		return g.fail(ctx)
	}
	p.is(&aTransaction)
	err = send()
	switch v := m.leave(p, units); {
	case v == again:
		return redis.TxFailedErr // what was read does not count
	case v == unknown && !neverSent(err):
		return unknownOutcome(err)
	case v == believed && b.write && (err == nil || errors.Is(err, redis.Nil) || partly(err)):
		g.c.wroteBatch(p, cmds)
		g.c.echoBatch(p, cmds)
	}
	return err
}

// fail ends a transaction without sending it. go-redis takes it that the server
// has forgotten the watched keys by then; it has not, and whoever got the
// connection next would find its own transaction failed.
func (g txGuard) fail(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), unwatchWithin)
	defer cancel()
	_ = g.tx.Unwatch(ctx).Err() // a connection that cannot be asked is not used again
	return redis.TxFailedErr
}

// partly reports whether a pipeline that ended with err may have written all the
// same: one command was refused, the others were not. TxFailedErr and EXECABORT
// say that none was carried out.
func partly(err error) bool {
	return refusedByServer(err) && !errors.Is(err, redis.TxFailedErr) && !redis.IsExecAbortError(err)
}

// A batch is what several commands need together.
type batch struct {
	units []unit
	write bool
	all   bool // some command may touch any key
}

// batch looks commands up that are to run as one. The first that cannot go
// refuses all of them.
func (c *Client) batch(cmds []redis.Cmder) (b batch, err error) {
	leased := c.m.view.Load().leased
	done := c.m.view.Load().phase == protocol.Done
	for _, cmd := range cmds {
		k, err := classOf(cmd.Args())
		if err != nil {
			if done && errors.Is(err, ErrUnknownCommand) {
				continue
			}
			c.census.refuse(cmd.Args(), k)
			return b, err
		}
		keys, err := k.AppendKeys(nil, cmd.Args())
		if err != nil {
			return b, fmt.Errorf("migrate: %w", err)
		}
		if err := refuseOwn(k, cmd.Args(), keys); err != nil {
			c.census.refuse(cmd.Args(), k)
			return b, err
		}
		c.census.count(k)
		switch k.Route(cmd.Args(), len(keys)) {
		case command.Keyed:
			if k.Script {
				c.known.see(k.Name, cmd.Args())
			}
			b.units = c.m.plan.units(b.units, keys)
			b.write = b.write || k.Write(cmd.Args())
		case command.AllKeys:
			if flushes(k) && leased {
				return b, c.m.refuseFlush(k)
			}
			b.write, b.all = true, true
		case command.BothSides:
			c.known.see(k.Name, cmd.Args())
		}
	}
	if b.all {
		b.units = nil
	}
	return b, nil
}

// wroteBatch marks the keys that commands have written.
func (c *Client) wroteBatch(p pass, cmds []redis.Cmder) {
	if !p.view.mirrored() {
		return
	}
	var keys []string
	for _, cmd := range cmds {
		if k, ok := command.Lookup(cmd.Args()); ok {
			keys, _ = k.AppendWritten(keys, cmd.Args())
		}
	}
	if len(keys) > 0 {
		c.m.mirror.mark(p.view, keys...)
	}
}
