package protocol

// What a coordinator has left behind is ended by whoever finds it: a member, or
// the next coordinator. Each function here takes the records as they were read
// just now and returns the change to make, or false if none is safe. A change
// is a compare-and-set, so that two who find the same thing do it once.

// NextEpoch returns the epoch of the next change to either record.
func NextEpoch(a, b Record) uint64 { return max(a.Epoch, b.Epoch) + 1 }

// Resolve decides how a preparation or a hold that is past its bound ends. giver
// is its record, with the run id of the server that holds it; taker is the other
// side's, nil if it does not answer.
//
// While the giver has not failed over since the hold was written, it alone
// decides: the commit can only be in its record, and it is not. Once it has
// failed over, a commit may have been forgotten, and only the taker's offer or
// grant tells: it was made after the proof, so the commit is completed.
func Resolve(giver Record, runID string, taker *Record, s Stamp) (Change, bool) {
	mv := giver.Move
	if mv == nil || (mv.Stage != Held && mv.Stage != Prepared) {
		return Change{}, false
	}
	var next Record
	var err error
	switch {
	case mv.Stage == Prepared || mv.RunID == runID:
		next, err = giver.Abort(mv.ID, s)
	case taker == nil:
		return Change{}, false
	case taker.At(mv.ID, Offered) || taker.At(mv.ID, Granted):
		next, err = giver.Commit(mv.ID, s)
	default:
		next, err = giver.Abort(mv.ID, s)
	}
	return Change{giver.Side, giver, next}, err == nil
}

// AwaitsGrant reports whether r has given slots away by a commit, and the taker's
// record knows nothing of it yet. A taker whose record is newer than the commit was
// granted it and has gone on: what came after, a way back that was given up for
// one, may have left no trace of the grant, while the commit stands on the giver's
// record until that side takes part in a move again.
func (r Record) AwaitsGrant(taker Record) bool {
	mv := r.Move
	return mv != nil && mv.From == r.Side && mv.Stage == Committed && taker.Epoch < r.Epoch && !taker.At(mv.ID, Granted)
}

// Open grants a move that is committed. roll is the giver's, read before giver
// was; safe says that every replica of the giver has that record. force says
// that a lease has passed since whoever asks obeyed this very commit: then those who
// have not acknowledged can hold no lease from before it, and the moving keys had
// no copy under way, since that was acknowledged in the hold.
func Open(giver, taker Record, roll []Entry, safe, force bool, s Stamp) (Change, bool) {
	mv := giver.Move
	if mv == nil || mv.Stage != Committed || !force && !(safe && AllAcked(roll, mv.ID)) {
		return Change{}, false
	}
	next, err := taker.Grant(giver, s)
	return Change{taker.Side, taker, next}, err == nil
}

// StrikeOut takes an offer off the taker's record if its move is no more. The
// giver's record tells that only if it is as new as the offer.
func StrikeOut(giver, taker Record, s Stamp) (Change, bool) {
	mv := taker.Move
	if mv == nil || mv.Stage != Offered || giver.Epoch < taker.Epoch || (giver.Move != nil && giver.Move.ID == mv.ID) {
		return Change{}, false
	}
	next, err := taker.Strike(s)
	return Change{taker.Side, taker, next}, err == nil
}

// AllAcked reports whether every entry of a roll has acknowledged the commit of
// a move, so that the taker may own.
func AllAcked(roll []Entry, move string) bool {
	for _, e := range roll {
		if e.Ack != (Ack{move, Committed}) {
			return false
		}
	}
	return true
}
