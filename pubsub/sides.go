package pubsub

import (
	"fmt"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/transload/transload/topology"
)

// A Listener is a client of a migration. Listen returns a client for each side on
// which messages may be published now or soon, to listen with, and a channel that is
// closed when that changes; they stay the Listener's. The migrating client is one.
type Listener interface {
	Listen() (sides []redis.UniversalClient, changed <-chan struct{})
}

// sides are where messages may be heard.
type sides = Listener

// fixed are sides that never change.
type fixed []redis.UniversalClient

// Listen implements Listener.
func (f fixed) Listen() ([]redis.UniversalClient, <-chan struct{}) { return f, nil }

// proofFor is how long the side that a migration has left is still asked who it is.
const proofFor = time.Minute

// A crossing remembers both sides of a migration for a while after one was left.
type crossing struct {
	mu   sync.Mutex
	both []redis.UniversalClient
	left time.Time // when one was left; zero while there are two
}

// note takes the sides that there are, and reports whether one was left just now.
func (c *crossing) note(clients []redis.UniversalClient) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(clients) > 1 {
		c.both, c.left = clients, time.Time{}
		return false
	}
	if c.both == nil || !c.left.IsZero() {
		return false
	}
	c.left = time.Now()
	return true
}

// sides are those that may prove that nothing was lost from one to the other; none if
// there is but one.
func (c *crossing) sides() []redis.UniversalClient {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.left.IsZero() && time.Since(c.left) > proofFor {
		c.both = nil
	}
	return c.both
}

func newSides(c, also redis.UniversalClient) (sides, error) {
	if l, ok := c.(Listener); ok {
		if also != nil {
			return nil, fmt.Errorf("%w: Also: a migrating client knows both sides by itself", ErrOption)
		}
		return l, nil
	}
	for _, c := range []redis.UniversalClient{c, also} {
		if _, ring := c.(*redis.Ring); ring {
			return nil, fmt.Errorf("%w: a Ring has no one server for a channel: use one client a shard, or a Cluster", ErrOption)
		}
	}
	if also == nil {
		return fixed{c}, nil
	}
	return fixed{c, also}, nil
}

// sharded reports whether a client is one of a Cluster, where messages are published
// to the server that has the channel's slot, not to all.
func sharded(c redis.UniversalClient) bool {
	switch c := c.(type) {
	case *redis.ClusterClient:
		return true
	case *topology.Client:
		return c.Mode() == topology.Cluster
	}
	return false
}
