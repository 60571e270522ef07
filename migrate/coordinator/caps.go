package coordinator

import (
	"context"
	"errors"
	"math"

	"github.com/redis/go-redis/v9"

	"github.com/transload/transload/internal/control"
	"github.com/transload/transload/internal/keysync"
	"github.com/transload/transload/topology"
)

// Capabilities are what a side lets us do. They are tried, not taken from a
// version: services forbid commands, and servers made for tests lack them.
type Capabilities struct {
	Tracking bool   `json:"tracking"` // CLIENT TRACKING: a change feed
	List     bool   `json:"list"`     // CLIENT ID, LIST and KILL: processes can be fenced
	Unblock  bool   `json:"unblock"`  // CLIENT UNBLOCK
	Role     bool   `json:"role"`     // ROLE
	RunID    string `json:"run_id"`   // of the master asked; empty where it tells none
	Dump     bool   `json:"dump"`     // DUMP and RESTORE of every type
	Wait     bool   `json:"wait"`     // WAIT
	Config   bool   `json:"config"`   // CONFIG GET
	ACL      bool   `json:"acl"`      // ACL
	Memory   bool   `json:"memory"`   // MEMORY USAGE
	Version  string `json:"version"`  // as INFO tells it
}

// Fence reports whether a process's connections can be listed and killed.
func (c Capabilities) Fence() bool { return c.List }

// probe tries what a side can do, with arguments that change nothing. A server
// that refuses for the state that it is in (busy with a script, out of memory) has
// not told: it is not to be taken for one that lacks a feed or a fence.
func probe(ctx context.Context, client *topology.Client) (Capabilities, error) {
	node, err := client.MasterFor(ctx, control.Reserved)
	if err != nil {
		return Capabilities{}, err
	}
	const nobody = math.MaxInt64 // a client id that no server comes to
	p := node.Pipeline()
	id := p.Do(ctx, "client", "id")
	list := p.Do(ctx, "client", "list", "type", "pubsub")
	kill := p.Do(ctx, "client", "kill", "id", int64(nobody))
	unblock := p.Do(ctx, "client", "unblock", int64(nobody))
	tracking := p.Do(ctx, "client", "tracking", "off")
	role := p.Do(ctx, "role")
	wait := p.Do(ctx, "wait", 0, 1)
	config := p.Do(ctx, "config", "get", "maxmemory")
	acl := p.Do(ctx, "acl", "whoami")
	memory := p.Do(ctx, "memory", "usage", control.Reserved)
	restore := p.Do(ctx, "restore", control.Reserved+"probe}", 1, "no payload", "replace", "absttl")
	info := p.Info(ctx, "server")
	cmds, err := p.Exec(ctx)
	for _, cmd := range cmds {
		if e := cmd.Err(); e != nil && (!isReply(e) || keysync.OfState(e) && cmd != restore) {
			return Capabilities{}, e
		}
	}
	if len(cmds) == 0 {
		return Capabilities{}, err
	}
	allowed := func(cmds ...*redis.Cmd) bool {
		for _, cmd := range cmds {
			if err := cmd.Err(); err != nil && !errors.Is(err, redis.Nil) {
				return false
			}
		}
		return true
	}
	return Capabilities{
		Tracking: allowed(tracking), List: allowed(id, list, kill), Unblock: allowed(unblock), Role: allowed(role),
		Dump: restore.Err() != nil && !control.Lacks(restore.Err()), Wait: allowed(wait), Config: allowed(config),
		ACL: allowed(acl), Memory: allowed(memory),
		RunID: infoField(info.Val(), "run_id"), Version: infoField(info.Val(), "redis_version"),
	}, nil
}

// isReply reports whether a server answered with an error, as against not
// having answered.
func isReply(err error) bool {
	_, ok := errors.AsType[redis.Error](err)
	return ok
}
