package migrate

import (
	"context"

	"github.com/transload/transload/internal/breaker"
	"github.com/transload/transload/internal/protocol"
	"github.com/transload/transload/topology"
)

// newBreakers makes the breakers of both sides, none if they are not asked for.
func newBreakers(o Options, p *plan) (b [3]*breaker.Breaker) {
	if o.Breaker {
		for _, s := range protocol.Sides {
			b[s] = breaker.New(s.String(), p.names, o.Logger)
		}
	}
	return b
}

// guarded runs what the app sends to a side, unless the breaker of its workload is
// open there. It stands behind the admission: what is parked has not come so far,
// so that a hold, or a lease that is missing, is waited for as ever, and what a
// breaker refuses was never sent. Copies for the mirror, shadow reads, leases and
// records do not pass it: they wait and try again by themselves, and a mirror that
// is away must not stop the app's commands to it any sooner than these would find
// out. Blocking commands and Watch wait as they always do.
func (m *member) guarded(ctx context.Context, p pass, f func() error) error {
	b := m.breakers[p.side]
	if b == nil || !p.keyed {
		return f()
	}
	return b.Do(ctx, m.plan.names[p.workload], f)
}

// openPlain opens the client of the one side that there is.
func openPlain(o Options) (*topology.Client, error) {
	if !o.Breaker {
		return topology.Open(o.Source)
	}
	r := NewRouter(o.Workloads)
	return topology.Open(o.Source, topology.WithLogger(o.Logger), topology.WithBreaker(protocol.Source.String(), r.Names(), r.Workload))
}

// Breakers returns the state of each workload's breaker on each side, nothing
// without Options.Breaker. It asks no server.
func (c *Client) Breakers() []topology.BreakerState {
	if c.m == nil {
		return c.plain.Breakers()
	}
	var all []topology.BreakerState
	for _, s := range protocol.Sides {
		all = append(all, c.m.breakers[s].States()...)
	}
	return all
}
