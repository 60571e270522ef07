package topology

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"time"

	"github.com/redis/go-redis/v9"
)

// view returns what is known of the servers, within answerTime whatever they do.
// It takes that long only where writes fail: the watcher may have begun just now,
// and not have heard of everybody yet.
func (c *Client) view(ctx context.Context) *snapshot {
	if c.closed.Load() {
		return &snapshot{} // what was seen last would pass for what is
	}
	ctx, cancel := context.WithTimeout(ctx, c.answerTime())
	defer cancel()
	if c.cfg.Mode == Standalone {
		return c.look(ctx)
	}
	for {
		s, next := c.snapshot()
		if len(primaryFaults(s, c.cfg.Mode)) == 0 {
			return s
		}
		select {
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
		if redis.IsAuthError(self.err) {
			self.refused = self.err
		}
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
