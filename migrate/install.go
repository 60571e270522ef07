package migrate

import (
	"fmt"
	"time"

	"github.com/transload/transload/internal/protocol"
)

// install makes a view of what the member obeys now, and wakes what is parked.
// mu is held.
func (m *member) install() {
	if m.shut {
		return
	}
	v := &view{phase: m.proto.Phase(), changed: make(chan struct{})}
	v.leased = v.phase.Leased()
	for _, name := range m.plan.names {
		v.ranges = append(v.ranges, m.proto.Ranges(name))
	}
	if rec := m.misfit(); rec != "" {
		v.ranges, v.why = m.nothing(), rec
	}
	v.sum()
	v.between = v.why == "" && m.holding()
	for _, s := range protocol.Sides {
		v.pools[s] = m.poolFor(s, v)
	}
	for _, s := range protocol.Sides {
		v.copies[s] = m.copiesFor(s, v)
	}
	if v.why == "" {
		v.why = m.reason(v)
	}
	m.gauges.watchHold(m.view.Load(), v, m.holding(), m.now())
	was := m.view.Swap(v)
	close(was.changed)
	m.old = append(m.old, was)
	m.prune()
	if was.phase != v.phase {
		m.log.Info("phase changed", "phase", v.phase.String(), "op", "obey")
	}
	m.wakeDuties()
}

// wakeDuties has somebody look whether there is a duty.
func (m *member) wakeDuties() {
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

// poolFor returns the side's pool for a view, and retires one that the view has
// no use for. There is none while a lease is needed and missing. mu is held.
func (m *member) poolFor(s protocol.Side, v *view) *pool {
	sd := m.sides[s]
	lease, gen := m.proto.Lease(s), m.proto.Gen(s)
	used := v.leased || v.only == s
	if p := sd.pool; p != nil && (!used || p.leased != v.leased) {
		m.retire(&sd.pool)
	}
	if !used || (v.leased && lease.RunID == "") {
		return nil
	}
	if sd.pool == nil {
		p, err := m.open(&pool{side: s, gen: gen, leased: v.leased})
		if err != nil { // the same settings opened the control client: a file of TLS has gone
			v.why = fmt.Sprintf("%v: %v", s, err)
			return nil
		}
		sd.pool = p
	}
	if lease.RunID != "" {
		sd.pool.lease.Store(&lease)
	}
	return sd.pool
}

// copiesFor returns the pool for copies to a side, which is under both leases:
// none while one of them is missing. mu is held.
func (m *member) copiesFor(s protocol.Side, v *view) *pool {
	sd := m.sides[s]
	if !v.leased {
		m.retire(&sd.copies)
	}
	a, b := v.pools[protocol.Source], v.pools[protocol.Target]
	if !v.leased || a == nil || b == nil {
		return nil
	}
	if sd.copies == nil {
		p, err := m.open(&pool{side: s, leased: true, under: []*pool{a, b}})
		if err != nil { // the same settings opened the other pool
			return nil
		}
		sd.copies = p
	}
	return sd.copies
}

// sum works out what every operation asks of the ranges.
func (v *view) sum() {
	v.only, v.every, v.blank = protocol.None, protocol.None, true
	first, same, slots, all := true, true, 0, 0
	for _, rs := range v.ranges {
		for _, r := range rs {
			same = same && (first || r.Write == v.every)
			v.every, first = r.Write, false
			v.held = v.held || r.Write == protocol.None
			v.blank = v.blank && r.Read == protocol.None
			v.underWay = v.underWay || r.Moving || r.Read != r.Write
			all += r.Hi - r.Lo
			if r.Read == protocol.Target {
				slots += r.Hi - r.Lo
			}
		}
	}
	if !same {
		v.every = protocol.None
	}
	if !v.underWay {
		v.only = v.every
	}
	v.target = float64(slots) / float64(max(all, 1))
}

// reason says in words why an operation may have to wait under a view.
func (m *member) reason(v *view) string {
	if v.phase == protocol.Unknown {
		return "the control record has not been read yet"
	}
	if m.holding() {
		return "a move holds these keys"
	}
	for _, s := range protocol.Sides {
		if v.leased && v.pools[s] == nil {
			return fmt.Sprintf("no lease on the %v", s)
		}
	}
	return ""
}

// holding reports whether a move that is obeyed may keep writes waiting.
func (m *member) holding() bool {
	for _, s := range protocol.Sides {
		rec := m.proto.Record(s)
		if rec.Move != nil && rec.Move.Stage == protocol.Held || rec.AwaitsGrant(m.proto.Record(s.Other())) {
			return true
		}
	}
	return false
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
