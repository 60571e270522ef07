package migrate

import (
	"context"
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

// doDuty drains what earlier views let in and kills orphans. In a preparation
// that is everything; in a hold, only what touches the moving keys is left.
func (m *member) doDuty(ctx context.Context, d protocol.Duty) bool {
	bound := d.Bound
	if d.Stage == protocol.Prepared {
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
	return m.proto.Done(d, m.now())
}

func (m *member) settle(ctx context.Context, d protocol.Duty) error {
	if d.Stage == protocol.Prepared {
		if err := m.drain.run(ctx); err != nil {
			return err
		}
	}
	if err := m.drained(ctx, d.Stage == protocol.Held); err != nil {
		return err
	}
	for _, s := range protocol.Sides {
		if err := m.killOrphans(ctx, m.sides[s]); err != nil {
			return err
		}
	}
	return nil
}

// drained waits until no write and no copy that an earlier view let in is under
// way. It polls: the counters are striped, and a hold is short.
func (m *member) drained(ctx context.Context, movingOnly bool) error {
	for wait := 50 * time.Microsecond; ; wait = min(2*wait, 2*time.Millisecond) {
		m.mu.Lock()
		var left int64
		for _, v := range m.old {
			left += v.moving.sum()
			if !movingOnly {
				left += v.writes.sum()
			}
		}
		m.prune()
		m.mu.Unlock()
		if left == 0 {
			return nil
		}
		if !pause(ctx, wait) {
			return fmt.Errorf("%d operations are still under way%s", left, m.gauges.oldest())
		}
	}
}

// doWishes ends holds and grants commits that a coordinator has left behind.
// Members try at random moments, so that mostly one does it.
func (m *member) doWishes(ctx context.Context) {
	for pause(ctx, 30*time.Millisecond+rand.N(40*time.Millisecond)) {
		m.mu.Lock()
		w, giver, force := m.proto.Wish(m.now())
		m.mu.Unlock()
		if w == protocol.Nothing {
			continue
		}
		if err := m.grantWish(ctx, w, giver, force); err != nil {
			m.log.Warn("move left by its coordinator could not be ended yet", "side", giver.String(), "op", "wish", "err", err)
			pause(ctx, time.Second)
		}
	}
}

func (m *member) grantWish(ctx context.Context, w protocol.Wish, giver protocol.Side, force bool) error {
	ctx, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()
	a, b := m.sides[giver].store, m.sides[giver.Other()].store
	ra, err := a.Read(ctx, true)
	if err != nil {
		return err
	}
	rb, errB := b.Read(ctx, false)
	stamp := protocol.Stamp{Epoch: max(ra.Record.Epoch, rb.Record.Epoch) + 1, Writer: m.id, Nonce: memberID()}
	switch w {
	case protocol.WishEnd:
		var taker *protocol.Record
		if errB == nil {
			taker = &rb.Record
		}
		ch, ok := protocol.Resolve(ra.Record, ra.RunID, taker, stamp)
		if !ok {
			return errB
		}
		_, err = a.Change(ctx, ch, "", m.event("hold ended by a member", "it was over its bound"))
	case protocol.WishOpen:
		if errB != nil {
			return errB
		}
		roll, err := a.Roll(ctx)
		if err != nil {
			return err
		}
		mv := ra.Record.Move
		if mv == nil || mv.Stage != protocol.Committed || !ra.Safe || !(force || protocol.AllAcked(roll, mv.ID)) {
			return nil
		}
		next, err := rb.Record.Grant(ra.Record, stamp)
		if err != nil {
			return nil // granted meanwhile
		}
		ch := protocol.Change{Side: giver.Other(), Old: rb.Record, New: next}
		_, err = b.Change(ctx, ch, "", m.event("granted by a member", "everybody had acknowledged, or a lease had passed"))
		return err
	case protocol.WishStrike:
		if errB != nil || rb.Record.Move == nil || (ra.Record.Move != nil && ra.Record.Move.ID == rb.Record.Move.ID) {
			return errB
		}
		next, err := rb.Record.Strike(stamp)
		if err != nil {
			return nil // struck out meanwhile
		}
		ch := protocol.Change{Side: giver.Other(), Old: rb.Record, New: next}
		_, err = b.Change(ctx, ch, "", m.event("offer struck out by a member", "its move is no more"))
		return err
	}
	return err
}

func (m *member) event(what, why string) control.Event {
	return control.Event{Who: m.id, What: what, Why: why}
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
