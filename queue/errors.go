package queue

import (
	"errors"
	"fmt"
	"time"

	"github.com/hibiken/asynq"
)

var (
	// ErrOption means that a setting has a value that cannot be used; the error that
	// wraps it names the setting and what would be good.
	ErrOption = errors.New("queue: bad option")

	// ErrUnavailable means that Redis has not answered: nobody can say whether what
	// was asked was done. To enqueue again is safe with the same ID (see WithID), and
	// for jobs with a key.
	ErrUnavailable = errors.New("queue: redis does not answer")

	// ErrFull means that Redis answers, and takes nothing: its memory is full
	// (maxmemory), or it cannot save to its disk. The job is not in.
	ErrFull = errors.New("queue: redis takes no jobs, for want of memory or disk")

	// ErrTooLarge means that a payload is larger than MaxPayload.
	ErrTooLarge = errors.New("queue: the payload is too large")

	// ErrPayload means that a payload is not what the job's type wants. The text never
	// holds the payload.
	ErrPayload = errors.New("queue: not a payload of this job")

	// ErrEvicts means that the Redis may throw jobs away when it is full.
	ErrEvicts = errors.New("queue: this redis evicts keys, and with them jobs: run CONFIG SET maxmemory-policy noeviction, " +
		"and put it into redis.conf or the service's parameter group")

	// ErrNotFound means that there is no such queue or job.
	ErrNotFound = errors.New("queue: not found")

	// ErrInDoubt means that a process ended between an effect and the note of it, so
	// that nobody knows whether it was applied: see Once.
	ErrInDoubt = errors.New("queue: nobody knows whether this effect was applied")

	// ErrBusy means that an effect is being applied at this moment by another run. A
	// handler returns it as it is: the job comes again in a few seconds.
	ErrBusy = errors.New("queue: another run is applying this effect")

	// ErrOutboxFull means that as many jobs are stored as the outbox may hold.
	ErrOutboxFull = errors.New("queue: the outbox is full")

	// ErrState means that a job is not in a state in which that can be done to it.
	ErrState = errors.New("queue: the job is not in a state for that")
)

// errNoHandler is what becomes of a job of a type that a server does not know.
var errNoHandler = errors.New("no handler for this type of job here")

// Permanent marks a handler's error as one that another attempt would meet again:
// the job goes to the archive at once, from where it can be run again by hand.
func Permanent(err error) error { return &verdict{err: err, permanent: true} }

// RetryAfter marks a handler's error as one that is over in d: the next attempt
// begins then, give or take a second. It counts as an attempt.
func RetryAfter(d time.Duration, err error) error { return &verdict{err: err, after: max(d, 0)} }

// A verdict is a handler's error with what is to be done about it.
type verdict struct {
	err       error
	permanent bool
	after     time.Duration
}

func (v *verdict) Error() string { return fmt.Sprint(v.err) }

func (v *verdict) Unwrap() []error {
	if v.permanent {
		return []error{v.err, asynq.SkipRetry}
	}
	return []error{v.err}
}
