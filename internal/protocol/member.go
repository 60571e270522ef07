package protocol

import (
	"maps"
	"time"
)

// graceFor is how long a member holds back from obeying an abort, a commit or a
// grant that not all replicas have. It bounds what a lost replica costs in the
// middle of a move; what it risks is told in doc.go.
const graceFor = 50 * time.Millisecond

// abortAfter is how long a member leaves it to the coordinator to end a hold that
// is over its bound, or to grant what is committed, before it does so itself.
const abortAfter = 100 * time.Millisecond

// PrepareBound is the longest that a move may be prepared. A member that sees
// one stand for longer ends it, so that blocking commands begin again when the
// coordinator has died. It is twice what waiting out and fencing a dead member
// takes, and more.
const PrepareBound = time.Minute

// A Seen is what one refresh told a member about a side.
type Seen struct {
	Gen    uint64  // of the lease for which the refresh was sent
	Sent   Instant // before the refresh was sent
	RunID  string  // of the master that answered
	Record Record  // what it holds; empty if it holds none
	Safe   bool    // every replica that the master lists as online has it
}

// Effects are what a member's process must do after an input.
type Effects struct {
	View    bool    // the view changed: install it, wake what is parked
	Settle  bool    // the record is new: ask whether the replicas have it, on the same connection
	Close   bool    // the lease is over: close the side's pool, then call Closed
	PutBack *Change // the side forgot a record that was obeyed: write it again
}

// A Change is one compare-and-set of a side's record.
type Change struct {
	Side     Side
	Old, New Record
}

// A Duty is what a move asks of a member before it may acknowledge a stage.
type Duty struct {
	Side  Side // on whose roll the acknowledgement goes: the giver's
	Move  string
	Stage Stage
	Bound time.Duration // of the hold, for a duty of that stage
}

// A Member is the protocol's part of one process of the app. It is not safe for
// concurrent use and does no I/O: its process tells it what it heard and does
// what it returns.
type Member struct {
	sides [3]memberSide // by Side
}

type memberSide struct {
	heard  bool    // the side has answered at least once
	missed bool    // it was asked, and did not
	rec    Record  // obeyed
	since  Instant // when it was obeyed
	lease  Lease
	gen    uint64
	closed bool // the pool of the last lease is closed: a new lease may be asked for
	newer  Record
	first  Instant // when newer was first seen
	acked  Ack     // of a move away from this side
}

// NewMember returns a member that knows nothing and may use nothing.
func NewMember() *Member {
	m := &Member{}
	for _, s := range Sides {
		m.sides[s] = memberSide{gen: 1, closed: true}
	}
	return m
}

// Gen returns the generation of the side's lease: it grows when a lease lapses.
func (m *Member) Gen(s Side) uint64 { return m.sides[s].gen }

// Record returns the record that the member obeys on a side.
func (m *Member) Record(s Side) Record { return m.sides[s].rec }

// Heard reports whether the side has told the member its record, or that it has
// none.
func (m *Member) Heard(s Side) bool { return m.sides[s].heard }

// Missed says that a side was asked and did not answer, and reports whether that
// is the first that is known of it.
func (m *Member) Missed(s Side) bool {
	sd := &m.sides[s]
	first := !sd.heard && !sd.missed
	sd.missed = true
	return first
}

// asked reports whether both sides have been asked. Before that nothing is used: a
// side that says that it owns may have been given up, or have forgotten what it
// gave, and the other one's record tells.
func (m *Member) asked() bool {
	for _, s := range Sides {
		if sd := m.sides[s]; !sd.heard && !sd.missed {
			return false
		}
	}
	return true
}

// RunID returns the run id of the server that gave the side's lease.
func (m *Member) RunID(s Side) string { return m.sides[s].lease.RunID }

// Lease returns the side's lease, valid or not.
func (m *Member) Lease(s Side) Lease { return m.sides[s].lease }

// Ready reports whether the member holds a valid lease on both sides.
func (m *Member) Ready(now Instant) bool {
	return m.sides[Source].lease.Valid(now) && m.sides[Target].lease.Valid(now)
}

// Acked returns the last acknowledgement of a move away from a side, for that
// side's roll. Each side has its own: a member that does not reach one side goes on
// with a duty of a move which has long been over there, and must not forget by
// that what it has acknowledged to the other.
func (m *Member) Acked(s Side) Ack { return m.sides[s].acked }

// Phase returns how far the migration has come by what the member obeys:
// unknown until both sides were asked and the source, or the target that owns
// something, has answered.
func (m *Member) Phase() Phase {
	src, dst := m.sides[Source], m.sides[Target]
	switch {
	case !m.asked():
		return Unknown
	case dst.rec.Phase == Done || src.rec.Phase == Done:
		return Done
	case !src.rec.Empty() && src.rec.Epoch >= dst.rec.Epoch:
		return src.rec.Phase
	case !dst.rec.Empty():
		return dst.rec.Phase
	case src.heard:
		return Off // the source says that there is no record
	}
	return Unknown
}

