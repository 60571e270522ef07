package migrate

import (
	"fmt"

	"github.com/redis/go-redis/v9"

	"github.com/transload/transload/internal/protocol"
	"github.com/transload/transload/topology"
)

// Listen returns a client for each side on which keys of this migration are served
// now, or may be after its next step, and a channel that is closed when that changes:
// the source in off, both from shadow to soak, the target in done. They are for who
// hears for himself what is published on each side, as package pubsub does: under no
// lease, so that no key may be read or written by them. They belong to the Client, and
// a side's is the same at each call.
func (c *Client) Listen() (sides []redis.UniversalClient, changed <-chan struct{}) {
	if c.plain != nil {
		return []redis.UniversalClient{c.plain}, nil
	}
	v := c.m.view.Load()
	for _, s := range turn(v) {
		sides = append(sides, c.listeners[s])
	}
	return sides, v.changed
}

// openListeners makes the clients of Listen. They dial when they are used.
func (c *Client) openListeners() error {
	for _, s := range protocol.Sides {
		l, err := topology.Open(c.m.sides[s].cfg, topology.WithName(c.m.clientName()), topology.WithoutReplicas())
		if err != nil {
			return fmt.Errorf("migrate: %v: %w", s, err)
		}
		c.listeners[s] = l
	}
	return nil
}

func (c *Client) closeListeners() {
	for _, l := range c.listeners {
		if l != nil {
			_ = l.Close()
		}
	}
}
