package ratelimit

import (
	"errors"
	"fmt"
	"log/slog"
	"time"
)

// ErrOption means that an option has a value that cannot be used; the error that
// wraps it names the option.
var ErrOption = errors.New("bad option")

// The defaults of the options.
const (
	defaultBudget    = 50 * time.Millisecond
	defaultInstances = 8
	defaultMemory    = 65_536
)

type settings struct {
	namespace string
	budget    time.Duration
	instances int
	memory    int
	log       *slog.Logger
}

// An Option changes what New makes.
type Option func(*settings) error

func newSettings(opts []Option) (settings, error) {
	s := settings{budget: defaultBudget, instances: defaultInstances, memory: defaultMemory, log: slog.New(slog.DiscardHandler)}
	var err error
	for _, o := range opts {
		if o == nil {
			err = errors.Join(err, fmt.Errorf("%w: an Option is nil", ErrOption))
			continue
		}
		err = errors.Join(err, o(&s))
	}
	return s, err
}

// WithNamespace tells limiters apart that share a Redis: with another name the same
// subject has other counters. It has the form of a policy's name. The default is
// none.
func WithNamespace(name string) Option {
	return func(s *settings) error {
		if !nameForm.MatchString(name) {
			return fmt.Errorf("%w: WithNamespace: want 1 to 32 of a-z, 0-9, '-' and '_'", ErrOption)
		}
		s.namespace = name
		return nil
	}
}

// WithBudget bounds how long one decision waits for Redis. What is not answered by
// then is decided by Policy.OnOutage. The default is 50ms.
func WithBudget(d time.Duration) Option {
	return func(s *settings) error {
		if d < time.Millisecond || d > time.Minute {
			return fmt.Errorf("%w: WithBudget: %v is not between 1ms and 1m", ErrOption, d)
		}
		s.budget = d
		return nil
	}
}

// WithInstances says among how many instances a LocalShare is divided by an instance
// that has not heard from Redis yet how many live: one that was started in the middle
// of an outage. The default is 8.
func WithInstances(n int) Option {
	return func(s *settings) error {
		if n < 1 {
			return fmt.Errorf("%w: WithInstances: %d is under 1", ErrOption, n)
		}
		s.instances = n
		return nil
	}
}

// WithMemory bounds how many subjects an instance remembers, for outages. One takes
// some 300 bytes, and 100 more for each further policy. While Redis answers, a subject
// without a place is limited as any other; in an outage it is denied. The default is
// 65,536.
func WithMemory(subjects int) Option {
	return func(s *settings) error {
		if subjects < shards {
			return fmt.Errorf("%w: WithMemory: %d is under %d", ErrOption, subjects, shards)
		}
		s.memory = subjects
		return nil
	}
}

// WithLogger takes what a human should look at. Subjects are never logged. The
// default discards.
func WithLogger(l *slog.Logger) Option {
	return func(s *settings) error {
		if l == nil {
			return fmt.Errorf("%w: WithLogger: it is nil", ErrOption)
		}
		s.log = l
		return nil
	}
}
