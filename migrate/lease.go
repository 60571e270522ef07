package migrate

import (
	"context"
	"time"

	"github.com/transload/transload/internal/protocol"
)

// beatEvery is how often a lease is refreshed: fifteen chances within its life.
const beatEvery = time.Second

// retryEvery is how soon a side that does not answer is asked again: after a
// failover the app waits for that.
const retryEvery = 200 * time.Millisecond

// keepLease refreshes the lease on one side until ctx is done.
func (m *member) keepLease(ctx context.Context, sd *memberSide) {
	t := time.NewTimer(0)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
		case <-sd.wake:
		}
		if m.refresh(ctx, sd) {
			t.Reset(m.nextBeat())
		} else {
			t.Reset(retryEvery)
		}
	}
}

// nextBeat is when a side is to be asked again. While a move is under way nobody
// waits for a nudge that was lost: a hold is short.
func (m *member) nextBeat() time.Duration {
	v := m.view.Load()
	switch began := v.heldSince; {
	case began != protocol.Instant{} && m.now().Since(began) < time.Second:
		return 10 * time.Millisecond
	case v.underWay:
		return 100 * time.Millisecond
	}
	return beatEvery
}

// refresh asks for the side's record and lease once, and again while what it
// hears asks for that. It reports whether the side answered.
func (m *member) refresh(ctx context.Context, sd *memberSide) bool {
	for settle, tries := false, 0; tries < 20 && ctx.Err() == nil; tries++ {
		m.endLapsed(sd)
		eff, err := m.refreshOnce(ctx, sd, settle)
		if err != nil {
			m.say(sd, err)
			m.missed(sd.side)
			return false
		}
		if eff.PutBack != nil {
			m.putBack(ctx, sd, *eff.PutBack)
		}
		if !eff.Close && !eff.Settle && eff.PutBack == nil {
			break
		}
		settle = eff.Settle
	}
	return true
}

// missed lets the member begin without a side that does not answer.
func (m *member) missed(s protocol.Side) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.proto.Missed(s) {
		m.install()
	}
}

// say remembers, and logs once, why a side does not answer.
func (m *member) say(sd *memberSide, err error) {
	m.mu.Lock()
	was := sd.err
	sd.err = err
	m.mu.Unlock()
	if was == nil && err != nil {
		m.log.Warn("side does not answer", "side", sd.side.String(), "op", "refresh", "err", err)
	}
}

func (m *member) refreshOnce(ctx context.Context, sd *memberSide, settle bool) (protocol.Effects, error) {
	ctx, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()
	m.mu.Lock()
	gen, acked := m.proto.Gen(sd.side), m.proto.Acked(sd.side)
	e := m.entry(sd)
	news := acked != sd.told
	m.mu.Unlock()
	sent := m.now()
	r, err := sd.store.Refresh(ctx, e, news, settle)
	if err != nil {
		return protocol.Effects{}, err
	}
	m.gauges.roundTrip[sd.side].Store(int64(m.now().Since(sent)))
	m.mu.Lock()
	defer m.mu.Unlock()
	sd.err = nil
	sd.told = acked
	m.gauges.hearBeat(sd.side, r.Beat)
	seen := protocol.Seen{Gen: gen, Sent: sent, RunID: r.RunID, Record: r.Record, Safe: r.Safe}
	eff := m.proto.Hear(sd.side, seen, m.now())
	if sd.pool != nil && sd.pool.gen == m.proto.Gen(sd.side) {
		if l := m.proto.Lease(sd.side); l.RunID != "" {
			sd.pool.lease.Store(&l)
		}
	}
	switch {
	case eff.Close: // endLapsed makes the view, when it takes the pool
		if sd.pool != nil && sd.pool.leased {
			sd.pool.lapse()
		}
	case eff.View:
		if other := m.sides[sd.side.Other()]; other.pool != nil && other.pool.leased && m.proto.Lease(other.side).RunID == "" {
			other.pool.lapse() // what was heard has given that side up
		}
		m.install()
	}
	if now := m.proto.Acked(sd.side); now != acked && now.Stage == protocol.Committed {
		eff.Settle = true // tell at once that the commit is obeyed
	}
	return eff, nil
}

// entry is the member's line on the roll of a side. mu is held.
func (m *member) entry(sd *memberSide) protocol.Entry {
	m.beat++
	return protocol.Entry{
		ID: m.id, Beat: m.beat, Epoch: m.proto.Record(sd.side).Epoch, Ack: m.proto.Acked(sd.side),
		Ready: m.proto.Ready(m.now()), Plan: m.digest, Note: m.note, About: m.card,
		RunIDs: [2]string{m.proto.RunID(protocol.Source), m.proto.RunID(protocol.Target)},
	}
}

// endLapsed ends the side's lease if it has run out: the view is replaced, the
// pool closed, and those for copies, and only then may a new lease be asked for.
func (m *member) endLapsed(sd *memberSide) {
	sd.ending.Lock() // else a second caller would call the pool closed while the first still closes it
	defer sd.ending.Unlock()
	m.mu.Lock()
	if !m.proto.Lapse(sd.side, m.now()) {
		m.mu.Unlock()
		return
	}
	gen := m.proto.Gen(sd.side)
	over := m.lapsed(sd)
	m.install()
	m.mu.Unlock()
	for _, p := range over {
		p.close()
	}
	m.mu.Lock()
	m.proto.Closed(sd.side, gen)
	m.mu.Unlock()
	m.wakeDuties() // a claim waits for it
}

// lapsed takes what was under the side's lease out of use, for good. mu is held.
func (m *member) lapsed(sd *memberSide) (over []*pool) {
	if sd.pool == nil || !sd.pool.leased {
		return nil
	}
	m.log.Warn("lease has lapsed", "side", sd.side.String(), "op", "lease")
	for _, p := range []**pool{&sd.pool, &m.sides[protocol.Source].copies, &m.sides[protocol.Target].copies} {
		if *p != nil {
			(*p).lapse()
			over = append(over, *p)
			*p = nil
		}
	}
	return over
}

// watchClock notices leases that run out while a refresh hangs.
func (m *member) watchClock(ctx context.Context) {
	t := time.NewTicker(50 * time.Millisecond)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
			for _, s := range protocol.Sides {
				m.endLapsed(m.sides[s])
			}
		}
	}
}
