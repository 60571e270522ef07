package topology

import (
	"context"
	"errors"
	"net"
	"slices"
	"strings"
	"sync"

	"github.com/redis/go-redis/v9"
)

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
		slots, err := node.ClusterSlots(ctx).Result() //nolint:staticcheck // CLUSTER SHARDS is unknown before 7.0, and go-redis itself asks for slots
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
