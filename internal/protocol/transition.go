package protocol

import (
	"fmt"
	"maps"
)

// The transitions are the only ways in which a record changes. Each is pure,
// checks what it stands on, and returns the next version of one side's record;
// the caller writes it by compare-and-set against the version it was made from.

// ErrTransition means that a record is not in the state that a step needs.
var ErrTransition = fmt.Errorf("transition: %w", ErrIllegalStep)

func refuse(r Record, step string) error {
	stage := Stage("no move")
	if r.Move != nil {
		stage = r.Move.Stage
	}
	return fmt.Errorf("%s of the %v in phase %v at %s: %w", step, r.Side, r.Phase, stage, ErrTransition)
}

// Begin makes the first record of a side, or takes one from off to shadow: the
// source owns every slot of every workload and the target none.
func Begin(r Record, name string, side Side, plan string, workloads []string, s Stamp) (Record, error) {
	if !r.Empty() && (r.Phase != Off || r.Move != nil) {
		return Record{}, refuse(r, "begin")
	}
	next := Record{Format: Format, Name: name, Side: side, Phase: Shadow, Plan: plan, Cuts: map[string]int{}, Over: r.Over}
	for _, w := range workloads {
		next.Cuts[w] = 0
	}
	return next.stamped(s), nil
}

// End takes a record from shadow back to off.
func (r Record) End(s Stamp) (Record, error) {
	if r.Phase != Shadow || !r.settled() {
		return Record{}, refuse(r, "end")
	}
	r.Move = nil
	r.Phase = Off
	return r.stamped(s), nil
}

// Finish takes a record from soak to done: the target owns all, for good.
func (r Record) Finish(s Stamp) (Record, error) {
	if r.Phase != Soak || !r.settled() {
		return Record{}, refuse(r, "finish")
	}
	r.Move = nil
	r.Phase = Done
	return r.stamped(s), nil
}

// Prepare names a move on the giver's record. Nothing is held yet.
func (r Record) Prepare(mv Move, s Stamp) (Record, error) {
	if !r.Phase.Leased() || !r.settled() || mv.From != r.Side {
		return Record{}, refuse(r, "prepare")
	}
	for w, goal := range mv.Goal {
		cut, known := r.Cuts[w]
		gives := goal >= cut
		if r.Side == Target {
			gives = goal <= cut
		}
		if !known || !gives || goal < 0 || goal > Slots {
			return Record{}, refuse(r, "prepare")
		}
	}
	mv.Stage = Prepared
	r.Move = &mv
	return r.stamped(s), nil
}

// Hold stops writes to the moving slots. runID is that of the master that the
// record is about to be written to.
func (r Record) Hold(move, runID string, s Stamp) (Record, error) {
	if !r.At(move, Prepared) {
		return Record{}, refuse(r, "hold")
	}
	next := r.stamped(s)
	next.Move.Stage, next.Move.RunID = Held, runID
	return next, nil
}

// Offer makes the taker await the moving slots. mv is the giver's move.
func (r Record) Offer(mv Move, s Stamp) (Record, error) {
	if !r.Phase.Leased() || !r.settled() || mv.From != r.Side.Other() || mv.Stage != Held {
		return Record{}, refuse(r, "offer")
	}
	mv.Stage = Offered
	r.Move = &mv
	return r.stamped(s), nil
}

// Strike takes an offer off the taker's record.
func (r Record) Strike(s Stamp) (Record, error) {
	if r.Move == nil || r.Move.Stage != Offered {
		return Record{}, refuse(r, "strike")
	}
	r.Move = nil
	return r.stamped(s), nil
}

// Commit gives the moving slots away. This alone decides a move.
func (r Record) Commit(move string, s Stamp) (Record, error) {
	if !r.At(move, Held) {
		return Record{}, refuse(r, "commit")
	}
	next := r.stamped(s)
	next.Move.Stage = Committed
	next.settle()
	return next, nil
}

// Grant lets the taker own what the giver has committed. It stands on the
// giver's commit, not on the offer: an offer that the taker lost in a failover
// does not undo what was decided. A taker with a newer record than the commit has
// been granted the move already, and has gone on.
func (r Record) Grant(giver Record, s Stamp) (Record, error) {
	if giver.Move == nil || giver.Move.Stage != Committed || giver.Side != r.Side.Other() {
		return Record{}, refuse(giver, "grant")
	}
	if !r.Phase.Leased() || r.Epoch > giver.Epoch || r.At(giver.Move.ID, Granted) || (!r.settled() && !r.At(giver.Move.ID, Offered)) {
		return Record{}, refuse(r, "grant")
	}
	mv := *giver.Move
	mv.Stage = Granted
	r.Move = &mv
	next := r.stamped(s)
	next.settle()
	return next, nil
}

// Abort takes a move that is prepared or held off the giver's record; the
// giver owns its slots as before.
func (r Record) Abort(move string, s Stamp) (Record, error) {
	if !r.At(move, Prepared) && !r.At(move, Held) {
		return Record{}, refuse(r, "abort")
	}
	r.Move = nil
	return r.stamped(s), nil
}

// settled reports whether no move is under way on r's side.
func (r Record) settled() bool {
	return r.Move == nil || r.Move.Stage == Committed || r.Move.Stage == Granted
}

// settle makes the goal the cut, and derives the phase from the cuts.
func (r *Record) settle() {
	maps.Copy(r.Cuts, r.Move.Goal)
	none, all := true, true
	for _, cut := range r.Cuts {
		none, all = none && cut == 0, all && cut == Slots
	}
	switch {
	case none:
		r.Phase = Shadow
	case all:
		r.Phase = Soak
	default:
		r.Phase = Cutover
	}
}
