package topology

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"

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

// slots asks the nodes of the cluster, one after the other until one answers,
// who owns which slots.
func (c *Client) slots(ctx context.Context) ([]Node, error) {
	nodes, _, err := c.slotsFrom(ctx)
	return nodes, err
}

// slotsFrom is slots; it also returns the client of the node that answered.
func (c *Client) slotsFrom(ctx context.Context) ([]Node, *redis.Client, error) {
	var mu sync.Mutex
	var known []*redis.Client
	if err := c.cluster.ForEachShard(ctx, func(_ context.Context, node *redis.Client) error {
		mu.Lock()
		defer mu.Unlock()
		known = append(known, node)
		return nil
	}); err != nil {
		return nil, nil, err
	}
	var errs []error
	for _, node := range known {
		slots, err := node.ClusterSlots(ctx).Result()
		if err != nil {
			errs = append(errs, err)
			continue
		}
		return nodesOf(slots, node.Options().Addr), node, nil
	}
	if len(errs) == 0 {
		return nil, nil, errors.New("the cluster has no nodes with slots")
	}
	return nil, nil, errors.Join(errs...)
}

// nodesOf turns a reply to CLUSTER SLOTS into nodes with their slots.
func nodesOf(slots []redis.ClusterSlot, origin string) []Node {
	var nodes []Node
	for _, slot := range slots {
		for i, n := range slot.Nodes {
			addr := resolve(n.Addr, origin)
			at := slices.IndexFunc(nodes, func(have Node) bool { return have.Addr == addr })
			if at < 0 {
				at, nodes = len(nodes), append(nodes, Node{Addr: addr, ID: n.ID, Role: Replica})
			}
			if i == 0 {
				nodes[at].Role = Master
			}
			if slot.Start >= 0 && slot.Start <= slot.End && slot.End <= 16383 {
				nodes[at].Slots = append(nodes[at].Slots, SlotRange{uint16(slot.Start), uint16(slot.End)})
			}
		}
	}
	for _, n := range nodes {
		slices.SortFunc(n.Slots, func(a, b SlotRange) int { return int(a.From) - int(b.From) })
	}
	sortNodes(nodes)
	return nodes
}

// resolve gives a node the address by which go-redis dials it, so that Masters
// and EachMaster name it alike: a loopback host means that of the node that told
// of it, unless that one is loopback too; port 0, as TLS-only clusters tell it,
// means that node's port; no host means that node.
func resolve(addr, origin string) string {
	host, port, err := net.SplitHostPort(addr)
	originHost, originPort, err2 := net.SplitHostPort(origin)
	if err != nil || err2 != nil {
		return addr
	}
	ip := net.ParseIP(host)
	if host == "" || ip != nil && ip.IsLoopback() && !isLoopback(originHost) {
		host = originHost
	}
	if port == "0" {
		port = originPort
	}
	return net.JoinHostPort(host, port)
}

func isLoopback(host string) bool {
	if ip := net.ParseIP(host); ip != nil {
		return ip.IsLoopback()
	}
	host = strings.ToLower(host)
	return host == "localhost" || strings.HasSuffix(host, ".docker.internal")
}

// clusterNodes adds to what slots says the nodes that are down or without slots.
func (c *Client) clusterNodes(ctx context.Context) ([]Node, error) {
	nodes, from, err := c.slotsFrom(ctx)
	if err != nil {
		return nil, err
	}
	text, err := from.ClusterNodes(ctx).Result()
	if err != nil {
		return nil, err
	}
	for _, n := range parseClusterNodes(text) {
		at := slices.IndexFunc(nodes, func(have Node) bool { return have.ID == n.ID })
		if at >= 0 {
			nodes[at].Down = nodes[at].Down || n.Down
			continue
		}
		n.Addr = resolve(n.Addr, from.Options().Addr)
		nodes = append(nodes, n)
	}
	return nodes, nil
}

// parseClusterNodes reads the lines of CLUSTER NODES, less the slots. Nodes that
// have no address, or with which the others have not shaken hands, are left out.
func parseClusterNodes(text string) []Node {
	var nodes []Node
	for line := range strings.Lines(text) {
		f := strings.Fields(line)
		if len(f) < 8 {
			continue
		}
		addr, _, _ := strings.Cut(f[1], ",")
		addr, _, _ = strings.Cut(addr, "@")
		flags := strings.Split(f[2], ",")
		if i := strings.LastIndexByte(addr, ':'); i < 0 || slices.Contains(flags, "noaddr") || slices.Contains(flags, "handshake") {
			continue
		} else {
			addr = net.JoinHostPort(strings.Trim(addr[:i], "[]"), addr[i+1:])
		}
		n := Node{Addr: addr, ID: f[0], Role: Replica}
		if slices.Contains(flags, "master") {
			n.Role = Master
		}
		n.Down = slices.Contains(flags, "fail") || slices.Contains(flags, "fail?")
		nodes = append(nodes, n)
	}
	return nodes
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
