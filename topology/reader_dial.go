package topology

import (
	"context"
	"errors"

	"github.com/redis/go-redis/v9"

	"github.com/transload/transload/internal/handshake"
)

// asker makes a client by which a node is asked where it is. Connections for that
// are not shown to the options' functions, as those of Client.Node are not.
func (r *reader) asker(n *readNode) *redis.Client {
	o := r.server(n).nodeOptions(n.addr, settings{name: r.s.name})
	r.hurry(o)
	o.PoolSize = 1
	return redis.NewClient(o)
}

// reads makes the client by which a replica is read.
func (r *reader) reads(n *readNode) *redis.Client {
	s := r.s
	s.onConnect = r.onConnect(n)
	o := r.server(n).nodeOptions(n.addr, s)
	r.hurry(o)
	if size := r.c.cfg.Reader.PoolSize; size > 0 {
		o.PoolSize = size
	}
	rdb := redis.NewClient(o)
	addHooks(rdb, s)
	r.c.meter.measure(rdb, Replica, n.addr)
	return rdb
}

// hurry sets the bounds of a try. What is sent on a connection that breaks is sent
// again at once: sentinels break those of a replica that gets another primary.
func (r *reader) hurry(o *redis.Options) {
	o.ReadTimeout, o.DialTimeout, o.PoolTimeout = r.bound, r.bound, r.bound
	o.MaxRetries, o.MinRetryBackoff, o.MaxRetryBackoff = 1, -1, -1
}

// server returns what has the settings of a node's connections: a service's
// address for reads has its own.
func (r *reader) server(n *readNode) *Client {
	if !n.anywhere {
		return r.c
	}
	cfg := r.c.cfg
	cfg.TLS.Enabled = cfg.Reader.TLS
	if cfg.Reader.Username != "" || cfg.Reader.Password != "" {
		cfg.Username = cfg.Reader.Username
	}
	if cfg.Reader.Password != "" {
		cfg.Password = cfg.Reader.Password
	}
	return &Client{cfg: cfg, dialler: cfg.newDialler()}
}

// onConnect makes a new connection to a replica fit for reads. It must lead to the
// process that was looked at: one that has been restarted since may be empty.
func (r *reader) onConnect(n *readNode) func(context.Context, *redis.Conn) error {
	return func(ctx context.Context, cn *redis.Conn) error {
		if r.c.cfg.Mode == Cluster {
			if err := cn.ReadOnly(ctx).Err(); err != nil {
				return err
			}
		}
		if run := n.run.Load(); run != nil && !n.anywhere {
			text, err := handshake.Do(ctx, cn, "info", "server").Text()
			if _, refused := errors.AsType[redis.Error](err); err != nil && !refused {
				return err
			}
			if err == nil && pairs(text, "\n", ":")["run_id"] != *run {
				return errOtherRun
			}
		}
		if r.s.onConnect != nil {
			return r.s.onConnect(ctx, cn)
		}
		return nil
	}
}

// pools returns the clients that reads use now.
func (r *reader) pools() []*redis.Client {
	t := r.routes.Load()
	if t == nil {
		return nil
	}
	var all []*redis.Client
	for _, n := range t.all {
		if rdb := n.reads.Load(); rdb != nil {
			all = append(all, rdb)
		}
	}
	return all
}

// addPools adds up the figures of these clients' pools. Those of a client that was
// closed are not kept.
func (r *reader) addPools(sum *redis.PoolStats) {
	for _, rdb := range r.pools() {
		one := rdb.PoolStats()
		sum.Hits += one.Hits
		sum.Misses += one.Misses
		sum.Timeouts += one.Timeouts
		sum.WaitCount += one.WaitCount
		sum.WaitDurationNs += one.WaitDurationNs
		sum.TotalConns += one.TotalConns
		sum.IdleConns += one.IdleConns
		sum.StaleConns += one.StaleConns
	}
}
