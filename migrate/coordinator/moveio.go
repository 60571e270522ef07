package coordinator

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/transload/transload/internal/control"
	"github.com/transload/transload/internal/protocol"
)

// askFor bounds one question to a control record.
const askFor = 3 * time.Second

// readings are what both sides answered, by protocol.Side.
type readings [3]control.Reading

// readBoth reads both records.
func (t *term) readBoth(ctx context.Context) (r readings, err error) {
	ctx, cancel := context.WithTimeout(ctx, askFor)
	defer cancel()
	for _, s := range protocol.Sides {
		if r[s], err = t.sides[s].store.Read(ctx, true); err != nil {
			return r, fmt.Errorf("coordinator: %w", err)
		}
		t.learn(s, r[s])
	}
	return r, nil
}

// learn remembers what a side holds, and makes the sync follow it. A record that
// is older than one that was seen before comes late, or from a side that has
// forgotten; it is not followed.
func (t *term) learn(s protocol.Side, r control.Reading) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if r.Record.Epoch < t.recs[s].Record.Epoch {
		return
	}
	t.recs[s] = r
	if t.syncer != nil {
		old := t.syncer.view.Load()
		v := &view{plan: old.plan, rec: old.rec}
		v.rec[s] = r.Record
		t.syncer.view.Store(v)
	}
}

// change writes one record, and knows its own again after a lost reply. It is
// for changes outside of a move.
func (t *term) change(ctx context.Context, ch protocol.Change, why string) (control.Reading, error) {
	return t.changeAs(ctx, ch, control.Event{Who: t.id, What: what(ch), Why: why})
}

// changeAs is change with another line in the audit.
func (t *term) changeAs(ctx context.Context, ch protocol.Change, ev control.Event) (control.Reading, error) {
	ctx, cancel := context.WithTimeout(ctx, askFor)
	defer cancel()
	store := t.sides[ch.Side].store
	r, err := store.Change(ctx, ch, t.id, ev)
	for tries := 0; err != nil && !errors.Is(err, ErrReplaced) && tries < 3; tries++ {
		if r, err = store.Read(ctx, true); err == nil && r.Record.Same(ch.Old) {
			r, err = store.Change(ctx, ch, t.id, ev)
		}
	}
	if err != nil {
		return r, fmt.Errorf("coordinator: %s: %w", ev.What, err)
	}
	t.learn(ch.Side, r)
	if r.Record.Nonce != ch.New.Nonce {
		return r, fmt.Errorf("coordinator: %s: %s has changed the record meanwhile", ev.What, r.Record.Writer)
	}
	for tries := 0; !r.Safe && tries < 3; tries++ { // asked again, on the same connection
		if again, err := store.Read(ctx, true); err == nil {
			r = again
		}
	}
	if !r.Safe {
		t.log.Warn("not every replica has the control record", "op", ev.What, "side", ch.Side.String())
	}
	return r, nil
}

func (d *driver) write(ctx context.Context, o protocol.Output) {
	ask, cancel := context.WithTimeout(ctx, askFor)
	defer cancel()
	ev := control.Event{Who: d.t.id, What: what(o.Change), Why: d.t.why(), Figures: map[string]string{"move": d.report.ID}}
	r, err := d.t.sides[o.Side].store.Change(ask, o.Change, d.t.id, ev)
	if errors.Is(err, ErrReplaced) {
		d.t.end(err)
		d.send(ctx, event{fatal: err})
		return
	}
	d.send(ctx, event{Input: protocol.Input{Written: d.answer(o.Side, r, err)}})
}

func (d *driver) read(ctx context.Context, s protocol.Side) {
	ask, cancel := context.WithTimeout(ctx, askFor)
	defer cancel()
	r, err := d.t.sides[s].store.Read(ask, true)
	if err != nil {
		pause(ctx, tickEvery) // the mover asks again at once, for as long as need be
	}
	d.send(ctx, event{Input: protocol.Input{Read: d.answer(s, r, err)}})
}

func (d *driver) answer(s protocol.Side, r control.Reading, err error) *protocol.Written {
	if err == nil {
		d.t.learn(s, r)
	}
	return &protocol.Written{Side: s, Current: r.Record, RunID: r.RunID, Safe: r.Safe, Err: err}
}

func (d *driver) roll(ctx context.Context, seq uint64) {
	ask, cancel := context.WithTimeout(ctx, askFor)
	defer cancel()
	ev := event{rolled: true}
	asked := d.t.now()
	entries, err := d.t.sides[d.giver].store.Roll(ask)
	if err == nil {
		ev.Roll = &protocol.Roll{Seq: seq, Asked: asked, Entries: entries}
	}
	d.send(ctx, ev)
}

func (d *driver) fence(ctx context.Context, member string) {
	ask, cancel := context.WithTimeout(ctx, askFor)
	defer cancel()
	lines := d.silentLines(ask, member)
	err := fence(ask, d.t.sides, d.t.c.opts.Name, member)
	if err != nil {
		d.t.log.Warn("member cannot be fenced", "op", "fence", "member", member, "err", err)
	} else {
		d.t.fencedNow(lines)
	}
	d.send(ctx, event{Input: protocol.Input{Fenced: &protocol.Fenced{Member: member, OK: err == nil}}})
}

// what names a change of a record, for the audit.
func what(ch protocol.Change) string {
	switch now, was := ch.New.Move, ch.Old.Move; {
	case now != nil:
		return fmt.Sprintf("%s on the %v", now.Stage, ch.Side)
	case was != nil && was.Stage == protocol.Offered:
		return fmt.Sprintf("offer struck out on the %v", ch.Side)
	case was != nil && ch.Old.Phase == ch.New.Phase:
		return fmt.Sprintf("abort on the %v", ch.Side)
	}
	return fmt.Sprintf("%v on the %v", ch.New.Phase, ch.Side)
}
