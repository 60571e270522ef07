package migrate

import (
	"cmp"
	"context"
	crand "crypto/rand"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/transload/transload/internal/control"
	"github.com/transload/transload/internal/protocol"
)

// doDuties carries out what moves ask of the member, one duty at a time.
func (m *member) doDuties(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-m.duties:
		}
		for ctx.Err() == nil {
			m.mu.Lock()
			d, ok := m.proto.Duty()
			m.mu.Unlock()
			if !ok {
				break
			}
			if m.doDuty(ctx, d) {
				m.nudge(d.Side) // the acknowledgement goes with the next refresh
				continue
			}
			if !pause(ctx, 5*time.Millisecond) {
				return
			}
		}
	}
}

// errSuperseded ends a duty that is no longer asked for.
var errSuperseded = errors.New("the move has gone on")

// doDuty drains what earlier views let in and kills orphans. In a preparation
// and for a claim that is everything; in a hold, only what touches the moving keys
// is left.
func (m *member) doDuty(ctx context.Context, d protocol.Duty) bool {
	bound := d.Bound
	if d.Stage != protocol.Held {
		bound = 5 * time.Second
	}
	ctx, cancel := context.WithTimeout(ctx, bound)
	defer cancel()
	err := m.settle(ctx, d)
	m.mu.Lock()
	defer m.mu.Unlock()
	if err != nil {
		m.note = err.Error()
		return false
	}
	m.note = ""
	done := m.proto.Done(d, m.now())
	if !done && d.Stage != protocol.Claimed && !m.proto.Ready(m.now()) {
		m.note = "it has no lease on both sides"
	}
	return done
}

func (m *member) settle(ctx context.Context, d protocol.Duty) error {
	if d.Stage == protocol.Prepared {
		if err := m.drain.run(ctx); err != nil {
			return err
		}
	}
	if err := m.drained(ctx, &d); err != nil {
		return err
	}
	if d.Stage != protocol.Held {
		// What was admitted to a retired pool and never counted, or slept since, must
		// not begin after this.
		m.closeRetired(0, true)
	}
	for _, s := range protocol.Sides {
		if d.Stage == protocol.Claimed && s != d.Side {
			continue // what is carried out there counts for nothing any more
		}
		if err := m.killOrphans(ctx, m.sides[s]); err != nil {
			return err
		}
	}
	return nil
}

// drained waits until no write and no copy that an earlier view let in is under
// way; in a hold, none to the moving keys. It polls: the counters are striped,
// and a hold is short. No duty is that of the end: everything.
func (m *member) drained(ctx context.Context, d *protocol.Duty) error {
	for wait := 50 * time.Microsecond; ; wait = min(2*wait, 2*time.Millisecond) {
		left, asked := m.underWay(d)
		switch {
		case !asked:
			return errSuperseded
		case left.count == 0:
			return nil
		}
		if !pause(ctx, wait) {
			return fmt.Errorf("%d writes are still under way, the oldest (%s) for up to %v", left.count, left.name, left.oldest.Round(time.Millisecond))
		}
	}
}

// A rest is what is still under way.
type rest struct {
	count  int64
	oldest time.Duration // at most
	name   string        // of the oldest, probably
}

func (r *rest) add(c *counter, now protocol.Instant) {
	r.count += c.sum()
	if d, name := c.oldest(now); d > r.oldest {
		r.oldest, r.name = d, name
	}
	r.name = cmp.Or(r.name, "not known")
}

// underWay sums up what a duty has to wait for, and says whether it is still
// asked for.
func (m *member) underWay(d *protocol.Duty) (left rest, asked bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	now := m.now()
	for _, v := range m.old {
		left.add(&v.moving, now)
		if d == nil || d.Stage != protocol.Held {
			left.add(&v.writes, now)
		}
	}
	m.prune()
	if d == nil {
		return left, true
	}
	cur, ok := m.proto.Duty()
	return left, ok && cur == *d
}

