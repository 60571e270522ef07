package migrate

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/transload/transload/internal/command"
	"github.com/transload/transload/internal/control"
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

// everyMaster are the commands that one master of a cluster cannot answer, or
// carry out, for all. (script|exists is true if every master has it.)
const everyMaster = "dbsize keys flushall flushdb script|load script|flush script|exists function|load function|delete function|flush function|restore"

// wholeServer runs a command that has no key on a client. On a cluster it goes
// to each master where one of them cannot speak for the others.
func wholeServer(ctx context.Context, client *topology.Client, cmd redis.Cmder, k *command.Command) error {
	if client.Mode() != topology.Cluster || !slices.Contains(strings.Fields(everyMaster), k.Name) {
		return client.Process(ctx, cmd)
	}
	parts, err := onEachMaster(ctx, client, cmd)
	if err != nil {
		return err
	}
	cmd.SetErr(nil)
	if !merge(cmd, k, parts) { // the reply is the same everywhere
		return client.Process(ctx, cmd)
	}
	return nil
}

// onEachMaster runs a copy of a command on every master, and returns the replies.
func onEachMaster(ctx context.Context, client *topology.Client, cmd redis.Cmder) ([]*redis.Cmd, error) {
	var mu sync.Mutex
	var parts []*redis.Cmd
	err := client.EachMaster(ctx, func(ctx context.Context, _ string, node *redis.Client) error {
		part := redis.NewCmd(ctx, cmd.Args()...)
		if err := node.Process(ctx, part); err != nil {
			return err
		}
		mu.Lock()
		defer mu.Unlock()
		parts = append(parts, part)
		return nil
	})
	return parts, err
}

// merge makes one reply of those of all masters: numbers are added, lists
// joined, and truths must hold on each; of texts, which are the same, one is
// taken. It reports false if cmd is of a type that cannot take it.
func merge(cmd redis.Cmder, k *command.Command, parts []*redis.Cmd) bool {
	switch k.Name {
	case "dbsize":
		var sum int64
		for _, part := range parts {
			n, _ := part.Int64()
			sum += n
		}
		return setInt(cmd, sum)
	case "keys":
		var all []string
		for _, part := range parts {
			list, _ := part.StringSlice()
			all = append(all, list...)
		}
		return setStrings(cmd, all)
	case "script|exists":
		return mergeExists(cmd, parts)
	}
	for _, part := range parts {
		text, err := part.Text()
		return err == nil && setText(cmd, text)
	}
	return false
}

func mergeExists(cmd redis.Cmder, parts []*redis.Cmd) bool {
	var every []bool
	for _, part := range parts {
		one, err := part.BoolSlice()
		if err != nil {
			return false
		}
		if every == nil {
			every = one
		}
		for i := range every {
			every[i] = every[i] && i < len(one) && one[i]
		}
	}
	switch cmd := cmd.(type) {
	case *redis.BoolSliceCmd:
		cmd.SetVal(every)
		return true
	case *redis.Cmd:
		list := make([]any, len(every))
		for i, yes := range every {
			list[i] = int64(0)
			if yes {
				list[i] = int64(1)
			}
		}
		cmd.SetVal(list)
		return true
	}
	return false
}

// textOf returns a reply that is a text.
func textOf(cmd redis.Cmder) string {
	switch cmd := cmd.(type) {
	case *redis.StringCmd:
		return cmd.Val()
	case *redis.Cmd:
		s, _ := cmd.Text()
		return s
	}
	return ""
}

func setText(cmd redis.Cmder, text string) bool {
	switch cmd := cmd.(type) {
	case *redis.Cmd:
		cmd.SetVal(text)
	case *redis.StatusCmd:
		cmd.SetVal(text)
	case *redis.StringCmd:
		cmd.SetVal(text)
	default:
		return false
	}
	return true
}

func setStrings(cmd redis.Cmder, list []string) bool {
	switch cmd := cmd.(type) {
	case *redis.StringSliceCmd:
		cmd.SetVal(list)
	case *redis.Cmd:
		all := make([]any, len(list))
		for i, s := range list {
			all[i] = s
		}
		cmd.SetVal(all)
	default:
		return false
	}
	return true
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

func own(key string) bool { return strings.HasPrefix(key, control.Reserved) }

// An echo repeats on the other side what both have to know. It is bounded, and
// what finds no room is counted and dropped: publications are never sure to
// arrive, and a script that is missing is sent whole when it is called.
type echo struct {
	m       *member
	queue   chan echoed
	dropped atomic.Int64
	failed  atomic.Int64
}

type echoed struct {
	side protocol.Side
	args []any
	k    *command.Command
}

// echoRoom is what may wait for the other side: a second of what one process
// publishes when it publishes a lot.
const (
	echoRoom   = 4096
	echoWithin = time.Second // a side that is dead must not make a queue of it
)

func newEcho(m *member) *echo { return &echo{m: m, queue: make(chan echoed, echoRoom)} }

func (e *echo) add(p pass, cmd redis.Cmder, k *command.Command) {
	if !p.view.leased {
		return
	}
	select {
	case e.queue <- echoed{p.side.Other(), cmd.Args(), k}:
	default:
		e.dropped.Add(1)
	}
}

// run repeats one after the other, so that publications keep their order.
func (e *echo) run(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case x := <-e.queue:
			e.tell(ctx, x)
		}
	}
}

func (e *echo) tell(ctx context.Context, x echoed) {
	v := e.m.view.Load()
	p := v.pools[x.side]
	if !v.leased || p == nil || !p.valid(e.m.now()) {
		e.dropped.Add(1)
		return
	}
	ctx, cancel := context.WithTimeout(ctx, echoWithin)
	defer cancel()
	if err := wholeServer(ctx, p.client, redis.NewCmd(ctx, x.args...), x.k); err != nil {
		e.failed.Add(1)
	}
}
