package coordinator

import (
	"errors"
	"fmt"

	"github.com/transload/transload/internal/control"
	"github.com/transload/transload/internal/protocol"
)

var (
	// ErrRunning means that another coordinator runs. The error that wraps it says
	// which.
	ErrRunning = errors.New("coordinator: another one runs")

	// ErrReplaced means that another coordinator has taken over: this one can
	// write no more.
	ErrReplaced = control.ErrReplaced

	// ErrAborted means that a move was given up, and that authority is where it
	// was before. The error that wraps it says why.
	ErrAborted = errors.New("coordinator: the move was aborted, and nothing has moved")

	// ErrDiffer means that the sides were compared and are not equal.
	ErrDiffer = errors.New("coordinator: the sides differ")

	// ErrOtherSide means that a side holds the record of the other one: of an earlier
	// migration of the same name, or because source and target were exchanged.
	ErrOtherSide = protocol.ErrOtherSide

	// ErrOption means that an option has a value that cannot be used.
	ErrOption = errors.New("coordinator: bad option")
)

// A Refusal is a gate that is shut. Nothing was changed.
type Refusal struct {
	Gate   string `json:"gate"`   // what refuses, in a word or two
	Figure string `json:"figure"` // what was found
	Next   string `json:"next"`   // what to do about it

	cause error // for those who tell refusals apart
}

func (r *Refusal) Unwrap() error { return r.cause }

func (r *Refusal) Error() string {
	return fmt.Sprintf("refused: %s: %s; next: %s", r.Gate, r.Figure, r.Next)
}

// A SideError is a side that answers, and lets nothing be done as it is now: the
// password is another, or it has no memory.
type SideError struct {
	Err  error
	Next string // what to do about it
}

func (e *SideError) Unwrap() error { return e.Err }

func (e *SideError) Error() string { return e.Err.Error() }

func refuse(gate, next, figure string, args ...any) error {
	return &Refusal{Gate: gate, Next: next, Figure: fmt.Sprintf(figure, args...)}
}
