package protocol

import (
	"fmt"
	"slices"
)

// A Prover proves inside a hold that both sides are equal in the moving slots.
// It does no I/O: Handle takes one answer and returns what to do next.
//
//	marking ─ comparing ─ repairing ┐
//	   └───────────┴── checking ──  │  ── proved, or not
//	   ↑                            │
//	   └────────────────────────────┘
//
// Each round sends a watermark through the feeds of every master of both sides
// and takes the names that they told of before. A name is taken before its
// compare reads, so that a change which comes later tells it anew. What had to be
// repaired is compared again after the next watermark; a round without a repair
// is the last. Where a side has no feed, a round is a full pass.
//
// Repairs of its driver's are writes like any other: those under way must have
// ended, or been killed, before Start, be they of the sync pass or of an earlier
// proof that was given up.
type Prover struct {
	tracked bool
	stage   proofStage
	waits   int      // answers that the stage still waits for
	names   []string // to be compared in this round
	differ  []string // that need repair
	again   bool     // a pass has found something: one more
	repairs map[string]int
	rounds  int
}

type proofStage uint8

const (
	proofMarking proofStage = iota
	proofComparing
	proofRepairing
	proofChecking
	proofOver
)

// maxRepairs is how often a name may differ in one proof. Nobody writes the
// moving keys, so one that differs for the third time is written by somebody who
// does not use the client.
const maxRepairs = 2

// A ProofKind tells what an output of a prover asks for.
type ProofKind uint8

const (
	// ProveMark sends a watermark through the feeds of every master of both sides.
	// Once it is through on all, the names in moving slots that the feeds told of
	// are taken out of the dirty set, and answered in Names. The driver keeps what it
	// has taken: unless the proof ends as proved, all of it has to become dirty again,
	// be it that the prover was never told. Nobody else knows these names any more, and
	// the next proof would not compare them.
	ProveMark ProofKind = iota + 1

	// ProvePass compares all moving keys and repairs what differs. It takes the
	// place of ProveMark where a side has no feed.
	ProvePass

	// ProveReplicas writes a marker on each master of the taking side and WAITs for
	// all its replicas on the same connection. It may run beside ProveMark.
	ProveReplicas

	// ProveCompare compares Names on both sides.
	ProveCompare

	// ProveRepair copies Names from the giver to the taker.
	ProveRepair

	// ProveMasters checks that role, run id and slots of every master of both sides
	// are those of before the sync pass, and that the feeds are unbroken since.
	ProveMasters

	// ProveEnd hands over Proved.
	ProveEnd
)

// A ProofOutput is one thing that the prover wants done.
type ProofOutput struct {
	Kind   ProofKind
	Names  []string
	Proved *Proved
}

// A ProofInput answers the output of its kind. Names are those taken by a
// ProveMark, or those that differ after a ProveCompare; Differ is how many a
// ProvePass found. Fault says in words what could not be done, or is not so.
type ProofInput struct {
	Kind   ProofKind
	Names  []string
	Differ int
	Fault  string
}

// NewProver returns a prover. tracked says that every master of both sides has
// a feed.
func NewProver(tracked bool) *Prover {
	return &Prover{tracked: tracked, repairs: map[string]int{}}
}

// Rounds returns how many rounds were begun, and Repaired how many names were
// repaired, for people.
func (p *Prover) Rounds() int { return p.rounds }

// Repaired returns how many names had to be repaired.
func (p *Prover) Repaired() int { return len(p.repairs) }

// Start begins the first round.
func (p *Prover) Start() []ProofOutput { return p.round() }

// round begins with a watermark. The marker goes beside it: no copy is under
// way, and what the prover repairs is followed by another round.
func (p *Prover) round() []ProofOutput {
	p.rounds++
	p.stage, p.waits = proofMarking, 2
	kind := ProvePass
	if p.tracked {
		kind = ProveMark
	}
	return []ProofOutput{{Kind: kind}, {Kind: ProveReplicas}}
}

// Handle takes one answer and returns what to do.
func (p *Prover) Handle(in ProofInput) []ProofOutput {
	if p.stage == proofOver || !p.expects(in.Kind) {
		return nil
	}
	if in.Fault != "" {
		return p.end(in.Fault)
	}
	switch in.Kind {
	case ProveMark:
		p.names = append(p.names, in.Names...)
		slices.Sort(p.names)
		p.names = slices.Compact(p.names)
	case ProvePass:
		if in.Differ > 0 {
			if p.rounds > maxRepairs {
				return p.end(fmt.Sprintf("%d keys differ again after they were repaired: somebody writes them past the hold", in.Differ))
			}
			p.again = true
		}
	case ProveCompare:
		p.differ = in.Names
	}
	if p.waits--; p.waits > 0 {
		return nil
	}
	return p.next()
}

// next goes on once everything that the stage asked for is answered.
func (p *Prover) next() []ProofOutput {
	switch p.stage {
	case proofMarking:
		if p.again {
			p.again = false
			return p.round()
		}
		if len(p.names) > 0 {
			p.stage, p.waits = proofComparing, 1
			return []ProofOutput{{Kind: ProveCompare, Names: p.names}}
		}
		return p.check()
	case proofComparing:
		p.names = nil
		if len(p.differ) == 0 {
			return p.check()
		}
		for _, n := range p.differ {
			if p.repairs[n]++; p.repairs[n] > maxRepairs {
				return p.end(fmt.Sprintf("%q differs again after it was repaired: somebody writes it past the hold", n))
			}
		}
		p.stage, p.waits = proofRepairing, 1
		return []ProofOutput{{Kind: ProveRepair, Names: p.differ}}
	case proofRepairing:
		p.names, p.differ = p.differ, nil // compared again after the next watermark
		return p.round()
	case proofChecking:
		return p.end("")
	}
	return nil
}

func (p *Prover) check() []ProofOutput {
	p.stage, p.waits = proofChecking, 1
	return []ProofOutput{{Kind: ProveMasters}}
}

func (p *Prover) end(fault string) []ProofOutput {
	p.stage = proofOver
	return []ProofOutput{{Kind: ProveEnd, Proved: &Proved{OK: fault == "", Reason: fault}}}
}

// expects reports whether the stage waits for an answer of a kind.
func (p *Prover) expects(k ProofKind) bool {
	switch p.stage {
	case proofMarking:
		return k == ProveReplicas || k == ProvePass && !p.tracked || k == ProveMark && p.tracked
	case proofComparing:
		return k == ProveCompare
	case proofRepairing:
		return k == ProveRepair
	case proofChecking:
		return k == ProveMasters
	}
	return false
}
