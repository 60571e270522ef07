package queue

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime/debug"
	"time"

	"github.com/hibiken/asynq"
)

const (
	// elsewhereAfter is when a job is tried again of which no handler is known here:
	// during a rollout another worker has one.
	elsewhereAfter = 5 * time.Second

	// busyAfter is the same for an effect that another run is applying.
	busyAfter = 3 * time.Second
)

// A Meta is what a handler knows of its job besides the payload.
type Meta struct {
	ID          string
	Queue       string
	Name        string
	Attempt     int // 1 for the first; those that ended with their worker or with Redis are not counted
	MaxAttempts int
	// IdempotencyKey is the same in every run of the job, and no other's: give it to
	// the provider that sends the mail, and to Once.
	IdempotencyKey string
}

// A handler runs a job of one kind.
type handler func(ctx context.Context, payload []byte, m Meta) error

// Handle has s run jobs of this kind by f. Success is finished for good; an error is
// tried again after a growing delay, unless it is Permanent or a RetryAfter. ctx ends
// with the job's Timeout, with its lease if Redis is away for half a minute, when it
// is cancelled, and when the server has stopped without it. A panic is an error.
func (j *Job[T]) Handle(s *Server, f func(ctx context.Context, v T, m Meta) error) error {
	if j.err != nil {
		return j.err
	}
	return s.handle(j.name, func(ctx context.Context, payload []byte, m Meta) error {
		v, err := decode[T](payload, j.base.maxPayload)
		if err != nil {
			return err
		}
		return f(ctx, v, m)
	})
}

func (s *Server) handle(name string, h handler) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.begun {
		return ErrBegun
	}
	if s.handlers[name] != nil {
		return fmt.Errorf("%w: Handle: %s has a handler already", ErrOption, name)
	}
	s.handlers[name] = h
	return nil
}

func metaOf(ctx context.Context, task *asynq.Task) (Meta, finish) {
	nonce, retain := nonceOf(task.Headers())
	m := Meta{Name: task.Type(), IdempotencyKey: nonce}
	m.ID, _ = asynq.GetTaskID(ctx)
	m.Queue, _ = asynq.GetQueueName(ctx)
	retried, _ := asynq.GetRetryCount(ctx)
	most, _ := asynq.GetMaxRetry(ctx)
	m.Attempt, m.MaxAttempts = retried+1, most+1
	if nonce == "" { // enqueued by asynq itself
		m.IdempotencyKey = m.ID
	}
	return m, finish{nonce: nonce, retain: retain}
}

// perform runs a handler, and makes an error of its panic.
func (s *Server) perform(ctx context.Context, payload []byte, m Meta) (err error) {
	h := s.handlers[m.Name] // nobody adds one while the server runs
	if h == nil {
		return errNoHandler
	}
	defer func() {
		if x := recover(); x != nil {
			err = fmt.Errorf("panic: %v", x)
			s.cfg.Logger.Warn("a handler panicked", "workload", workload, "op", m.Name, "job", m.ID, "stack", string(debug.Stack()))
		}
	}()
	return h(ctx, payload, m)
}

// failed logs an error, and gives asynq its text without what was in the payload.
func (s *Server) failed(ctx context.Context, m Meta, err error, payload []byte) error {
	if cause := context.Cause(ctx); cause != nil {
		err = fmt.Errorf("%w (%w)", err, cause)
	}
	f := &failure{text: redact(err.Error(), payload), err: err}
	s.cfg.Logger.Warn("a job failed", "workload", workload, "op", m.Name, "job", m.ID, "queue", m.Queue,
		"attempt", m.Attempt, "of", m.MaxAttempts, "err", f.text)
	return f
}

// A failure is a handler's error with a text that may be shown.
type failure struct {
	text string
	err  error
}

func (f *failure) Error() string { return f.text }
func (f *failure) Unwrap() error { return f.err }

// counts tells asynq whether an error was an attempt.
func counts(err error) bool {
	return !errors.Is(err, errNoHandler) && !errors.Is(err, ErrBusy) && !errors.Is(err, asynq.ErrLeaseExpired)
}

// delay tells asynq when to try again.
func (s *Server) delay(n int, err error, t *asynq.Task) time.Duration {
	if v, ok := errors.AsType[*verdict](err); ok && !v.permanent {
		return v.after
	}
	switch {
	case errors.Is(err, errNoHandler):
		return elsewhereAfter + rand.N(elsewhereAfter)
	case errors.Is(err, ErrBusy):
		return busyAfter
	}
	return asynq.DefaultRetryDelayFunc(n, err, t)
}
