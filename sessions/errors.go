package sessions

import (
	"errors"
	"fmt"
)

var (
	// ErrNotFound means that there is no such session: expired, logged out and never
	// made are not told apart.
	ErrNotFound = errors.New("sessions: not found")

	// ErrUnavailable means that the store gave no answer, so that nobody knows
	// whether there is such a session, or whether a change took effect. It never
	// means that the user is logged out: answer 503, and leave the cookie alone.
	ErrUnavailable = errors.New("sessions: store unavailable")

	// ErrConflict means that the session was changed, or its id renewed, since it was
	// read. Nothing was saved. Read it again (Update does), or let the user try again.
	ErrConflict = errors.New("sessions: changed meanwhile")

	// ErrTooLarge means that the values of a session, as JSON, are longer than
	// Options.MaxData. Keep them elsewhere, and their name in the session.
	ErrTooLarge = errors.New("sessions: values are too large")

	// ErrUser means that a user's id cannot be used; the error that wraps it says why.
	ErrUser = errors.New("sessions: bad user id")

	// ErrOption means that an option has a value that cannot be used; the error that
	// wraps it names the option.
	ErrOption = errors.New("sessions: bad option")
)

// errNobody is the error of what is asked of no session, as From returns it for
// requests that have none.
var errNobody = fmt.Errorf("%w: the session is nil: look at From's state first", ErrNotFound)

// errNoContext is a clear word in the place of a panic.
var errNoContext = errors.New("sessions: the context is nil: want context.Background() at least")

// errGone is ErrNotFound by a tombstone: the session was logged out or revoked, and
// nothing brings it back. Missing sessions may yet be in the fall-back.
var errGone error = goneError{}

type goneError struct{}

func (goneError) Error() string   { return ErrNotFound.Error() }
func (goneError) Is(e error) bool { return e == ErrNotFound }
