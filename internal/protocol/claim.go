package protocol

import (
	"fmt"
	"maps"
	"slices"
	"time"
)

// A claim is how a side takes all that the other one owns when that other is
// gone: it cannot be asked, so nothing can be proven, and what it alone had is
// lost. Its steps are compare-and-sets of the record of the side that lives:
//
//	(anything) ── stake ── take        (owns all; older records of the lost side are void)
//	     ↑          │
//	     └── waive ─┘
//
// While a claim stands nobody who has acknowledged it asks the lost side for a
// lease. After the take its record counts for nothing, until it has been given
// the place of a mirror (Yield).

// Claimed is the stage of a member's acknowledgement of a claim. It stands in no
// move.
const Claimed Stage = "claim"

// ClaimBound is the longest that a claim may stand. A member that sees one for
// longer waives it: its coordinator has died, and the side may be back.
const ClaimBound = time.Minute

// overBy is how far a taken record's epoch lies above what the living side has
// heard of. The lost side may have changed its own record since (moves that were
// aborted raise its epoch alone): never as often as this.
const overBy = 1 << 32

// Stake marks the other side as about to be given up. A move that this side
// gives is ended first.
func (r Record) Stake(id string, s Stamp) (Record, error) {
	if !r.Phase.Leased() || r.Claim != "" || r.Move != nil && r.Move.From == r.Side && !r.settled() {
		return Record{}, refuse(r, "stake")
	}
	r.Claim = id
	return r.stamped(s), nil
}

// Waive takes a claim off. What stood before it stands again.
func (r Record) Waive(s Stamp) (Record, error) {
	if r.Claim == "" {
		return Record{}, refuse(r, "waive")
	}
	r.Claim = ""
	return r.stamped(s), nil
}

// Take makes r's side own every slot, and voids what the other side says. The
// stamp's epoch is raised by so much that no record of the lost side is newer.
func (r Record) Take(claim string, s Stamp) (Record, error) {
	if claim == "" || r.Claim != claim {
		return Record{}, refuse(r, "take")
	}
	s.Epoch += overBy
	next := r.stamped(s)
	next.Claim, next.Move, next.Over = "", nil, s.Epoch
	cut, phase := 0, Shadow
	if r.Side == Target {
		cut, phase = Slots, Soak
	}
	for w := range next.Cuts {
		next.Cuts[w] = cut
	}
	next.Phase = phase
	return next, nil
}

// Voids reports whether a record of the other side is from before it was given
// up. Both records cannot void each other: each is as new as what it voids by.
func (r Record) Voids(other Record) bool { return other.Epoch < r.Over }

// Yield returns the record that takes the place of a void one: the side that was
// given up is the mirror of the other, in its phase. It follows from r alone, so
// that all who find the void record write the same.
func (r Record) Yield(void Record) Change {
	next := Record{Format: Format, Name: r.Name, Side: r.Side.Other(), Epoch: r.Epoch, Phase: r.Phase, Plan: r.Plan,
		Cuts: maps.Clone(r.Cuts), Writer: r.Writer, Nonce: "yield to " + r.Nonce}
	return Change{Side: next.Side, Old: void, New: next}
}

const (
	// claimFor is how long members are given to acknowledge a claim: some beats.
	claimFor = 20 * time.Second

	// tellFor is how long after SilentFor a member may still tell of a lease on the
	// lost side: its last one may have begun when the watch did, and is told with a
	// beat.
	tellFor = 3 * time.Second
)

// A Claimer decides, from what is seen of both sides, when a claim may be staked
// and when all may be taken. It does no I/O and is not safe for concurrent use.
//
// It watches first, and nothing is changed: for SilentFor the lost side must not
// answer once. Then leases on it have ended, but for those of members that reach
// it though the coordinator does not; such a member tells so with its beats on
// the living side's roll, and then the side is not lost. After the stake each
// member must have acknowledged that it has no lease and will take none, or have
// been silent on the roll for SilentFor and be fenced on the living side.
type Claimer struct {
	id      string
	lost    Side
	fences  bool // connections can be listed and killed on the living side
	began   Instant
	staked  bool
	at      Instant // of the stake
	run     string  // the living side's control master, once the claim is staked
	watch   map[string]*claimant
	unknown []string // silent, and could not be fenced
}

// A claimant is what is known of one member on the living side's roll.
type claimant struct {
	entry   Entry
	changed Instant // when its beat was last seen to change
	beats   bool    // it was, at least once
	fenced  bool
}

// A ClaimLook is what was seen since the look before.
type ClaimLook struct {
	Asked    Instant // before anything was asked
	Answered bool    // the lost side has
	Record   Record  // the living side's, with its master, and whether its replicas have it
	RunID    string  //
	Safe     bool    //
	Roll     []Entry // the living side's, read after the record
}

// ClaimDo is what a Claimer wants done.
type ClaimDo uint8

// What a Claimer wants done.
const (
	ClaimWait  ClaimDo = iota // look again in a moment
	ClaimStake                // write Record.Stake on the living side
	ClaimFence                // kill every connection of Members on the living side, and tell by Fenced
	ClaimTake                 // write Record.Take over the very record that was looked at
	ClaimEnd                  // give up; if a claim was staked, waive it
)

