package topology

import (
	"context"
	"errors"
	"fmt"
	"net"
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

// askSentinels asks all sentinels at once. Of the answers of more than half of
// them, or of all that answer, it returns the one of the highest epoch: a
// sentinel that was cut off during a failover still tells of the old master.
func (c *Client) askSentinels(ctx context.Context, replicas bool) (sentinelView, error) {
	type answer struct {
		view sentinelView
		err  error
	}
	answers := make(chan answer, len(c.cfg.Addrs)) // room for all: nobody blocks
	ctx, cancel := context.WithTimeout(ctx, c.cfg.DialTimeout)
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel()
	for _, addr := range c.cfg.Addrs {
		wg.Go(func() {
			s := c.sentinel(addr)
			// A cancelled context does not end a read, a closed client does.
			stop := context.AfterFunc(ctx, func() { s.Close() })
			defer func() { stop(); s.Close() }()
			v, err := c.askSentinel(ctx, s, replicas)
			if err != nil {
				err = fmt.Errorf("sentinel %s: %w", addr, err)
			}
			answers <- answer{v, err}
		})
	}
	var best sentinelView
	var errs []error
	good := 0
	for range c.cfg.Addrs {
		a := <-answers
		if a.err != nil {
			errs = append(errs, a.err)
			continue
		}
		if good++; good == 1 || a.view.epoch > best.epoch {
			best = a.view
		}
		if good > len(c.cfg.Addrs)/2 {
			break
		}
	}
	if good == 0 {
		return best, errors.Join(errs...)
	}
	return best, nil
}

// askSentinel asks one.
func (c *Client) askSentinel(ctx context.Context, s *redis.SentinelClient, replicas bool) (sentinelView, error) {
	var v sentinelView
	m, err := s.Master(ctx, c.cfg.SentinelMaster).Result()
	if redis.HasErrorPrefix(err, "ERR No such master") {
		return v, errNoMaster
	}
	if err != nil {
		return v, err
	}
	v.master = nodeOf(m, Master)
	v.epoch, _ = strconv.ParseUint(m["config-epoch"], 10, 64)
	if !replicas {
		return v, nil
	}
	list, err := s.Replicas(ctx, c.cfg.SentinelMaster).Result()
	if err != nil {
		return v, err
	}
	for _, r := range list {
		v.replicas = append(v.replicas, nodeOf(r, Replica))
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
