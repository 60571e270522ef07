package migrate

import (
	"context"

	"github.com/redis/go-redis/v9"

	"github.com/transload/transload/internal/command"
	"github.com/transload/transload/internal/protocol"
	"github.com/transload/transload/topology"
)

// follow runs a command where a node of a cluster said that its key is. If that
// is no master that the client knows yet, the redirection is the result, and the
// command is tried again once the client has read the map of slots anew.
func follow(ctx context.Context, client *topology.Client, cmd redis.Cmder, said error) error {
	addr, ask := redis.IsAskError(said)
	if !ask {
		addr, _ = redis.IsMovedError(said)
	}
	nodes, err := masters(ctx, client)
	if err != nil {
		return said
	}
	for _, node := range nodes {
		if node.Options().Addr != addr {
			continue
		}
		if !ask {
			return node.Process(ctx, cmd)
		}
		pipe := node.Pipeline()
		pipe.Do(ctx, "asking")
		_ = pipe.Process(ctx, cmd)
		if _, err := pipe.Exec(ctx); err != nil && cmd.Err() == nil {
			return err
		}
		return cmd.Err()
	}
	return said
}

// load makes sure, before a pipeline or a transaction goes to a side, that the
// side has the script that one of its commands names: the app has loaded it, but
// perhaps when the other side had the keys.
func (c *Client) load(ctx context.Context, p pass, cmd redis.Cmder) error {
	if !p.view.leased && p.view.phase != protocol.Done {
		return nil
	}
	args := cmd.Args()
	k, ok := command.Lookup(args)
	if !ok || (k.Name != "evalsha" && k.Name != "evalsha_ro") || len(args) < 2 {
		return nil
	}
	text, ok := c.known.find(args[1])
	if !ok {
		return nil
	}
	if c.known.has(p.pool, text) {
		return nil
	}
	load, _ := command.Lookup([]any{"script", "load"})
	if err := wholeServer(ctx, p.pool.client, redis.NewStringCmd(ctx, "script", "load", text), load); err != nil {
		return err
	}
	c.known.hasNow(p.pool, text)
	return nil
}
