package protocol

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
)

// Format is the version of the control record that this program reads and
// writes. A record of another version is refused by name.
const Format = 1

// Slots is the number of hash slots that authority is counted in, on every mode.
const Slots = 16384

// ErrFormat means that a control record was written by another version of the
// program, or by something else.
var ErrFormat = errors.New("control record of another format")

// ErrOtherSide means that a side holds the record of the other one: of an earlier
// migration of the same name, which went to it, or because the settings of source and
// target were exchanged. Who believed it would use the wrong Redis.
var ErrOtherSide = errors.New("its control record is the other side's: an earlier migration of this name went the other way " +
	"(set another MIGRATE_NAME, or forget that one), or source and target were exchanged")

// ErrDamaged means that what stands in a control record's place was written by
// no version of the program. It comes with ErrFormat.
var ErrDamaged = errors.New("it is damaged: no version of migrate wrote this")

// A State is what one side may be used for, for one slot of one workload.
type State uint8

const (
	Given  State = iota // nothing: the other side has it
	Awaits              // nothing until the other side's commit is known; then reads
	Holds               // reads
	Owns                // reads and writes
)

var stateNames = [...]string{"given", "awaits", "holds", "owns"}

func (s State) String() string { return stateNames[min(int(s), len(stateNames)-1)] }

// A Stage says how far the move in a record has come on that record's side.
// Prepared, Held and Committed stand on the side that gives; Offered and
// Granted on the side that takes.
type Stage string

const (
	Prepared  Stage = "prepare"
	Held      Stage = "hold"
	Committed Stage = "commit"
	Offered   Stage = "offer"
	Granted   Stage = "grant"
)

// A Move takes authority over some slots from one side to the other.
type Move struct {
	ID     string         `json:"id"`
	From   Side           `json:"from"`
	Goal   map[string]int `json:"goal"` // the cut that each moving workload shall have
	Stage  Stage          `json:"stage"`
	HoldMS int64          `json:"hold_ms"`          // bound of the hold, counted by each process from its own obeying
	RunID  string         `json:"run_id,omitempty"` // the giver's control master when the hold was written
}

// A Record is what one side says of itself: which slots of each workload it
// owns, holds, awaits or has given. It speaks for no other side.
type Record struct {
	Format int            `json:"format"`
	Name   string         `json:"name"`
	Side   Side           `json:"side"`
	Epoch  uint64         `json:"epoch"` // one growing number for both records
	Phase  Phase          `json:"phase"`
	Plan   string         `json:"plan"` // digest of the workloads and their prefixes
	Cuts   map[string]int `json:"cuts"` // by workload: the target owns slots below the cut
	Move   *Move          `json:"move,omitempty"`
	Claim  string         `json:"claim,omitempty"` // id of a claim: the other side is about to be given up
	Over   uint64         `json:"over,omitempty"`  // the other side was given up: its records below this epoch are void
	Writer string         `json:"writer"`
	Nonce  string         `json:"nonce"`
}

// A Stamp marks one version of a record: its epoch, who wrote it, and a random
// nonce by which a writer knows its own record again after a lost reply.
type Stamp struct {
	Epoch  uint64
	Writer string
	Nonce  string
}

// Cut returns the first slot that stays on the source when percent of a
// workload is on the target: slot < percent*Slots/100 means target.
func Cut(percent int) int { return (percent*Slots + 99) / 100 }

// Percent is the inverse of Cut, rounded down.
func Percent(cut int) int { return cut * 100 / Slots }

// Empty reports whether r is no record at all.
func (r Record) Empty() bool { return r.Format == 0 }

// Same reports whether two records are one and the same version.
func (r Record) Same(o Record) bool { return r.Epoch == o.Epoch && r.Nonce == o.Nonce }

// State returns what r's side may be used for, for a slot of a workload. A
// record's move changes that only while it holds or offers; before, the old
// cuts count, after, the new.
func (r Record) State(workload string, slot int) State {
	if r.Empty() {
		return Given
	}
	if mv := r.Move; mv != nil && mv.covers(r.Cuts, workload, slot) {
		switch mv.Stage {
		case Held:
			return Holds
		case Offered:
			return Awaits
		}
	}
	if (slot < r.Cuts[workload]) == (r.Side == Target) {
		return Owns
	}
	return Given
}

// Moving reports whether r's move is still to change the authority over a slot.
func (r Record) Moving(workload string, slot int) bool {
	return r.Move != nil && r.Move.covers(r.Cuts, workload, slot)
}

// covers reports whether the slot lies between the cut and the goal. Once the
// cut is the goal, that is nowhere.
func (mv *Move) covers(cuts map[string]int, workload string, slot int) bool {
	goal, ok := mv.Goal[workload]
	if !ok {
		return false
	}
	lo, hi := min(cuts[workload], goal), max(cuts[workload], goal)
	return slot >= lo && slot < hi
}

// At reports whether r carries the move at the stage.
func (r Record) At(move string, stage Stage) bool {
	return r.Move != nil && r.Move.ID == move && r.Move.Stage == stage
}

// Encode writes the record in the one form in which it is stored and compared.
func (r Record) Encode() string {
	b, err := json.Marshal(r)
	if err != nil { // a record holds strings, numbers and maps of them
		panic(fmt.Sprintf("protocol: encode record: %v", err))
	}
	return string(b)
}

// Decode reads what Encode wrote. An empty text is the empty record; another
// format is ErrFormat.
func Decode(text string) (Record, error) {
	if text == "" {
		return Record{}, nil
	}
	var head struct {
		Format int `json:"format"`
	}
	if err := json.Unmarshal([]byte(text), &head); err != nil {
		return Record{}, fmt.Errorf("%w: %w: not JSON", ErrFormat, ErrDamaged)
	}
	if head.Format == 0 {
		return Record{}, fmt.Errorf("%w: %w: it names no format", ErrFormat, ErrDamaged)
	}
	if head.Format != Format {
		return Record{}, fmt.Errorf("%w: %d; this program knows %d", ErrFormat, head.Format, Format)
	}
	var r Record
	if err := json.Unmarshal([]byte(text), &r); err != nil {
		return Record{}, fmt.Errorf("%w: %w", ErrFormat, err)
	}
	return r, nil
}

// DecodeOf is Decode for what a side holds. The other side's record is ErrOtherSide.
func DecodeOf(side Side, text string) (Record, error) {
	r, err := Decode(text)
	if err == nil && !r.Empty() && r.Side != side {
		return Record{}, ErrOtherSide
	}
	return r, err
}

// stamped returns a copy of r, with maps of its own, under a new stamp.
func (r Record) stamped(s Stamp) Record {
	r.Epoch, r.Writer, r.Nonce = s.Epoch, s.Writer, s.Nonce
	r.Cuts = maps.Clone(r.Cuts)
	if r.Move != nil {
		mv := *r.Move
		mv.Goal = maps.Clone(mv.Goal)
		r.Move = &mv
	}
	return r
}
