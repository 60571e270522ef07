package migrate

import (
	"fmt"
	"time"

	"github.com/transload/transload/internal/protocol"
)

// install makes a view of what the member obeys now, and wakes what is parked.
// mu is held.
func (m *member) install() {
	v := &view{phase: m.proto.Phase(), changed: make(chan struct{})}
	v.leased = v.phase.Leased()
	slots := 0
	for w := range m.plan.names {
		rs := m.proto.Ranges(m.plan.names[w])
		v.ranges = append(v.ranges, rs)
		for _, r := range rs {
			if r.Read == protocol.Target {
				slots += r.Hi - r.Lo
			}
		}
	}
	v.target = float64(slots) / float64(len(m.plan.names)*protocol.Slots)
	v.only = only(v.ranges)
	if rec := m.misfit(); rec != "" {
		v.only, v.ranges, v.why = protocol.None, m.nothing(), rec
	}
	for _, s := range protocol.Sides {
		v.pools[s] = m.poolFor(s, v)
	}
	if v.why == "" {
		v.why = m.reason(v)
	}
	was := m.view.Swap(v)
	close(was.changed)
	m.old = append(m.old, was)
	m.prune()
	if was.phase != v.phase {
		m.log.Info("phase changed", "phase", v.phase.String(), "op", "obey")
	}
	select {
	case m.duties <- struct{}{}:
	default:
	}
}

// misfit says why the member must not work at all: its keys would be counted
// to other workloads than the other members'.
func (m *member) misfit() string {
	for _, s := range protocol.Sides {
		if rec := m.proto.Record(s); rec.Phase.Leased() && rec.Plan != m.digest {
			return fmt.Sprintf("this process has other workloads or prefixes than the migration was begun with (%s; want %s): deploy the same migrate.Options.Workloads everywhere, or roll back to off", m.digest, rec.Plan)
		}
	}
	return ""
}

func (m *member) nothing() [][]protocol.Range {
	out := make([][]protocol.Range, len(m.plan.names))
	for i := range out {
		out[i] = []protocol.Range{{Lo: 0, Hi: protocol.Slots}}
	}
	return out
}

// poolFor returns the side's pool for a view: none while there is no lease and
// one is needed. mu is held.
func (m *member) poolFor(s protocol.Side, v *view) *pool {
	sd := m.sides[s]
	wanted := v.leased || v.only == s
	if !wanted {
		return sd.pool
	}
	lease, gen := m.proto.Lease(s), m.proto.Gen(s)
	if v.leased && lease.RunID == "" {
		return nil
	}
	if sd.pool == nil || sd.pool.gen != gen {
		p, err := m.newPool(s, gen)
		if err != nil { // the same settings opened the control client
			v.why = fmt.Sprintf("%v: %v", s, err)
			return nil
		}
		sd.pool = p
	}
	sd.pool.leased = v.leased
	if lease.RunID != "" {
		sd.pool.lease.Store(&lease)
	}
	return sd.pool
}

// only returns the side that serves every key for reads and writes, or None.
func only(ranges [][]protocol.Range) protocol.Side {
	side := protocol.None
	for _, rs := range ranges {
		for _, r := range rs {
			if r.Moving || r.Read == protocol.None || r.Read != r.Write || (side != protocol.None && r.Read != side) {
				return protocol.None
			}
			side = r.Read
		}
	}
	return side
}

// reason says in words why an operation may have to wait under a view.
func (m *member) reason(v *view) string {
	if v.phase == protocol.Unknown {
		return "the control record has not been read yet"
	}
	for _, s := range protocol.Sides {
		if mv := m.proto.Record(s).Move; mv != nil && mv.Stage == protocol.Held {
			return "a move holds these keys"
		}
	}
	for _, s := range protocol.Sides {
		if v.leased && v.pools[s] == nil {
			return fmt.Sprintf("no lease on the %v", s)
		}
	}
	return ""
}

// waitsFor says what a parked operation waits for, with the last error of a
// side that does not answer.
func (m *member) waitsFor() string {
	v := m.view.Load()
	why := v.why
	if why == "" {
		why = "the lease of a side is about to be renewed"
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, s := range protocol.Sides {
		if err := m.sides[s].err; err != nil {
			why += fmt.Sprintf("; %v: %v", s, err)
		}
	}
	return why
}

// prune forgets replaced views on which nothing is under way. mu is held.
func (m *member) prune() {
	keep := m.old[:0]
	for _, v := range m.old {
		if !v.writes.zero() || !v.moving.zero() {
			keep = append(keep, v)
		}
	}
	clear(m.old[len(keep):])
	m.old = keep
}

// waited counts how long an operation was parked.
func (m *member) waited(_ []unit, d time.Duration) { m.gauges.park(d) }
