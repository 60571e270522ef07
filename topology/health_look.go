package topology

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
)

// view returns what is known of the servers, within answerTime whatever they do.
func (c *Client) view(ctx context.Context) *snapshot {
	ctx, cancel := context.WithTimeout(ctx, c.answerTime())
	defer cancel()
	switch c.cfg.Mode {
	case Standalone:
		return c.look(ctx)
	case Cluster:
		return c.lookAtCluster(ctx)
	}
	for {
		s, next := c.snapshot()
		if s.primary() != "" {
			return s
		}
		select { // the watcher may have begun just now
		case <-next:
		case <-ctx.Done():
			return s
		}
	}
}

// look asks a standalone server how it is, on a connection of its own: a pool
// whose connections are all in use must not pass for a server that is away.
// Replicas are as the server describes them, since nobody says that they can be
// reached from here.
func (c *Client) look(ctx context.Context) *snapshot {
	rdb := c.asker(c.cfg.Addrs[0], c.cfg.Username, c.cfg.Password, "")
	defer rdb.Close()
	s := &snapshot{at: time.Now()}
	self := nodeState{Node: Node{Addr: c.cfg.Addrs[0], Role: Master, Slots: allSlots}, asked: s.at}
	var info map[string]string
	info, self.err = readInfo(ctx, rdb, "replication")
	if _, refused := errors.AsType[redis.Error](self.err); refused {
		self.loading = redis.IsLoadingError(self.err)
		self.err = nil // it answers, and will not tell
	}
	if self.err == nil {
		self.answered = time.Now()
		self.read(info, self.answered)
	}
	s.nodes = append([]nodeState{self}, listed(info, self)...)
	return s
}

// listed returns the replicas that a server lists in its INFO.
func listed(info map[string]string, of nodeState) (list []nodeState) {
	for i := 0; ; i++ {
		line, ok := info[fmt.Sprintf("slave%d", i)]
		if !ok {
			return list
		}
		f := pairs(line, ",", "=")
		n := nodeState{
			Node: Node{Addr: net.JoinHostPort(f["ip"], f["port"]), Role: Replica, Slots: allSlots},
			says: Replica, of: of.Addr, asked: of.asked, answered: of.answered,
			linkUp: f["state"] == "online", syncing: f["state"] != "online", priority: -1,
		}
		n.offset, _ = strconv.ParseInt(f["offset"], 10, 64)
		if lag, err := strconv.Atoi(f["lag"]); err == nil && n.linkUp {
			n.lag, n.lagKnown = time.Duration(lag)*time.Second, true
		}
		if n.offset >= of.offset {
			n.lag = 0
		}
		list = append(list, n)
	}
}

// lookAtCluster asks all nodes of a cluster how they are, at once.
func (c *Client) lookAtCluster(ctx context.Context) *snapshot {
	s := &snapshot{at: time.Now()}
	nodes, err := c.Nodes(ctx)
	if err != nil {
		return s
	}
	s.nodes = make([]nodeState, len(nodes))
	var wg sync.WaitGroup
	for i, n := range nodes {
		wg.Go(func() {
			rdb := c.asker(n.Addr, c.cfg.Username, c.cfg.Password, "")
			defer rdb.Close()
			began := time.Now()
			x := askNode(ctx, rdb, c.answerTime())
			x.Node, x.asked = n, began
			if x.err == nil {
				x.answered = time.Now()
			}
			s.nodes[i] = x
		})
	}
	wg.Wait()
	lags{}.fill(s)
	return s
}
