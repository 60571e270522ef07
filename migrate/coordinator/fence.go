package coordinator

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"syscall"

	"github.com/transload/transload/internal/control"
	"github.com/transload/transload/internal/protocol"
	"github.com/transload/transload/topology"
)

// errNoFence means that a side does not let connections be listed or killed.
var errNoFence = errors.New("connections cannot be listed or killed there")

// fence ends every connection of some processes on the sides that are given. Only once it
// returns nil are they fenced: what they had sent is carried out or gone, and
// connections that they open later are refused by their first check, as the
// record, or the lock, that the check asks for was changed before.
func fence(ctx context.Context, sides [3]*side, name string, processes ...string) error {
	names := map[string]bool{}
	for _, p := range processes {
		names[control.ClientName(name, p)] = true
	}
	for _, s := range protocol.Sides {
		if sides[s] == nil {
			continue // it is gone
		}
		if err := fenceSide(ctx, sides[s], names); err != nil {
			return fmt.Errorf("fence on the %v: %w", s, err)
		}
	}
	return nil
}

func fenceSide(ctx context.Context, sd *side, names map[string]bool) error {
	if !sd.caps.Fence() {
		return errNoFence
	}
	nodes, err := sd.client.Nodes(ctx)
	if err != nil {
		return err
	}
	var wg sync.WaitGroup
	errs := make([]error, len(nodes))
	for i, n := range nodes {
		wg.Go(func() {
			errs[i] = fenceNode(ctx, sd.client, n.Addr, names)
			if errs[i] != nil && n.Down && n.Role == topology.Replica {
				// It may be a master that was cut off. What it still takes is thrown away
				// when it comes back as a replica.
				errs[i] = nil
			}
		})
	}
	wg.Wait()
	return errors.Join(errs...)
}

// sweeps bounds how often a node is listed. With a watermark two are enough;
// more are needed only while ids below it are still being accepted.
const sweeps = 20

// fenceNode kills by id, never by address, up to its own id: ids grow by one
// with each connection that is accepted, and a listing of live clients who
// redial would never come to an end.
func fenceNode(ctx context.Context, client *topology.Client, addr string, names map[string]bool) error {
	node, err := client.Node(addr)
	if err != nil {
		return err
	}
	defer node.Close()
	conn := node.Conn()
	defer conn.Close()
	mark, err := conn.Do(ctx, "client", "id").Int64()
	if errors.Is(err, syscall.ECONNREFUSED) {
		return nil // no process there, so no connections
	}
	if err != nil {
		return fmt.Errorf("%s: %w", addr, err)
	}
	for range sweeps {
		list, err := conn.Do(ctx, "client", "list").Text()
		if err != nil {
			return fmt.Errorf("%s: %w", addr, err)
		}
		ids := below(list, names, mark)
		if len(ids) == 0 {
			return nil
		}
		p := conn.Pipeline()
		for _, id := range ids {
			p.Do(ctx, "client", "kill", "id", id) // 0 if it went by itself
		}
		if _, err := p.Exec(ctx); err != nil {
			return fmt.Errorf("%s: %w", addr, err)
		}
	}
	return fmt.Errorf("%s: connections are still listed after %d sweeps", addr, sweeps)
}

// below returns the ids of connections of those names that are older than mark.
func below(list string, names map[string]bool, mark int64) (ids []int64) {
	for line := range strings.Lines(list) {
		f := control.ClientFields(line)
		id, err := strconv.ParseInt(f["id"], 10, 64)
		if err == nil && id < mark && names[f["name"]] {
			ids = append(ids, id)
		}
	}
	return ids
}

// pastSilent tells how to go on where members are silent and nobody can be fenced.
// Only a human can know that a process has ended: its line is taken off by hand.
func (t *term) pastSilent(ids []string) string {
	if len(ids) == 0 || t.sides[protocol.Source].caps.Fence() && t.sides[protocol.Target].caps.Fence() {
		return ""
	}
	return fmt.Sprintf("; they are silent (%s), and connections cannot be listed and killed on both sides, so that nobody can be fenced: "+
		"make sure that these processes have ended, then HDEL %s with their names, on both sides",
		some(ids, 3), t.sides[protocol.Source].store.Keys().Roll)
}

// infoField returns one field of an INFO reply.
func infoField(info, field string) string {
	for line := range strings.Lines(info) {
		if v, ok := strings.CutPrefix(line, field+":"); ok {
			return strings.TrimSpace(v)
		}
	}
	return ""
}
