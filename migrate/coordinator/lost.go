package coordinator

import (
	"context"
	"fmt"
	"slices"

	"github.com/transload/transload/internal/control"
	"github.com/transload/transload/internal/protocol"
)

// A side that comes back without its control record has lost its data: it was
// started again empty, or from what was saved before the migration. What of its
// keys survived on the other side is all there is, and must not be deleted as
// extras.
//
// That it was lost is told by the side's own audit. A record is written in one
// step with the line of the audit that tells of it, so a side that has not
// forgotten its record has the line of its beginning; one that was given its
// record back by a member or a coordinator has not. So Status and any later
// coordinator find it out by themselves, and data that is restored brings the
// line back. A failover that forgets the last records keeps the line: what was
// lost in it is Redis's own.
//
// It is found out before anything is believed that the side says: connections for
// keys are refused until the lock is ours, the lock is lost with the record, and
// whoever takes it looks for the loss first.

// auditRead is how many lines of the audit are looked at: more than come to be
// after a loss, since nothing moves any more.
const auditRead = 2000

// wholeAgain is noted where a side that had lost its data, while it owned
// nothing, has taken keys over: everything it has was proven then.
const wholeAgain = "the loss of its data is made good"

// begun is the line of a side's beginning.
func begun(s protocol.Side) string { return fmt.Sprintf("%v on the %v", protocol.Shadow, s) }

// lostIn reports whether a side with this audit has lost its data since it began.
func lostIn(audit []control.Event, s protocol.Side) bool {
	return len(audit) < auditRead && !slices.ContainsFunc(audit, func(e control.Event) bool {
		return e.What == begun(s) || e.What == wholeAgain
	})
}

func lostData(ctx context.Context, sd *side) (bool, error) {
	ctx, cancel := context.WithTimeout(ctx, askFor)
	defer cancel()
	audit, err := sd.store.Events(ctx, auditRead)
	if err != nil {
		return false, fmt.Errorf("coordinator: audit of the %v: %w", sd.Side, err)
	}
	return lostIn(audit, sd.Side), nil
}

// lookForLoss finds out whether a side has lost its data. Two looks do not
// overlap: the later one must not be undone by the earlier.
func (t *term) lookForLoss(ctx context.Context, s protocol.Side) error {
	t.looking.Lock()
	defer t.looking.Unlock()
	lost, err := lostData(ctx, t.sides[s])
	if err != nil {
		return err
	}
	switch was := t.lost[s].Swap(lost); {
	case lost && !was:
		t.log.Warn("side came back without its record: it has lost data", "op", "sync", "side", s.String())
	case was && !lost:
		t.walkAgain() // what was kept meanwhile may be extras
	}
	return nil
}

func (t *term) walkAgain() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.syncer != nil {
		t.syncer.dirty.MarkAll()
	}
}

// loss says which side has lost what it owns, and what is done about it, or
// nothing.
func (t *term) loss() string {
	for _, s := range protocol.Sides {
		if t.lost[s].Load() && t.known().owns(s) {
			return lossText(s)
		}
	}
	return ""
}

func lossText(s protocol.Side) string {
	return fmt.Sprintf("the %v came back without its record: it has lost data; keys that are only on the %v are kept", s, s.Other())
}

// owns reports whether a side answers for any key.
func (r readings) owns(s protocol.Side) bool {
	rec := r[protocol.Source].Record
	if other := r[protocol.Target].Record; other.Epoch > rec.Epoch {
		rec = other
	}
	for _, cut := range rec.Cuts {
		if s == protocol.Target && cut > 0 || s == protocol.Source && cut < protocol.Slots {
			return true
		}
	}
	return false
}

// mayCopy is asked right before keys are written. What was read of a side before
// it was known to have lost its data is not believed.
func (t *term) mayCopy(from protocol.Side, lost bool) error {
	if t.yield.Load() {
		return errYield
	}
	if t.given[from.Other()].Load() {
		return fmt.Errorf("the %v was given up: keep what it has if you want to look for what was lost, then end this and start `migrate shadow` again, which makes it equal", from.Other())
	}
	if t.lost[from].Load() != lost {
		return fmt.Errorf("the %v has just been found to have lost its data, or to have it again", from)
	}
	return t.mine()
}

// held returns those keys that a side has.
func (t *term) held(ctx context.Context, s protocol.Side, keys []string) ([]string, error) {
	gone, err := t.absent(ctx, s, keys)
	if err != nil {
		return nil, err
	}
	none := make(map[string]bool, len(gone))
	for _, key := range gone {
		none[key] = true
	}
	return slices.DeleteFunc(slices.Clone(keys), func(key string) bool { return none[key] }), nil
}

// madeGood notes that a side has its data again.
func (t *term) madeGood(ctx context.Context, s protocol.Side) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), askFor)
	defer cancel()
	err := t.sides[s].store.Note(ctx, control.Event{Who: t.id, What: wholeAgain, Why: t.why()})
	if err == nil {
		err = t.lookForLoss(ctx, s)
	}
	if err != nil {
		t.log.Warn("not noted that a side has its data again", "op", "move", "side", s.String(), "err", err)
	}
}

// lossGate wants whoever answers for keys to have them. A rollback is let
// through: it is the way out, and what the source alone has kept answers again.
func (b *bench) lossGate() {
	lost := false
	for _, s := range protocol.Sides {
		if !b.lost[s] || !b.recs.owns(s) {
			continue
		}
		lost = true
		if b.from == protocol.Target {
			b.add("data of the "+s.String(), Warn, "", "go on if that is to be the end of it", "%s", lossText(s))
			continue
		}
		b.add("data of the "+s.String(), Refused, "none was lost", wayOut(s), "%s", lossText(s))
	}
	if !lost {
		b.add("data", OK, "", "", "neither side has come back without its record")
	}
}

// wayOut is what to do when a side has lost its data.
func wayOut(s protocol.Side) string {
	return fmt.Sprintf("restore the %v's data, or go back to off with `migrate rollback --execute` and begin again", s)
}
