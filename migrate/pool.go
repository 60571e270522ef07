package migrate

import (
	"context"
	"errors"
	"net"
	"slices"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/transload/transload/internal/control"
	"github.com/transload/transload/internal/keysync"
	"github.com/transload/transload/internal/protocol"
	"github.com/transload/transload/topology"
)

// retireFor is how long a pool that is not used any more may end what it has
// under way: longer than any time-out of a command. A move that is prepared
// does not wait for it, but closes the pool.
const retireFor = 30 * time.Second

// copyPool bounds the connections for copies to a node: each worker of the mirror
// uses one at a time.
const copyPool = 2 * mirrorShards

// errStale refuses a new connection whose owner does not obey the record that
// the side has now. It is a leaf: go-redis hands it on unwrapped.
var errStale = errors.New("migrate: the control record has changed since this connection was asked for")

// A pool is the connections to one side under one unbroken lease. When the lease
// lapses the pool is closed, and a new lease has a new pool: else a command that
// was checked under the old lease could take a new and honest connection. For the
// same reason the phases in which no lease is needed have pools of their own.
type pool struct {
	side   protocol.Side
	gen    uint64  // of the lease
	leased bool    // used under a lease
	under  []*pool // of a pool for copies: those whose leases it is under
	client *topology.Client
	keys   *keysync.Side
	lease  atomic.Pointer[protocol.Lease]
	stale  atomic.Bool // gets no new connections
	lapsed atomic.Bool // whatever its connections have under way is given up
	quiet  atomic.Bool // no write is under way on it
}

// valid reports whether the pool's lease still holds, or all that it is under.
func (p *pool) valid(now protocol.Instant) bool {
	if len(p.under) > 0 {
		lapsed := func(q *pool) bool { return !q.valid(now) }
		return !p.lapsed.Load() && !slices.ContainsFunc(p.under, lapsed)
	}
	l := p.lease.Load()
	return l != nil && l.Valid(now)
}

// lapse ends the pool's lease for good.
func (p *pool) lapse() {
	p.stale.Store(true)
	p.lapsed.Store(true)
	p.lease.Store(nil)
}

// open opens the connections of one lease, or of a phase that needs none. Each
// new connection asks for the side's record, on a connection of the control
// client, after its handshake and before anything else: a member that was fenced
// while it slept finds there that it was left behind.
func (m *member) open(p *pool) (*pool, error) {
	side, sd := p.side, m.sides[p.side]
	check := func(ctx context.Context, _ *redis.Conn) error {
		standing := m.standing(side) // first: what is asked of the server must be newer
		if p.stale.Load() {
			return errStale
		}
		stands, err := control.Check(ctx, sd.ctl, m.opts.Name, standing)
		if err != nil {
			return err
		}
		if !stands || p.stale.Load() || p.leased && !p.valid(m.now()) {
			m.nudge(side)
			return errStale
		}
		return nil
	}
	cfg := sd.cfg
	if len(p.under) > 0 {
		cfg.PoolSize = copyPool
	}
	client, err := topology.Open(cfg,
		topology.WithName(m.clientName()),
		topology.WithOnConnect(check),
		topology.WithConn(func(c net.Conn) net.Conn { return sd.orphans.wrap(c, p) }),
		topology.WithoutRetries(),
		topology.WithoutReplicas(), // the lease is the primary's
	)
	if err != nil {
		return nil, err
	}
	p.client, p.keys = client, keysync.NewSide(client)
	if client.Mode() == topology.Cluster {
		p.keys = keysync.NewClusterSide(client)
	}
	return p, nil
}

// close ends what runs on the pool, with an error.
func (p *pool) close() { _ = p.client.Close() }

// A retired pool has been replaced, and not by a lapse: what it has under way
// may end, but nothing new begins on it.
type retired struct {
	pool *pool
	at   protocol.Instant
}

// retire takes a pool out of use, if there is one. mu is held.
func (m *member) retire(p **pool) {
	if *p == nil {
		return
	}
	(*p).stale.Store(true)
	m.retired = append(m.retired, retired{*p, m.now()})
	*p = nil
}

// closeRetired closes the pools that were retired longer than age ago. quiet says
// that every write of theirs is known to have ended.
func (m *member) closeRetired(age time.Duration, quiet bool) {
	m.mu.Lock()
	now := m.now()
	var ripe []*pool
	keep := m.retired[:0]
	for _, r := range m.retired {
		if now.Since(r.at) >= age {
			ripe = append(ripe, r.pool)
		} else {
			keep = append(keep, r)
		}
	}
	clear(m.retired[len(keep):])
	m.retired = keep
	m.mu.Unlock()
	for _, p := range ripe {
		p.quiet.Store(quiet)
		p.close()
	}
}

// clock turns time.Now into the two clocks that a lease is counted on.
type clock struct{ start time.Time }

func (c clock) now() protocol.Instant {
	t := time.Now()
	return protocol.Instant{Mono: t.Sub(c.start), Wall: time.Duration(t.UnixNano())}
}