// doWishes ends holds and grants commits that a coordinator has left behind.
// Members try at random moments, so that mostly one does it.
func (m *member) doWishes(ctx context.Context) {
	for pause(ctx, 30*time.Millisecond+rand.N(40*time.Millisecond)) {
		m.mu.Lock()
		w, giver, force := m.proto.Wish(m.now())
		obeyed := m.proto.Record(giver) // the wish is about this one, whatever is obeyed by the time that it is carried out
		m.mu.Unlock()
		if w == protocol.Nothing {
			continue
		}
		if err := m.grantWish(ctx, w, giver, obeyed, force); err != nil {
			m.log.Warn("move left by its coordinator could not be ended yet", "side", giver.String(), "op", "wish", "err", err)
			pause(ctx, time.Second)
		}
	}
}

// grantWish reads both records again and makes the change that is wanted, if what
// the wish was made from is still there. The roll is read first: who joins it
// later has seen the record that is read after it.
func (m *member) grantWish(ctx context.Context, w protocol.Wish, giver protocol.Side, obeyed protocol.Record, force bool) error {
	ctx, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()
	defer m.nudge(protocol.Source)
	defer m.nudge(protocol.Target)
	if w == protocol.WishWaive {
		return m.waive(ctx, giver, obeyed)
	}
	a, b := m.sides[giver].store, m.sides[giver.Other()].store
	roll, err := a.Roll(ctx)
	if err != nil {
		return err
	}
	ra, err := a.Read(ctx, true)
	if err != nil {
		return err
	}
	rb, errB := b.Read(ctx, false)
	stamp := protocol.Stamp{Epoch: protocol.NextEpoch(ra.Record, rb.Record), Writer: m.id, Nonce: crand.Text()}
	switch {
	case w == protocol.WishEnd && ra.Record.Same(obeyed):
		var taker *protocol.Record
		if errB == nil {
			taker = &rb.Record
		}
		ch, ok := protocol.Resolve(ra.Record, ra.RunID, taker, stamp)
		return m.change(ctx, ch, ok, errB, "hold ended by a member", "it was over its bound")
	case w == protocol.WishOpen && errB == nil:
		force = force && obeyed.Move != nil && ra.Record.At(obeyed.Move.ID, protocol.Committed)
		ch, ok := protocol.Open(ra.Record, rb.Record, roll, ra.Safe, force, stamp)
		return m.change(ctx, ch, ok, nil, "granted by a member", "everybody had acknowledged, or a lease had passed")
	case w == protocol.WishStrike && errB == nil:
		ch, ok := protocol.StrikeOut(ra.Record, rb.Record, stamp)
		return m.change(ctx, ch, ok, nil, "offer struck out by a member", "its move is no more")
	}
	return errB
}

// waive takes a claim off that its coordinator has left: the side that it gives
// up may be back.
func (m *member) waive(ctx context.Context, s protocol.Side, obeyed protocol.Record) error {
	r, err := m.sides[s].store.Read(ctx, true)
	if err != nil || !r.Record.Same(obeyed) {
		return err
	}
	next, err := r.Record.Waive(protocol.Stamp{Epoch: protocol.NextEpoch(r.Record, m.obeyed(s.Other())), Writer: m.id, Nonce: crand.Text()})
	return m.change(ctx, protocol.Change{Side: s, Old: r.Record, New: next}, err == nil, err, "claim waived by a member", "it was over its bound")
}

// change writes a record, or returns why there is nothing to write.
func (m *member) change(ctx context.Context, ch protocol.Change, ok bool, not error, what, why string) error {
	if !ok {
		return not
	}
	_, err := m.sides[ch.Side].store.Change(ctx, ch, "", control.Event{Who: m.id, What: what, Why: why})
	return err
}

// pause waits for d, and reports false if ctx is done first.
func pause(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
		return true
	}
}
