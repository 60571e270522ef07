package queue

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"slices"
)

// A Job is a kind of job: its name, its payload's type, and how it is enqueued.
// Define one for each kind, once, where both producers and workers find it.
type Job[T any] struct {
	name string
	base settings
	keys func(T) string
	err  error
}

// Define makes a kind of job. Its name stands in Redis: renaming it leaves the jobs
// that wait without a handler. T is encoded as JSON, and decoded strictly; Raw is
// left as it is. What is wrong with the options is told by whoever uses the Job
// first.
func Define[T any](name string, opts ...Option) *Job[T] {
	j := &Job[T]{name: name, base: defaults()}
	if j.err = checkName("Define", name); j.err == nil {
		j.err = j.base.apply(opts)
	}
	return j
}

// KeyBy gives each job the business key that f makes of its payload: see Key. It
// returns j.
func (j *Job[T]) KeyBy(f func(T) string) *Job[T] {
	j.keys = f
	return j
}

// Name returns the job's name.
func (j *Job[T]) Name() string { return j.name }

// A State says what became of a job that was enqueued.
type State uint8

const (
	New       State = iota + 1 // it is in the queue
	Duplicate                  // it was there before: by its key, its id, or as unique
	Stored                     // Redis is away: it waits in the outbox
)

var stateNames = [...]string{"unknown", "new", "duplicate", "stored"}

func (s State) String() string { return stateNames[min(s, Stored)] }

// A Receipt says what became of a job. After an error its ID is that under which the
// job may be in the queue.
type Receipt struct {
	ID        string
	State     State
	Confirmed bool // a replica has it: only if Replicated was asked for
}

// Enqueue puts a job into its queue. It tries until Redis answers or Options.Budget
// is over; then it is Stored, if the client has an outbox, else ErrUnavailable.
func (j *Job[T]) Enqueue(ctx context.Context, c *Client, v T, opts ...Option) (Receipt, error) {
	e, err := j.entry(v, opts)
	if err != nil {
		return Receipt{}, err
	}
	err = c.enqueue(ctx, []*entry{e})
	return e.receipt(), err
}

// EnqueueAll puts many jobs into their queue at once, in their order, at a fraction
// of the cost. Receipts are in the same order. An error means that some are not in:
// those whose State is 0.
func (j *Job[T]) EnqueueAll(ctx context.Context, c *Client, all []T, opts ...Option) ([]Receipt, error) {
	entries := make([]*entry, len(all))
	for i, v := range all {
		var err error
		if entries[i], err = j.entry(v, opts); err != nil {
			return nil, err
		}
	}
	err := c.enqueue(ctx, entries)
	receipts := make([]Receipt, len(entries))
	for i, e := range entries {
		receipts[i] = e.receipt()
	}
	return receipts, err
}

// entry checks and encodes a job.
func (j *Job[T]) entry(v T, opts []Option) (*entry, error) {
	if j.err != nil {
		return nil, j.err
	}
	e := &entry{settings: j.base, name: j.name, nonce: newNonce()}
	err := e.apply(opts)
	if err != nil {
		return nil, err
	}
	if j.keys != nil && e.key == "" && e.id == "" {
		e.key = j.keys(v)
	}
	if err := e.settle(); err != nil {
		return nil, err
	}
	e.id = e.identity()
	e.payload, err = encode(v, e.maxPayload)
	return e, err
}

// An entry is a job on its way into a queue.
type entry struct {
	settings
	name    string
	payload []byte
	nonce   string // of this enqueuing, the same each time that it is sent

	state     State
	confirmed bool

	script *script // by which it is enqueued
	args   []any   // of the command that sends the script
	whole  bool    // send the script, not its name
	done   bool    // answered
	taken  bool    // the id is, or the unique lock
	last   error
}

// identity is the job's id: given, from its key, or random.
func (e *entry) identity() string {
	switch {
	case e.id != "":
		return e.id
	case e.key != "":
		sum := sha256.Sum256(slices.Concat([]byte(e.name), []byte{0}, []byte(e.key)))
		return hex.EncodeToString(sum[:16])
	}
	return e.nonce
}

func (e *entry) receipt() Receipt { return Receipt{ID: e.id, State: e.state, Confirmed: e.confirmed} }

// nonceLen is the length of a nonce, as text.
const nonceLen = 32

// newNonce returns 128 random bits.
func newNonce() string {
	var b [nonceLen / 2]byte
	_, _ = rand.Read(b[:]) // never fails
	var text [nonceLen]byte
	hex.Encode(text[:], b[:])
	return string(text[:])
}
