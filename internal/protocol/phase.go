package protocol

import (
	"errors"
	"fmt"
	"slices"
)

// A Phase says how far a migration has come. The zero Phase is unknown: a
// process that has not read a control record must refuse work, not guess.
type Phase uint8

const (
	Unknown Phase = iota
	Off           // source alone, no target traffic
	Shadow        // source answers, target is kept equal
	Cutover       // each side answers for some keys and is kept equal to the other
	Soak          // target answers, source is kept equal: the way back is open
	Done          // target alone; no way back
)

// ErrIllegalStep means that a migration cannot go from its phase to the one
// asked for.
var ErrIllegalStep = errors.New("illegal step")

var phaseNames = [...]string{"unknown", "off", "shadow", "cutover", "soak", "done"}

var phaseSteps = map[Phase][]Phase{
	Off:     {Shadow},
	Shadow:  {Cutover, Soak, Off},
	Cutover: {Cutover, Soak, Shadow},
	Soak:    {Done, Cutover, Shadow},
}

func (p Phase) String() string {
	if int(p) < len(phaseNames) {
		return phaseNames[p]
	}
	return "invalid"
}

// To reports whether a migration may go from p to next, as an ErrIllegalStep
// that names both where it may not.
func (p Phase) To(next Phase) error {
	if slices.Contains(phaseSteps[p], next) {
		return nil
	}
	return fmt.Errorf("%v to %v: %w", p, next, ErrIllegalStep)
}

// Leased reports whether a member needs a valid lease to use a side in p.
func (p Phase) Leased() bool { return p == Shadow || p == Cutover || p == Soak }

// MarshalText writes the phase as records and status store it.
func (p Phase) MarshalText() ([]byte, error) { return []byte(p.String()), nil }

// UnmarshalText refuses a name that it does not know: a newer program's phase
// must not be taken for one of ours.
func (p *Phase) UnmarshalText(b []byte) error {
	if i := slices.Index(phaseNames[:], string(b)); i >= 0 {
		*p = Phase(i)
		return nil
	}
	return fmt.Errorf("protocol: unknown phase %q", b)
}
