package protocol

import (
	"fmt"
	"maps"
	"time"
)

// A Mover carries one move from its first record to its grant, or back to the
// state before it. It does no I/O and is not safe for concurrent use: Handle
// takes one input and returns what to do next.
//
//	preparing ─ gathering ─ holding ─ draining ─ proving ─ offering ─ committing ─ counting ─ confirming ─ granting ─ ended
//	     └──────────┴──────────┴─────────┴──────────┴─────────┴─ aborting ─ striking ─ ended
//
// Up to the commit every failure leads to aborting; from the commit on nothing
// does: the move is decided and is carried on.
type Mover struct {
	cfg      MoveConfig
	giver    Side
	stage    moveStage
	rec      [3]Record // as last known, by Side
	run      [3]string // run id of the control master that each was last read from or written to
	pending  Change    // the compare-and-set that is under way
	offer    Record    // the offer, once it was asked for
	safe     bool      // the commit is on all replicas of the giver
	rollSeq  uint64    // of the last DoRoll
	rolled   bool      // the roll has been read since
	looked   Instant   // when the last reading of the roll was asked for
	deadline Instant
	began    Instant
	watch    map[string]*watched
	dirty    int
	reason   string // why it is being aborted
	countRun string // the giver's run id under which the commit's acknowledgements are counted
	end      *MoveEnd
}

// MoveConfig is what a move is to do and what bounds it.
type MoveConfig struct {
	ID         string
	Writer     string
	From       Side
	Goal       map[string]int
	Hold       time.Duration // bound of the hold
	PrepareFor time.Duration // bound of the preparation; between SilentFor, so that a dead member can be waited out, and PrepareBound
	FewNames   int           // the hold begins when no more names than this are dirty
	CanFence   bool          // connections can be listed and killed on both sides
	Nonce      func() string
}

type moveStage uint8

const (
	preparing moveStage = iota
	gathering
	holding
	draining
	proving
	offering
	committing
	counting
	confirming
	granting
	aborting
	striking
	ended
)

var moveStageNames = [...]string{"preparing", "gathering", "holding", "draining", "proving", "offering",
	"committing", "counting", "confirming", "granting", "aborting", "striking", "ended"}

func (s moveStage) String() string { return moveStageNames[s] }

// watched is what the mover knows of one member on the giver's roll.
type watched struct {
	entry   Entry
	changed Instant // when its beat was last seen to change
	fencing bool    // a fence is under way
	failed  Instant // when the last fence failed
	fenced  bool
}

// fenceEvery is how long after a failed fence the next is tried.
const fenceEvery = time.Second

// MoveEnd says how a move ended.
type MoveEnd struct {
	Committed bool
	Reason    string // why it was aborted; or what was not as it should be after the commit
}

// An Input tells the mover what happened. One field is set; none is a tick.
type Input struct {
	Written *Written
	Read    *Read
	Roll    *Roll
	Fenced  *Fenced
	Proved  *Proved
	Dirty   *int   // names that are still to be compared, while gathering
	Master  Side   // the control master of this side has changed
	Cancel  string // stop, for this reason, if it is not decided yet
}

// Written answers an output of kind DoWrite: the record that the side held
// afterwards, with the run id of the server. Err says that the outcome is not
// known. Safe says that every replica has it.
type Written struct {
	Side    Side
	Current Record
	RunID   string
	Safe    bool
	Err     error
}

// Read answers DoRead in the same way.
type Read = Written

// Roll answers DoRoll: the giver's roll, as it was read after the output with
// that Seq was given. Any other is ignored: it may show members as they were
// before the record that they are to acknowledge.
type Roll struct {
	Seq     uint64
	Asked   Instant // before it was asked for: an answer may lie there for as long as its reader sleeps
	Entries []Entry
}

// Fenced answers DoFence.
type Fenced struct {
	Member string
	OK     bool
}

// Proved answers DoProve. Reason says what was not proven.
type Proved struct {
	OK     bool
	Reason string
}

// A Kind tells what an output asks for.
type Kind uint8

const (
	DoWrite Kind = iota + 1 // compare-and-set Change, with a nudge, and ask whether the replicas have it
	DoRead                  // read the record of Side and ask whether the replicas have it
	DoRoll                  // read the giver's roll, now and whenever it changes, until the next DoRoll or the end
	DoFence                 // kill every connection of Member on every node of both sides, up to an id watermark
	DoProve                 // run a Prover over the moving slots, and hand in its Proved
	DoEnd                   // the move is over: see End
)

// An Output is one thing that the mover wants done.
type Output struct {
	Kind   Kind
	Side   Side
	Change Change
	Seq    uint64 // of a DoRoll
	Member string
	End    *MoveEnd
}

// NewMover returns a mover that stands before its first step. source and target
// are the records as they were read just now, with their masters' run ids.
func NewMover(cfg MoveConfig, source, target Record, sourceRun, targetRun string) *Mover {
	return &Mover{
		cfg: cfg, giver: cfg.From, watch: map[string]*watched{},
		rec: [3]Record{Source: source, Target: target},
		run: [3]string{Source: sourceRun, Target: targetRun},
	}
}

