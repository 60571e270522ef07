package migrate

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/transload/transload/internal/control"
	"github.com/transload/transload/internal/keysync"
	"github.com/transload/transload/internal/protocol"
	"github.com/transload/transload/topology"
)

// errStale refuses a new connection whose owner does not obey the record that
// the side has now. It is a leaf: go-redis hands it on unwrapped.
var errStale = errors.New("migrate: the control record has changed since this connection was asked for")

// A pool is the connections to one side under one unbroken lease. When the lease
// lapses the pool is closed, and a new lease has a new pool: else a command that
// was checked under the old lease could take a new and honest connection.
type pool struct {
	side   protocol.Side
	gen    uint64
	client *topology.Client
	keys   *keysync.Side
	leased bool // it was used under a lease; guarded by member.mu
	lease  atomic.Pointer[protocol.Lease]
}

// valid reports whether the pool's lease still holds.
func (p *pool) valid(now protocol.Instant) bool {
	l := p.lease.Load()
	return l != nil && l.Valid(now)
}

// lapse ends the pool's lease for good.
func (p *pool) lapse() { p.lease.Store(nil) }

// newPool opens the connections of one lease. Each new connection asks for the
// side's record, on a connection of the control client, after its handshake and
// before anything else: a member that was fenced while it slept finds there that
// it was left behind.
func (m *member) newPool(side protocol.Side, gen uint64) (*pool, error) {
	p := &pool{side: side, gen: gen}
	check := func(ctx context.Context, _ *redis.Conn) error {
		same, err := control.Check(ctx, m.sides[side].ctl, m.opts.Name, m.obeyed(side))
		if err != nil {
			return err
		}
		if !same {
			m.nudge(side)
			return errStale
		}
		return nil
	}
	opts := []topology.Option{
		topology.WithName(m.clientName()),
		topology.WithOnConnect(check),
		topology.WithConn(m.sides[side].orphans.wrap),
		topology.WithoutRetries(),
	}
	client, err := topology.Open(m.sides[side].cfg, opts...)
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

// clock turns time.Now into the two clocks that a lease is counted on.
type clock struct{ start time.Time }

func (c clock) now() protocol.Instant {
	t := time.Now()
	return protocol.Instant{Mono: t.Sub(c.start), Wall: time.Duration(t.UnixNano())}
}
