package migrate

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/transload/transload/internal/control"
	"github.com/transload/transload/internal/protocol"
)

// unkillable is how long a connection must have been given up on a server that
// lists or kills none. By then its end has reached the server, unless something
// between holds it back: with such a server that cannot be excluded.
const unkillable = 10 * time.Second

// errNoKill means that the server lists or kills no connections.
var errNoKill = errors.New("the server lists or kills no connections")

// janitor kills orphans as they come, so that a move finds few, and closes
// retired pools.
func (m *member) janitor(ctx context.Context) {
	for wait := time.Second; pause(ctx, wait); wait = min(2*wait, 10*time.Second) {
		m.closeRetired(retireFor, false)
		clean := true
		for _, s := range protocol.Sides {
			kctx, cancel := context.WithTimeout(ctx, 3*time.Second)
			clean = m.killOrphans(kctx, m.sides[s]) == nil && clean
			cancel()
		}
		if clean {
			wait = time.Second / 2
		}
	}
}

// killOrphans ends the connections that were given up on one side. One that
// cannot be ended stays on the list, and the member acknowledges nothing.
func (m *member) killOrphans(ctx context.Context, sd *memberSide) error {
	byServer, over := sd.orphans.byServer()
	if over {
		if err := m.killOwn(ctx, sd); err != nil {
			return fmt.Errorf("connections given up on the %v, which are too many to know: %w", sd.side, err)
		}
		sd.orphans.recovered()
	}
	for addr, ids := range byServer {
		err := m.killAt(ctx, sd, addr, ids)
		switch {
		case err == nil:
		case errors.Is(err, errNoKill) && time.Since(sd.orphans.youngest(addr)) >= unkillable:
		case unreachable(err) && m.replaced(ctx, sd, addr):
			// What it may still carry out is lost with it: another is master now.
		default:
			return fmt.Errorf("%d connections given up on the %v (%s): %w", len(ids), sd.side, addr, err)
		}
		sd.orphans.gone(addr, ids)
	}
	return nil
}

// killAt kills those of the connections that one server still has. A server
// that refuses connections is dead and has none.
func (m *member) killAt(ctx context.Context, sd *memberSide, addr string, ids []int64) error {
	node, err := sd.ctl.Node(addr)
	if err != nil {
		return err
	}
	defer node.Close()
	args := []any{"client", "list", "id"}
	among := map[string]bool{}
	for _, id := range ids {
		args = append(args, id)
		among[strconv.FormatInt(id, 10)] = true
	}
	list, err := node.Do(ctx, args...).Text()
	if redis.HasErrorPrefix(err, "syntax") { // before Redis 6.2
		list, err = node.ClientList(ctx).Result()
	}
	if errors.Is(err, syscall.ECONNREFUSED) || errors.Is(err, syscall.ENOENT) {
		return nil
	}
	if err != nil {
		return orNoKill(err)
	}
	return m.kill(ctx, node, list, func(id string) bool { return among[id] })
}

// killOwn kills every connection of this member to a side's masters, its own
// but for the one that it does this on.
func (m *member) killOwn(ctx context.Context, sd *memberSide) error {
	return sd.ctl.EachMaster(ctx, func(ctx context.Context, _ string, node *redis.Client) error {
		list, err := node.ClientList(ctx).Result()
		if err != nil {
			return orNoKill(err)
		}
		return m.kill(ctx, node, list, func(string) bool { return true })
	})
}

// kill kills the connections on a list that carry this member's name.
func (m *member) kill(ctx context.Context, node *redis.Client, list string, which func(id string) bool) error {
	p := node.Pipeline()
	for line := range strings.Lines(list) {
		if f := control.ClientFields(line); f["name"] == m.clientName() && which(f["id"]) {
			p.Do(ctx, "client", "kill", "id", f["id"]) // 0 if it went by itself
		}
	}
	if p.Len() == 0 {
		return nil
	}
	_, err := p.Exec(ctx)
	return orNoKill(err)
}

func orNoKill(err error) error {
	if control.Lacks(err) {
		return errNoKill
	}
	return err
}

// unreachable reports whether a server did not answer, as against refusing.
func unreachable(err error) bool {
	_, reply := errors.AsType[redis.Error](err)
	_, isNet := errors.AsType[net.Error](err)
	return !reply && (isNet || errors.Is(err, context.DeadlineExceeded))
}

// replaced reports whether a server is known to be no master of its side now.
func (m *member) replaced(ctx context.Context, sd *memberSide, addr string) bool {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
	defer cancel()
	masters, err := sd.ctl.Masters(ctx)
	if err != nil || len(masters) == 0 {
		return false
	}
	for _, n := range masters {
		if n.Addr == addr {
			return false
		}
	}
	return true
}