// Ranges returns which side serves which slots of a workload now.
func (m *Member) Ranges(workload string) []Range {
	switch m.Phase() {
	case Unknown:
		return []Range{{Lo: 0, Hi: Slots}}
	case Off:
		return []Range{{0, Slots, Source, Source, false}}
	case Done:
		return []Range{{0, Slots, Target, Target, false}}
	}
	return ranges(m.sides[Source].rec, m.sides[Target].rec, workload)
}

// Lapse ends the side's lease if it is no longer valid, and reports whether a
// pool has to be closed before the next refresh. To be asked before each
// refresh, and by a timer.
func (m *Member) Lapse(s Side, now Instant) bool {
	sd := &m.sides[s]
	if sd.lease.RunID == "" || sd.lease.Valid(now) {
		return !sd.closed
	}
	m.lapse(s)
	return true
}

func (m *Member) lapse(s Side) {
	sd := &m.sides[s]
	sd.lease = Lease{}
	sd.gen++
	sd.closed = false
}

// Closed says that the pool of the lease before gen is closed, so that a new
// lease may be asked for.
func (m *Member) Closed(s Side, gen uint64) {
	if m.sides[s].gen == gen {
		m.sides[s].closed = true
	}
}

// Hear takes what a refresh told. An answer to a refresh that was sent under an
// earlier lease says nothing.
func (m *Member) Hear(s Side, seen Seen, now Instant) Effects {
	sd := &m.sides[s]
	if seen.Gen != sd.gen || !sd.closed {
		return Effects{Close: !sd.closed}
	}
	switch other := m.sides[s.Other()].rec; {
	case other.Voids(seen.Record):
		return m.shun(s, seen, other)
	case other.Claim != "" && sd.lease.RunID == "":
		first := !sd.heard
		sd.heard = true
		return Effects{View: first} // no lease while it is being given up
	}
	if sd.lease.RunID != "" && (sd.lease.RunID != seen.RunID || !sd.lease.Valid(now)) {
		m.lapse(s) // another server, or too late: that lease is over
		return Effects{View: true, Close: true}
	}
	first := !sd.heard
	sd.heard = true
	switch {
	case seen.Record.Same(sd.rec):
		fresh := !sd.lease.Valid(now)
		if mv := sd.rec.Move; fresh && mv != nil && mv.Stage == Committed {
			sd.since = now // others too may have got leases from this server under an older record
		}
		if seen.Sent.Mono > sd.lease.Sent.Mono || fresh {
			sd.lease = Lease{Sent: seen.Sent, RunID: seen.RunID}
		}
		return Effects{View: fresh || first}
	case seen.Record.Epoch < sd.rec.Epoch:
		return Effects{PutBack: &Change{Side: s, Old: seen.Record, New: sd.rec}}
	case seen.Record.Epoch == sd.rec.Epoch && sd.lease.RunID != "":
		return Effects{} // two records of one epoch: no refresh; obeyed only once the lease has ended
	}
	if !sd.newer.Same(seen.Record) {
		sd.newer, sd.first = seen.Record, now
	}
	if !seen.Safe && !(sd.outcome() && now.Since(sd.first) >= graceFor) {
		if sd.takesNothing() && seen.Sent.Mono > sd.lease.Sent.Mono {
			sd.lease.Sent = seen.Sent
		}
		return Effects{Settle: true}
	}
	m.obey(s, seen, now)
	return Effects{View: true}
}

// shun takes what a side says that was given up, and has come back with what it
// had: it is not used, and gets the record of a mirror.
func (m *Member) shun(s Side, seen Seen, living Record) Effects {
	sd := &m.sides[s]
	first := !sd.heard
	sd.heard = true
	if sd.lease.RunID != "" {
		m.lapse(s)
		return Effects{View: true, Close: true}
	}
	ch := living.Yield(seen.Record)
	return Effects{View: first, PutBack: &ch}
}

// outcome reports whether the newer record ends a hold, by commit, by grant, or
// by abort; or a claim. Writes wait for it, so it is obeyed after a grace even if a replica
// does not answer.
func (sd *memberSide) outcome() bool {
	if next := sd.newer.Move; next != nil {
		return next.Stage == Committed || next.Stage == Granted
	}
	mv := sd.rec.Move
	return sd.rec.Claim != "" || mv != nil && (mv.Stage == Held || mv.Stage == Offered)
}

// takesNothing reports whether an unbroken lease may go on under the record that
// is obeyed while the newer one is not safe: else a replica that hangs would stop
// the app a lease length after any change. It may not once the newer record gives
// authority away: a grant may be forced a lease length after that was written.
func (sd *memberSide) takesNothing() bool {
	return sd.lease.RunID != "" && !sd.outcome() && maps.Equal(sd.newer.Cuts, sd.rec.Cuts)
}

