package coordinator

import (
	"context"
	"fmt"
	"time"

	"github.com/transload/transload/internal/control"
	"github.com/transload/transload/internal/protocol"
)

// recoverFor bounds how long a hold that nobody can end yet is looked at.
const recoverFor = time.Minute

// recover ends what an earlier coordinator has left behind, and returns the
// records as they are then.
//
//   - a preparation is aborted: nothing was held;
//   - a hold is left to its deadline, and then ended as protocol.Resolve says;
//   - a commit is carried on to its grant;
//   - an offer whose move is no more is struck out;
//   - a phase change that reached one side alone is made on the other;
//   - a claim is waived, since both sides answer;
//   - a side that was given up, and is back, becomes the mirror of the other.
func (t *term) recover(ctx context.Context) (readings, error) {
	ctx, cancel := context.WithTimeout(ctx, recoverFor)
	defer cancel()
	began := t.now()
	for {
		recs, err := t.readBoth(ctx)
		if err != nil {
			return recs, err
		}
		done, err := t.recoverOnce(ctx, recs, t.now().Since(began))
		if err != nil || done {
			return recs, err
		}
		if !pause(ctx, lookEvery) {
			return recs, refuse("records", "see `migrate status`; bring back the side that does not answer",
				"the move that an earlier coordinator left could not be ended within %v", recoverFor)
		}
	}
}

// recoverOnce does one step, and reports whether there was nothing left to do.
func (t *term) recoverOnce(ctx context.Context, recs readings, waited time.Duration) (done bool, err error) {
	for _, s := range protocol.Sides {
		rec, other := recs[s].Record, recs[s.Other()].Record
		switch {
		case other.Voids(rec):
			return false, t.takeBack(ctx, rec, other)
		case rec.Claim != "":
			next, err := rec.Waive(t.stamp(recs))
			if err == nil {
				_, err = t.change(ctx, protocol.Change{Side: s, Old: rec, New: next}, "left by an earlier coordinator")
			}
			return false, err
		}
	}
	for _, s := range protocol.Sides {
		rec, other := recs[s].Record, recs[s.Other()].Record
		mv := rec.Move
		switch {
		case mv == nil:
		case mv.From == s && (mv.Stage == protocol.Prepared || mv.Stage == protocol.Held):
			return false, t.endLeft(ctx, s, recs)
		case rec.AwaitsGrant(other):
			return false, t.carryOn(ctx, s, recs)
		case mv.Stage == protocol.Offered:
			ch, ok := protocol.StrikeOut(other, rec, t.stamp(recs))
			if !ok { // the giver's record must first be as new as the offer
				return false, t.touch(ctx, s.Other(), recs, waited)
			}
			_, err := t.change(ctx, ch, "its move is no more")
			return false, err
		}
	}
	ch, why, ok := t.halfDone(recs)
	if !ok {
		return true, nil
	}
	_, err = t.change(ctx, ch, why)
	return false, err
}

// takeBack makes a side that was given up, and is back, the mirror of the other.
func (t *term) takeBack(ctx context.Context, void, living protocol.Record) error {
	ch := living.Yield(void)
	ev := control.Event{Who: t.id, What: fmt.Sprintf("the %v is back, as a mirror", ch.Side), Why: "it had been given up"} // as members name it
	_, err := t.changeAs(ctx, ch, ev)
	return err
}

// endLeft ends a preparation at once, and a hold once its deadline has passed:
// until then the process that wrote it might still commit it, were it not fenced,
// and its members may be about to end it themselves.
func (t *term) endLeft(ctx context.Context, s protocol.Side, recs readings) error {
	mv := recs[s].Record.Move
	if mv.Stage == protocol.Held {
		t.c.report("recover", "a hold was left by an earlier coordinator; it ends within %d ms", mv.HoldMS)
		pause(ctx, time.Duration(mv.HoldMS)*time.Millisecond)
	}
	r, err := t.sides[s].store.Read(ctx, true)
	if err != nil {
		return fmt.Errorf("coordinator: %w", err)
	}
	taker := recs[s.Other()].Record
	fresh := recs
	fresh[s] = r
	ch, ok := protocol.Resolve(r.Record, r.RunID, &taker, t.stamp(fresh))
	if !ok || !r.Safe {
		return nil // ended meanwhile, or not to be ended yet
	}
	_, err = t.change(ctx, ch, "left by an earlier coordinator")
	return err
}

// carryOn takes a commit to its grant.
func (t *term) carryOn(ctx context.Context, s protocol.Side, recs readings) error {
	mv := recs[s].Record.Move
	t.c.report("recover", "a move was committed by an earlier coordinator; it is carried on")
	cfg := t.moveConfig(mv.ID, s, mv.Goal, time.Duration(mv.HoldMS)*time.Millisecond)
	m, outs := protocol.Resume(cfg, recs[protocol.Source].Record, recs[protocol.Target].Record,
		recs[protocol.Source].RunID, recs[protocol.Target].RunID, t.now())
	idle := newSyncer(t, &view{plan: newPlan(nil)})
	_, err := idle.newDriver(m, cfg, recs).run(ctx, outs)
	return err
}

// touch gives a side's record a new epoch, so that it is newer than a stale
// offer. The side may have failed over and forgotten what came after that offer:
// a member that knows better puts it back, and is given a lease's time for that.
func (t *term) touch(ctx context.Context, s protocol.Side, recs readings, waited time.Duration) error {
	if waited < protocol.SilentFor {
		return nil
	}
	next := recs[s].Record
	st := t.stamp(recs)
	next.Epoch, next.Writer, next.Nonce = st.Epoch, st.Writer, st.Nonce
	_, err := t.change(ctx, protocol.Change{Side: s, Old: recs[s].Record, New: next}, "an offer of a move that is no more is to be struck out")
	return err
}

// halfDone finds a change of phase that reached one side alone. Each is made in
// an order in which the first record decides: begin and end on the source, finish
// on the target.
func (t *term) halfDone(recs readings) (ch protocol.Change, why string, ok bool) {
	src, dst := recs[protocol.Source].Record, recs[protocol.Target].Record
	var next protocol.Record
	var err error
	switch {
	case src.Phase == protocol.Shadow && (dst.Empty() || dst.Phase == protocol.Off):
		next, err = protocol.Begin(dst, src.Name, protocol.Target, src.Plan, cutNames(src), t.stamp(recs))
		ch, why = protocol.Change{Side: protocol.Target, Old: dst, New: next}, "the source is in shadow already"
	case src.Phase == protocol.Off && dst.Phase == protocol.Shadow:
		next, err = dst.End(t.stamp(recs))
		ch, why = protocol.Change{Side: protocol.Target, Old: dst, New: next}, "the source is off already"
	case dst.Phase == protocol.Done && src.Phase == protocol.Soak:
		next, err = src.Finish(t.stamp(recs))
		ch, why = protocol.Change{Side: protocol.Source, Old: src, New: next}, "the target is done already"
	default:
		return ch, "", false
	}
	return ch, why, err == nil
}

func cutNames(r protocol.Record) (names []string) {
	for w := range r.Cuts {
		names = append(names, w)
	}
	return names
}