// Resume returns a mover for a move that is committed and was left by its
// coordinator: it goes on at the count of acknowledgements.
func Resume(cfg MoveConfig, source, target Record, sourceRun, targetRun string, now Instant) (*Mover, []Output) {
	m := NewMover(cfg, source, target, sourceRun, targetRun)
	m.began = now
	m.pending = Change{Side: m.giver, New: m.rec[m.giver]}
	return m, m.count(false)
}

// Stage names the step that the mover is at, for people.
func (m *Mover) Stage() string { return m.stage.String() }

// Decided reports whether the move is committed, or may be.
func (m *Mover) Decided() bool {
	return m.stage >= committing && m.stage <= granting || m.end != nil && m.end.Committed
}

// Start begins the move.
func (m *Mover) Start(now Instant) []Output {
	m.began, m.deadline = now, now.Add(m.cfg.PrepareFor)
	if taker := m.rec[m.giver.Other()]; !taker.Phase.Leased() || !taker.settled() {
		return m.finish(false, refuse(taker, "offer").Error())
	}
	if !maps.Equal(m.rec[Source].Cuts, m.rec[Target].Cuts) {
		return m.finish(false, "the control records of source and target have other cuts: an earlier move is not over")
	}
	mv := Move{ID: m.cfg.ID, From: m.giver, Goal: m.cfg.Goal, HoldMS: m.cfg.Hold.Milliseconds()}
	next, err := m.rec[m.giver].Prepare(mv, m.stamp())
	if err != nil {
		return m.finish(false, err.Error())
	}
	return m.write(preparing, m.giver, next)
}

// Handle takes one input and returns what to do.
func (m *Mover) Handle(in Input, now Instant) []Output {
	if m.stage == ended {
		return nil
	}
	switch {
	case in.Written != nil:
		return m.written(*in.Written, now)
	case in.Read != nil:
		return m.read(*in.Read, now)
	case in.Roll != nil:
		m.look(*in.Roll, now)
	case in.Fenced != nil:
		m.fenced(*in.Fenced, now)
	case in.Proved != nil:
		return m.proved(*in.Proved)
	case in.Dirty != nil:
		m.dirty = *in.Dirty
	case in.Master != None:
		return m.masterChanged(in.Master, now)
	case in.Cancel != "":
		return m.cancel(in.Cancel)
	}
	return m.advance(now)
}

// advance does what time and the roll allow.
func (m *Mover) advance(now Instant) []Output {
	if late := m.late(now); late != "" {
		return m.cancel(late)
	}
	switch m.stage {
	case gathering:
		if m.dirty <= m.cfg.FewNames && m.acked(Prepared) {
			next, err := m.rec[m.giver].Hold(m.cfg.ID, m.run[m.giver], m.stamp())
			if err != nil {
				return m.cancel(err.Error())
			}
			m.deadline = now.Add(m.cfg.Hold)
			return m.write(holding, m.giver, next)
		}
		return m.fenceSilent(now)
	case draining:
		if m.acked(Held) {
			m.stage = proving
			return []Output{{Kind: DoProve}}
		}
	case counting:
		out := m.fenceSilent(now)
		if m.safe && m.acked(Committed) {
			m.stage = confirming
			return append(out, Output{Kind: DoRead, Side: m.giver})
		}
		return out
	}
	return nil
}

// late names the bound that has passed, if the move is not decided yet.
func (m *Mover) late(now Instant) string {
	if m.stage >= committing || now.Mono < m.deadline.Mono {
		return ""
	}
	if m.stage <= gathering {
		return fmt.Sprintf("not prepared within %v: %s", m.cfg.PrepareFor, m.waitingFor(Prepared))
	}
	return fmt.Sprintf("hold over its bound of %v while %v: %s", m.cfg.Hold, m.stage, m.waitingFor(Held))
}

// write asks for a compare-and-set and goes to the stage that waits for it.
func (m *Mover) write(stage moveStage, side Side, next Record) []Output {
	m.stage, m.safe = stage, false
	m.pending = Change{Side: side, Old: m.rec[side], New: next}
	return []Output{{Kind: DoWrite, Side: side, Change: m.pending}}
}

func (m *Mover) stamp() Stamp {
	return Stamp{
		// Above the offer even if its outcome is not known: a giver's record that is
		// as new as an offer and without its move shows that the offer is stale.
		Epoch:  max(NextEpoch(m.rec[Source], m.rec[Target]), m.offer.Epoch+1),
		Writer: m.cfg.Writer, Nonce: m.cfg.Nonce(),
	}
}

func (m *Mover) finish(committed bool, reason string) []Output {
	m.stage = ended
	m.end = &MoveEnd{Committed: committed, Reason: reason}
	return []Output{{Kind: DoEnd, End: m.end}}
}
