package coordinator

import (
	"context"
	"fmt"
	"strconv"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/transload/transload/internal/command"
	"github.com/transload/transload/internal/control"
	"github.com/transload/transload/internal/protocol"
	"github.com/transload/transload/topology"
)

// settleReplicas proves that every replica of every master of a side has what
// was written to it so far: a marker and WAIT on one connection each.
func (t *term) settleReplicas(ctx context.Context, s protocol.Side) error {
	sd := t.sides[s]
	if !sd.caps.Role || !sd.caps.Wait {
		return nil // a server without roles has no replicas
	}
	return sd.client.EachMaster(ctx, func(ctx context.Context, addr string, node *redis.Client) error {
		if err := t.settleNode(ctx, sd, addr, node); err != nil {
			return fmt.Errorf("replicas of %s: %w", addr, err)
		}
		return nil
	})
}

// waitFor bounds one WAIT; a server may overshoot it up to twice.
const waitFor = 100 * time.Millisecond

func (t *term) settleNode(ctx context.Context, sd *side, addr string, node *redis.Client) error {
	conn := node.Conn()
	defer conn.Close()
	p := conn.Pipeline()
	role := p.Do(ctx, "role")
	p.Set(ctx, t.markers.at(addr), t.id, time.Minute)
	if _, err := p.Exec(ctx); err != nil {
		return err
	}
	list, err := role.Slice()
	if err != nil || len(list) < 3 || list[0] != "master" {
		return fmt.Errorf("it is no master (%v)", list)
	}
	replicas, _ := list[2].([]any)
	if len(replicas) == 0 {
		return nil
	}
	n, err := conn.Do(ctx, "wait", len(replicas), waitFor.Milliseconds()).Int()
	if err != nil {
		return err
	}
	if n < len(replicas) {
		return fmt.Errorf("%d of %d have what was copied", n, len(replicas))
	}
	return nil
}

// markers are the keys that are written to prove that replicas follow: one for
// each master, in a slot that it owns.
type markers struct {
	mu   sync.Mutex
	keys map[string]string // by address
}

// learn finds a key for each master, before a hold begins.
func (mk *markers) learn(ctx context.Context, client *topology.Client) error {
	masters, err := client.Masters(ctx)
	if err != nil {
		return fmt.Errorf("coordinator: %w", err)
	}
	mk.mu.Lock()
	defer mk.mu.Unlock()
	mk.keys = make(map[string]string, len(masters))
	for _, m := range masters {
		if len(m.Slots) > 0 {
			mk.keys[m.Addr] = control.Reserved + tagOf(m.Slots[0].From) + "}:marker"
		}
	}
	return nil
}

// at returns the key for a master. One that is not known has become a master
// since: writing the key to it fails, on a cluster, as it should.
func (mk *markers) at(addr string) string {
	mk.mu.Lock()
	defer mk.mu.Unlock()
	if key, ok := mk.keys[addr]; ok {
		return key
	}
	return control.Reserved + "}:marker"
}

// tagOf returns a number that hashes to slot. It takes some ten thousand tries.
func tagOf(slot uint16) string {
	for i := 0; ; i++ {
		if tag := strconv.Itoa(i); command.Slot(tag) == slot {
			return tag
		}
	}
}
