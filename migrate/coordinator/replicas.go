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
// was written to it so far: a marker, WAIT, and then how far each says it has come.
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

// settleNode writes a marker and waits until every replica has it. WAIT counts any
// that have it: one that has come online meanwhile would stand for one that lags. So
// the list is read once more after it, with how far each has come.
func (t *term) settleNode(ctx context.Context, sd *side, addr string, node *redis.Client) error {
	conn := node.Conn()
	defer conn.Close()
	p := conn.Pipeline()
	p.Set(ctx, t.markers.at(addr), t.id, time.Minute)
	role := p.Do(ctx, "role")
	if _, err := p.Exec(ctx); err != nil {
		return err
	}
	marked, err := lineOf(role)
	if err != nil {
		return err
	}
	have, want := 0, len(marked.replicas)
	for asked := 0; have < want && asked < want; { // again if some have come online meanwhile
		asked = want
		p := conn.Pipeline()
		p.Do(ctx, "wait", want, waitFor.Milliseconds())
		role := p.Do(ctx, "role")
		if _, err := p.Exec(ctx); err != nil {
			return err
		}
		now, err := lineOf(role)
		if err != nil {
			return err
		}
		have, want = now.reached(marked.offset), max(want, len(now.replicas))
	}
	if have < want {
		return fmt.Errorf("%d of %d have what was copied", have, want)
	}
	return nil
}

// A line is a master with its replicas that are online, and how far each has come in
// what it writes.
type line struct {
	offset   int64
	replicas []int64
}

// lineOf reads a ROLE reply.
func lineOf(role *redis.Cmd) (l line, err error) {
	list, err := role.Slice()
	if err != nil || len(list) < 3 || list[0] != "master" {
		return l, fmt.Errorf("it is no master (%v)", list)
	}
	l.offset, _ = list[1].(int64)
	replicas, _ := list[2].([]any)
	for _, r := range replicas {
		at := int64(-1)
		if r, ok := r.([]any); ok && len(r) == 3 {
			if text, ok := r[2].(string); ok {
				at, err = strconv.ParseInt(text, 10, 64)
			}
		}
		if err != nil || at < 0 {
			return l, fmt.Errorf("ROLE tells of a replica %v", r)
		}
		l.replicas = append(l.replicas, at)
	}
	return l, nil
}

// reached counts the replicas that have come so far.
func (l line) reached(offset int64) (n int) {
	for _, at := range l.replicas {
		if at >= offset {
			n++
		}
	}
	return n
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
