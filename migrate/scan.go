package migrate

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"sync"

	"github.com/redis/go-redis/v9"

	"github.com/transload/transload/internal/command"
	"github.com/transload/transload/internal/protocol"
	"github.com/transload/transload/topology"
)

// A cursor is a server's own, with the side that gave it and, in a cluster, the
// master's number in order of addresses. Servers use the low bits: as many as
// their tables have, and 14 for the slot. No mark means source and first
// master, so that a cursor of before a migration is still good.
const (
	cursorTarget = 1 << 62
	cursorNode   = 52 // ten bits from here
	cursorNodes  = 1 << 10
	cursorOwn    = 1<<cursorNode - 1
)

// scan walks a whole side, node after node. An iteration stays on the side on
// which it was begun, through flips too: both hold the same keys. If that side is
// no longer in use, it begins anew on the other; keys come twice then, which
// SCAN does not promise against.
func (c *Client) scan(ctx context.Context, cmd redis.Cmder) error {
	args := cmd.Args()
	cur, err := cursorAt(args, 1)
	if err != nil {
		return err
	}
	var r retrier
	for {
		p, err := c.m.enter(ctx, nil, false)
		if err != nil {
			return err
		}
		at := cur
		if at != 0 {
			c.m.favour(&p, sideOf(at))
		}
		if sideOf(at) != p.side {
			at = 0
		}
		err = scanSide(ctx, p.pool.client, p.side, cmd, args, at)
		if c.m.leave(p, nil) == again {
			if !r.freely(ctx, c.m) {
				return orCause(ctx, err)
			}
			continue
		}
		if err == nil || !r.retry(ctx, c.m, err, false) {
			return err
		}
	}
}

// scanSide gets one page of a side.
func scanSide(ctx context.Context, client *topology.Client, side protocol.Side, cmd redis.Cmder, args []any, cur uint64) error {
	nodes, err := masters(ctx, client)
	if err != nil {
		return err
	}
	n := int(cur>>cursorNode) % cursorNodes
	if n >= len(nodes) {
		n, cur = 0, 0 // the cluster has shrunk
	}
	if err := nodes[n].Process(ctx, shaped{cmd, withArg(args, 1, cur&cursorOwn)}); err != nil {
		return err
	}
	return turnPage(cmd, func(page []string, next uint64) ([]string, uint64) {
		page = slices.DeleteFunc(page, own)
		switch {
		case next > cursorOwn:
			return page, next // not of a kind that we know: given on as it is
		case next == 0 && n+1 == len(nodes):
			return page, 0
		case next == 0:
			n++
		}
		return page, markSide(next|uint64(n)<<cursorNode, side)
	})
}

// masters returns the clients of a side's masters in order of their addresses.
func masters(ctx context.Context, client *topology.Client) ([]*redis.Client, error) {
	if one, ok := client.UniversalClient.(*redis.Client); ok {
		return []*redis.Client{one}, nil
	}
	var mu sync.Mutex
	var list []*redis.Client
	err := client.EachMaster(ctx, func(_ context.Context, _ string, node *redis.Client) error {
		mu.Lock()
		defer mu.Unlock()
		list = append(list, node)
		return nil
	})
	slices.SortFunc(list, func(a, b *redis.Client) int { return cmp.Compare(a.Options().Addr, b.Options().Addr) })
	return list, err
}

// scanKey is HSCAN, SSCAN and ZSCAN. The cursor of another side would make this
// one leave elements out, so that the iteration begins anew when its key has
// changed sides; elements may come twice, as they may at any time.
func (c *Client) scanKey(ctx context.Context, cmd redis.Cmder, k *command.Command, keys []string, units []unit) error {
	args := cmd.Args()
	cur, err := cursorAt(args, 2)
	if err != nil {
		return err
	}
	var r retrier
	for {
		p, err := c.m.enter(ctx, units, false)
		if err != nil {
			return err
		}
		at := cur
		if sideOf(at) != p.side {
			at = 0
		}
		sent := shaped{cmd, withArg(args, 2, at&^cursorTarget)}
		err = c.send(ctx, p, sent, k)
		switch {
		case c.m.leave(p, units) == again:
			if !r.freely(ctx, c.m) {
				return orCause(ctx, err)
			}
		case err == nil:
			return turnPage(cmd, func(page []string, next uint64) ([]string, uint64) { return page, markSide(next, p.side) })
		case !r.retry(ctx, c.m, err, false):
			return c.orClosed(err)
		}
	}
}

func sideOf(cur uint64) protocol.Side {
	if cur&cursorTarget != 0 {
		return protocol.Target
	}
	return protocol.Source
}

func markSide(cur uint64, s protocol.Side) uint64 {
	if cur != 0 && s == protocol.Target {
		return cur | cursorTarget
	}
	return cur
}

func cursorAt(args []any, at int) (uint64, error) {
	if at < len(args) {
		switch v := args[at].(type) {
		case uint64:
			return v, nil
		case int:
			return uint64(v), nil
		case int64:
			return uint64(v), nil
		case string:
			if n, err := strconv.ParseUint(v, 10, 64); err == nil {
				return n, nil
			}
		}
	}
	return 0, fmt.Errorf("migrate: %w: no cursor", command.ErrArgs)
}

func withArg(args []any, at int, v any) []any {
	args = slices.Clone(args)
	args[at] = v
	return args
}

var errPage = errors.New("migrate: malformed reply to a scan")

// turnPage changes the page and the cursor in a reply.
func turnPage(cmd redis.Cmder, f func([]string, uint64) ([]string, uint64)) error {
	switch cmd := cmd.(type) {
	case *redis.ScanCmd:
		page, next := cmd.Val()
		cmd.SetVal(f(page, next))
		return nil
	case *redis.Cmd:
		list, err := cmd.Slice()
		if err != nil || len(list) != 2 {
			return errPage
		}
		items, ok := list[1].([]any)
		if !ok {
			return errPage
		}
		page := make([]string, len(items))
		for i := range items {
			page[i] = fmt.Sprint(items[i])
		}
		next, err := strconv.ParseUint(fmt.Sprint(list[0]), 10, 64)
		if err != nil {
			return errPage
		}
		page, next = f(page, next)
		items = items[:0]
		for _, s := range page {
			items = append(items, s)
		}
		cmd.SetVal([]any{strconv.FormatUint(next, 10), items})
		return nil
	}
	return fmt.Errorf("%w: a scan into a %T: use Scan, HScan, SScan, ZScan or Do", ErrRefused, cmd)
}
