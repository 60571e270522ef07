package topology

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"

	"github.com/redis/go-redis/v9"
)

// A Role is what a data server is to the others.
type Role string

// The roles.
const (
	Master  Role = "master"
	Replica Role = "replica"
)

// A SlotRange is a stretch of slots, ends included.
type SlotRange struct{ From, To uint16 }

// allSlots is what the one master of a Redis that is no cluster owns.
var allSlots = []SlotRange{{0, 16383}}

// A Node is a data server as the topology names it.
type Node struct {
	// Addr is the announced host:port, or the path of a Unix socket. Client.Node
	// takes it, and AddrMap is applied there.
	Addr string

	// ID is the node's name in a cluster, else empty.
	ID string

	// Role tells masters from replicas.
	Role Role

	// Slots is what a master owns, sorted; a replica has its master's. A Redis
	// that is no cluster has all slots.
	Slots []SlotRange

	// Down is true if sentinels or cluster nodes say that it does not answer.
	Down bool
}

// EachMaster calls f once for every master as it is now, with the address that
// Masters gives it. In a cluster it calls f concurrently, and returns one of the
// errors once all calls are over. c is shared: f must not close it.
func (c *Client) EachMaster(ctx context.Context, f func(ctx context.Context, addr string, c *redis.Client) error) error {
	if c.cluster != nil {
		return c.cluster.ForEachMaster(ctx, func(ctx context.Context, node *redis.Client) error {
			return f(ctx, node.Options().Addr, node)
		})
	}
	masters, err := c.Masters(ctx)
	if err != nil {
		return err
	}
	return f(ctx, masters[0].Addr, c.one)
}

// MasterFor returns the client of the master that owns key. It is shared and must
// not be closed. After a failover or a move of slots the key may be elsewhere.
func (c *Client) MasterFor(ctx context.Context, key string) (*redis.Client, error) {
	if c.cluster == nil {
		return c.one, nil
	}
	rdb, err := c.cluster.MasterForKey(ctx, key)
	if err != nil {
		return nil, fmt.Errorf("topology: master for a key: %w", err)
	}
	return rdb, nil
}

// Node builds a client to one node alone, with the Client's credentials, TLS and
// time-outs, and without retries. It dials nothing. Options given to Open do not
// apply. The caller closes it.
func (c *Client) Node(addr string, opts ...Option) (*redis.Client, error) {
	if !isSocket(addr) {
		if err := checkAddr(addr); err != nil {
			return nil, fmt.Errorf("topology: node: address %w", err)
		}
	}
	s, err := newSettings(append(slices.Clone(opts), WithoutRetries()))
	if err != nil {
		return nil, err
	}
	return c.node(addr, s), nil
}

// Masters returns the masters as they are now, sorted by address: as the
// sentinels or a node of the cluster tell it. A standalone server is taken at its
// word in the settings. Masters without slots are left out.
func (c *Client) Masters(ctx context.Context) ([]Node, error) {
	switch c.cfg.Mode {
	case Sentinel:
		v, err := c.askSentinels(ctx, false)
		if err != nil {
			return nil, fmt.Errorf("topology: masters: %w", err)
		}
		return []Node{v.master}, nil
	case Cluster:
		nodes, err := c.slots(ctx)
		if err != nil {
			return nil, fmt.Errorf("topology: masters: %w", err)
		}
		return slices.DeleteFunc(nodes, func(n Node) bool { return n.Role != Master }), nil
	}
	return []Node{{Addr: c.cfg.Addrs[0], Role: Master, Slots: allSlots}}, nil
}

// Nodes returns masters and replicas as they are now, sorted by address. Those
// that sentinels or a cluster know to be down are among them. The replicas of a
// standalone server are those that it lists itself; where it will not, it is
// alone.
func (c *Client) Nodes(ctx context.Context) ([]Node, error) {
	var nodes []Node
	var err error
	switch c.cfg.Mode {
	case Sentinel:
		var v sentinelView
		v, err = c.askSentinels(ctx, true)
		nodes = append([]Node{v.master}, v.replicas...)
	case Cluster:
		nodes, err = c.clusterNodes(ctx)
	default:
		nodes, err = c.standaloneNodes(ctx)
	}
	if err != nil {
		return nil, fmt.Errorf("topology: nodes: %w", err)
	}
	sortNodes(nodes)
	return nodes, nil
}

func sortNodes(nodes []Node) {
	slices.SortFunc(nodes, func(a, b Node) int { return strings.Compare(a.Addr, b.Addr) })
}

// standaloneNodes asks the server for its replicas.
func (c *Client) standaloneNodes(ctx context.Context) ([]Node, error) {
	info, err := readInfo(ctx, c.one, "replication")
	if _, refused := errors.AsType[redis.Error](err); err != nil && !refused {
		return nil, err
	}
	self := Node{Addr: c.cfg.Addrs[0], Role: Master, Slots: allSlots}
	if info["role"] == "slave" {
		self.Role = Replica
	}
	nodes := []Node{self}
	for i := 0; ; i++ {
		line, ok := info[fmt.Sprintf("slave%d", i)]
		if !ok {
			return nodes, nil
		}
		f := pairs(line, ",", "=")
		if addr := net.JoinHostPort(f["ip"], f["port"]); checkAddr(addr) == nil {
			nodes = append(nodes, Node{Addr: addr, Role: Replica, Slots: allSlots, Down: f["state"] != "online"})
		}
	}
}

// readInfo returns the fields of INFO.
func readInfo(ctx context.Context, rdb *redis.Client, sections ...string) (map[string]string, error) {
	text, err := rdb.Info(ctx, sections...).Result()
	if err != nil {
		return nil, err
	}
	return pairs(text, "\n", ":"), nil
}

// pairs splits text into lines and these into names and values.
func pairs(text, end, between string) map[string]string {
	m := map[string]string{}
	for line := range strings.SplitSeq(text, end) {
		if k, v, ok := strings.Cut(strings.TrimSpace(line), between); ok {
			m[k] = v
		}
	}
	return m
}