// Standing returns the records under which a new connection to a side may
// begin: the one that is obeyed, and a newer one that a replica has yet to
// confirm, if it differs by no move and takes nothing. While a move or a claim is under way
// it may not: who was fenced finds by that record that it was left behind.
func (m *Member) Standing(s Side) []Record {
	sd := &m.sides[s]
	if sd.newer.Empty() || sd.newer.Move != nil || sd.newer.Claim != "" || sd.newer.Phase != sd.rec.Phase || !sd.takesNothing() {
		return []Record{sd.rec}
	}
	return []Record{sd.rec, sd.newer}
}

func (m *Member) obey(s Side, seen Seen, now Instant) {
	sd := &m.sides[s]
	sd.rec = seen.Record
	sd.newer = Record{}
	sd.lease = Lease{Sent: seen.Sent, RunID: seen.RunID}
	sd.since = now
	if mv := sd.rec.Move; mv != nil && mv.From == s && mv.Stage == Committed {
		sd.acked = Ack{Move: mv.ID, Stage: Committed} // reads go on at the other side by themselves
	}
	if other := &m.sides[s.Other()]; sd.rec.Voids(other.rec) { // what it said says nothing any more
		other.rec, other.newer = Record{}, Record{}
		if other.lease.RunID != "" {
			m.lapse(s.Other())
		}
	}
}

// Duty returns what a claim, or the present stage of a move, asks of the member
// and it has not acknowledged yet. If it knows of a move on each side, the older
// record's move is over, and the newer one's comes first. A claim asks nothing of a
// member with a lease on the other side: that is not gone, and the acknowledgement
// never comes.
func (m *Member) Duty() (d Duty, ok bool) {
	for _, s := range Sides {
		claim := Ack{m.sides[s].rec.Claim, Claimed}
		if claim.Move != "" && m.sides[s].acked != claim && m.forsaken(s.Other()) {
			return Duty{Side: s, Move: claim.Move, Stage: Claimed}, true
		}
	}
	var epoch uint64
	for _, s := range Sides {
		rec := m.sides[s].rec
		mv := rec.Move
		if mv == nil || mv.From != s || (mv.Stage != Prepared && mv.Stage != Held) || rec.Epoch < epoch {
			continue
		}
		if m.sides[s].acked == (Ack{mv.ID, mv.Stage}) {
			continue
		}
		d, ok, epoch = Duty{s, mv.ID, mv.Stage, time.Duration(mv.HoldMS) * time.Millisecond}, true, rec.Epoch
	}
	return d, ok
}

// Done says that a duty has been carried out: operations and copies of earlier
// views have ended, and orphans are killed. It reports whether the duty is
// still asked for, so that the acknowledgement is worth sending. A member that
// does not hold both leases is not ready, and does not acknowledge.
func (m *Member) Done(d Duty, now Instant) bool {
	cur, ok := m.Duty()
	ready := m.Ready(now)
	if d.Stage == Claimed {
		ready = m.sides[d.Side].lease.Valid(now)
	}
	if !ok || cur != d || !ready {
		return false
	}
	m.sides[d.Side].acked = Ack{d.Move, d.Stage}
	return true
}

// forsaken reports whether the member has no lease on a side, and no pool of one.
func (m *Member) forsaken(s Side) bool { return m.sides[s].lease.RunID == "" && m.sides[s].closed }

// A Wish is what a member wants done about a move that its coordinator has left.
type Wish uint8

const (
	Nothing    Wish = iota
	WishEnd         // the hold, or the preparation, is over its bound: Resolve says how it ends
	WishOpen        // committed, and not granted: Open says whether it may be
	WishStrike      // an offer stands whose move is no more: StrikeOut takes it off
	WishWaive       // a claim is over its bound: Record.Waive takes it off
)

// Wish looks at the records that the member obeys and says what should be done
// by it now, on which side if it is a claim that stands there. force says that a lease has passed since the commit was obeyed, so
// that Open need not wait for acknowledgements. Records are read anew before a
// wish is carried out.
func (m *Member) Wish(now Instant) (w Wish, giver Side, force bool) {
	for _, s := range Sides {
		rec, other := m.sides[s].rec, m.sides[s.Other()].rec
		mv := rec.Move
		if rec.Claim != "" && now.Since(m.sides[s].since) >= ClaimBound+abortAfter {
			return WishWaive, s, false
		}
		switch {
		case mv == nil:
		case mv.From == s && mv.Stage == Held:
			if now.Since(m.sides[s].since) >= time.Duration(mv.HoldMS)*time.Millisecond+abortAfter {
				return WishEnd, s, false
			}
		case mv.From == s && mv.Stage == Prepared:
			if now.Since(m.sides[s].since) >= PrepareBound+abortAfter {
				return WishEnd, s, false
			}
		case !other.Empty() && rec.AwaitsGrant(other):
			if now.Since(m.sides[s].since) < abortAfter {
				continue
			}
			return WishOpen, s, now.Since(m.sides[s].since) >= SilentFor
		case mv.From == s.Other() && mv.Stage == Offered && other.Epoch >= rec.Epoch &&
			(other.Move == nil || other.Move.ID != mv.ID):
			return WishStrike, s.Other(), false
		}
	}
	return Nothing, None, false
}