// A ClaimStep is what is to be done now, and why.
type ClaimStep struct {
	Do      ClaimDo
	Members []string
	Why     string
}

// NewClaimer begins the watch. canFence says whether the living side lets
// connections be listed and killed.
func NewClaimer(id string, lost Side, canFence bool, now Instant) *Claimer {
	return &Claimer{id: id, lost: lost, fences: canFence, began: now, watch: map[string]*claimant{}}
}

// Staked says that the claim was written.
func (c *Claimer) Staked(now Instant) { c.staked, c.at = true, now }

// Fenced tells of a fence that was asked for.
func (c *Claimer) Fenced(member string) {
	if w := c.watch[member]; w != nil {
		w.fenced = true
	}
}

// Unfenced returns the members that were silent and could not be fenced, since
// the living side lets nobody be.
func (c *Claimer) Unfenced() []string { return c.unknown }

// Look takes what was seen and says what to do.
func (c *Claimer) Look(l ClaimLook, now Instant) ClaimStep {
	c.see(l.Roll, now)
	if l.Answered {
		return ClaimStep{Do: ClaimEnd, Why: fmt.Sprintf("the %v answers", c.lost)}
	}
	if holder := c.holder(l.Asked); holder != "" && (c.staked || l.Asked.Since(c.began) >= SilentFor+tellFor) {
		return ClaimStep{Do: ClaimEnd, Why: fmt.Sprintf("member %s holds a lease on the %v: it reaches it", holder, c.lost)}
	}
	if !c.staked {
		return c.watching(l.Asked)
	}
	return c.counting(l, now)
}

func (c *Claimer) watching(asked Instant) ClaimStep {
	if left := SilentFor - asked.Since(c.began); left > 0 {
		return ClaimStep{Why: fmt.Sprintf("leases on the %v end within %v", c.lost, left.Round(time.Second))}
	}
	if holder := c.holder(asked); holder != "" {
		return ClaimStep{Why: fmt.Sprintf("member %s has a lease on the %v yet", holder, c.lost)}
	}
	return ClaimStep{Do: ClaimStake}
}

func (c *Claimer) counting(l ClaimLook, now Instant) ClaimStep {
	living := c.lost.Other()
	if l.Record.Claim != c.id {
		return ClaimStep{Do: ClaimEnd, Why: fmt.Sprintf("%s changed the control record of the %v", l.Record.Writer, living)}
	}
	if c.run == "" {
		c.run = l.RunID
	}
	if l.RunID != c.run {
		return ClaimStep{Do: ClaimEnd, Why: fmt.Sprintf("the master of the %v has changed", living)}
	}
	var silent []string
	waits := ""
	for _, id := range c.ids() {
		switch w := c.watch[id]; {
		case w.fenced || w.entry.Ack == Ack{c.id, Claimed}:
		case l.Asked.Since(w.changed) < SilentFor:
			waits = fmt.Sprintf("member %s has not acknowledged yet", id)
			if w.entry.Note != "" {
				waits += " (" + w.entry.Note + ")"
			}
		case !c.fences:
			w.fenced = true
			c.unknown = append(c.unknown, id)
		default:
			silent = append(silent, id)
		}
	}
	if !l.Safe {
		waits = fmt.Sprintf("not every replica of the %v has the control record", living)
	}
	switch {
	case waits == "" && len(silent) == 0:
		return ClaimStep{Do: ClaimTake}
	case now.Since(c.at) >= claimFor:
		return ClaimStep{Do: ClaimEnd, Why: fmt.Sprintf("over its bound of %v: %s", claimFor, orSilent(waits, silent))}
	case len(silent) > 0:
		return ClaimStep{Do: ClaimFence, Members: silent, Why: "ending the connections of those who are silent"}
	}
	return ClaimStep{Why: waits}
}

func orSilent(waits string, silent []string) string {
	if waits == "" {
		return fmt.Sprintf("member %s is silent and cannot be fenced", silent[0])
	}
	return waits
}

// see takes a reading of the roll.
func (c *Claimer) see(roll []Entry, now Instant) {
	on := map[string]bool{}
	for _, e := range roll {
		on[e.ID] = true
		w := c.watch[e.ID]
		if w == nil {
			w = &claimant{changed: now}
			c.watch[e.ID] = w
		} else if e.Beat != w.entry.Beat {
			w.changed, w.beats, w.fenced = now, true, false // it lives
		}
		w.entry = e
	}
	maps.DeleteFunc(c.watch, func(id string, _ *claimant) bool { return !on[id] })
}

// holder names a member that beats and tells of a lease on the lost side. What
// one that is silent told last says nothing. Silence is counted to when the look
// was asked for: what was slept through was not seen.
func (c *Claimer) holder(asked Instant) string {
	for _, id := range c.ids() {
		w := c.watch[id]
		if w.beats && asked.Since(w.changed) < SilentFor && w.entry.RunIDs[c.lost-Source] != "" {
			return id
		}
	}
	return ""
}

// ids returns the members in a fixed order, so that a simulation's seed repeats.
func (c *Claimer) ids() []string { return slices.Sorted(maps.Keys(c.watch)) }
