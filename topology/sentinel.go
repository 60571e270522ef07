package topology

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/redis/go-redis/v9"
)

// errNoMaster is wrapped in what is returned if the sentinels know no such master.
var errNoMaster = errors.New("the sentinels know no master of that name")

// A sentinelView is what one sentinel says of the master and its replicas.
type sentinelView struct {
	epoch    uint64 // of the master's configuration: the higher, the newer
	master   Node
	replicas []Node
}

// sentinel builds a client to one sentinel.
func (c *Client) sentinel(addr string) *redis.SentinelClient {
	return redis.NewSentinelClient(&redis.Options{
		Addr:     addr,
		Dialer:   c.dialler.dial,
		Username: c.cfg.SentinelUsername,
		Password: string(c.cfg.SentinelPassword),

		MaxRetries:            -1,
		DialTimeout:           c.cfg.DialTimeout,
		DialerRetries:         1,
		ReadTimeout:           c.cfg.ReadTimeout,
		ContextTimeoutEnabled: true,

		PoolSize:                 1,
		DisableIdentity:          true,
		MaintNotificationsConfig: quiet(),
	})
}

// askSentinels asks all sentinels at once and returns the answer of the highest
// epoch: until the leader of a failover has told the others, they name the old
// master, and one that was cut off does so for longer. So it waits for all of
// them; one that hangs costs a ReadTimeout.
func (c *Client) askSentinels(ctx context.Context, replicas bool) (sentinelView, error) {
	views, errs := make([]sentinelView, len(c.cfg.Addrs)), make([]error, len(c.cfg.Addrs))
	ctx, cancel := context.WithTimeout(ctx, c.cfg.DialTimeout)
	defer cancel()
	var wg sync.WaitGroup
	for i, addr := range c.cfg.Addrs {
		wg.Go(func() {
			s := c.sentinel(addr)
			// A cancelled context does not end a read, a closed client does.
			stop := context.AfterFunc(ctx, func() { s.Close() })
			defer func() { stop(); s.Close() }()
			var err error
			if views[i], err = c.askSentinel(ctx, s, replicas); err != nil {
				errs[i] = fmt.Errorf("sentinel %s: %w", addr, err)
			}
		})
	}
	wg.Wait()
	best := -1
	for i, v := range views {
		if errs[i] == nil && (best < 0 || v.epoch > views[best].epoch) {
			best = i
		}
	}
	if best < 0 {
		return sentinelView{}, errors.Join(errs...)
	}
	return c.corrected(views[best]), nil
}

// corrected puts the primary that the client's own connections lead to into the
// place of one that it has replaced: for a second after a promotion sentinels
// still name the old one.
func (c *Client) corrected(v sentinelView) sentinelView {
	addr, epoch := c.watch.primary()
	if addr == "" || addr == v.master.Addr || epoch < v.epoch {
		return v
	}
	old := v.master
	old.Role = Replica
	v.replicas = slices.DeleteFunc(v.replicas, func(n Node) bool { return n.Addr == addr })
	v.replicas = append(v.replicas, old)
	v.master = Node{Addr: addr, Role: Master, Slots: allSlots}
	return v
}

// askSentinel asks one. The epoch is asked for before the address: if they change
// in between, a new address counts for old, not an old one for new.
func (c *Client) askSentinel(ctx context.Context, s *redis.SentinelClient, replicas bool) (sentinelView, error) {
	var v sentinelView
	m, err := s.Master(ctx, c.cfg.SentinelMaster).Result()
	if redis.HasErrorPrefix(err, "No such master") {
		return v, errNoMaster
	}
	if err != nil {
		return v, err
	}
	v.epoch, _ = strconv.ParseUint(m["config-epoch"], 10, 64)
	addr, err := s.GetMasterAddrByName(ctx, c.cfg.SentinelMaster).Result()
	if err != nil {
		return v, err
	}
	if len(addr) != 2 {
		return v, errors.New("told no address")
	}
	v.master = nodeOf(m, Master)
	if now := net.JoinHostPort(addr[0], addr[1]); now != v.master.Addr {
		// A failover's leader names the new master before it lists it as such.
		old := nodeOf(m, Replica)
		v.master, v.replicas = Node{Addr: now, Role: Master, Slots: allSlots}, []Node{old}
	}
	if !replicas {
		return v, nil
	}
	list, err := s.Replicas(ctx, c.cfg.SentinelMaster).Result()
	if err != nil {
		return v, err
	}
	for _, r := range list {
		n := nodeOf(r, Replica)
		if !slices.ContainsFunc(append(v.replicas, v.master), func(have Node) bool { return have.Addr == n.Addr }) {
			v.replicas = append(v.replicas, n)
		}
	}
	return v, nil
}

// nodeOf reads what a sentinel says of a data server.
func nodeOf(m map[string]string, role Role) Node {
	n := Node{Addr: net.JoinHostPort(m["ip"], m["port"]), Role: role, Slots: allSlots}
	for flag := range strings.SplitSeq(m["flags"], ",") {
		n.Down = n.Down || flag == "s_down" || flag == "o_down" || flag == "disconnected"
	}
	return n
}
