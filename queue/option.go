package queue

import (
	"errors"
	"fmt"
	"strings"
	"time"
)

const (
	// defaultAttempts over asynq's growing delays are some three weeks.
	defaultAttempts = 26
	defaultTimeout  = 30 * time.Minute
	defaultPayload  = 64 << 10

	// keyedFor is how long a finished job with a key is kept, if nothing else is said:
	// as long as somebody may press a button twice or a webhook come again.
	keyedFor = 10 * time.Minute

	// replicatedFor is the same for one that is sent again when a failover may have
	// lost it: longer than anybody tries, unless by a larger Budget.
	replicatedFor = time.Minute

	// maxName bounds names of queues and types, which stand in keys and metrics.
	maxName = 128
)

// An Option says how jobs are enqueued: all of a kind (Define), or one (Enqueue),
// which has the last word.
type Option func(*settings) error

// settings are what options make.
type settings struct {
	queue      string
	attempts   int
	timeout    time.Duration
	deadline   time.Time
	at         time.Time
	delay      time.Duration
	unique     time.Duration
	retain     time.Duration
	retainSet  bool
	key        string
	id         string
	maxPayload int
	replicated bool
}

func defaults() settings {
	return settings{queue: "default", attempts: defaultAttempts, timeout: defaultTimeout, maxPayload: defaultPayload}
}

func (s *settings) apply(opts []Option) (err error) {
	for _, o := range opts {
		err = errors.Join(err, o(s))
	}
	return err
}

// settle is called when all options are known.
func (s *settings) settle() error {
	if s.unique > 0 && (s.key != "" || s.id != "") {
		return fmt.Errorf("%w: Unique and a key or an id: a key alone already makes the job unique", ErrOption)
	}
	switch {
	case s.retainSet:
	case s.key != "" || s.id != "":
		s.retain = keyedFor
	case s.replicated:
		s.retain = replicatedFor
	}
	if s.delay > 0 {
		s.at = time.Now().Add(s.delay)
	}
	return nil
}

// In names the queue. Braces are refused: a queue's name is the hash tag of its
// keys. The default is "default".
func In(queue string) Option {
	return func(s *settings) error {
		s.queue = queue
		return checkName("In", queue)
	}
}

func checkName(setting, name string) error {
	if name == "" || len(name) > maxName || strings.ContainsFunc(name, notInName) {
		return fmt.Errorf("%w: %s: %q is not made of 1 to %d letters, digits, '.', '-', '_', ':' and '/'", ErrOption, setting, name, maxName)
	}
	return nil
}

func notInName(r rune) bool {
	return !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune(".-_:/", r))
}

// MaxAttempts is how often a job is begun, if its attempts fail, before it goes to
// the archive. Attempts that end with their worker or with Redis do not count. The
// default is 26.
func MaxAttempts(n int) Option {
	return func(s *settings) error {
		s.attempts = n
		return positive("MaxAttempts", n)
	}
}

// Timeout bounds one attempt, in whole seconds. The default is 30m.
func Timeout(d time.Duration) Option {
	return func(s *settings) error {
		s.timeout = d
		return atLeastSecond("Timeout", d)
	}
}

// Deadline bounds all attempts: none is running after it. The default is none.
func Deadline(t time.Time) Option {
	return func(s *settings) error {
		s.deadline = t
		return nil
	}
}

// Delay has a job wait before it is run, in whole seconds. The default is 0.
func Delay(d time.Duration) Option {
	return func(s *settings) error {
		s.delay, s.at = d, time.Time{}
		return nil
	}
}

// At has a job wait until a time. The default is now.
func At(t time.Time) Option {
	return func(s *settings) error {
		s.at, s.delay = t, 0
		return nil
	}
}

// Unique lets only one job of this type with this payload be in the queue, until it
// is done or d is over. A second is a Duplicate. The default is 0: any number.
func Unique(d time.Duration) Option {
	return func(s *settings) error {
		s.unique = d
		return atLeastSecond("Unique", d)
	}
}

// Retain keeps a job for inspection when it is done, and refuses another with its
// key or id meanwhile, in whole seconds. The default is 0; 10m for jobs with a key or
// an id, and 1m for Replicated ones. 0 lets one of those be run again if it is done
// before it is sent again.
func Retain(d time.Duration) Option {
	return func(s *settings) error {
		s.retain, s.retainSet = d, true
		if d < 0 {
			return fmt.Errorf("%w: Retain: %v is negative", ErrOption, d)
		}
		return nil
	}
}

// Key is the business key of one job, such as "invoice 4711": another of this type
// with the same key is a Duplicate as long as the first is there, which is until it
// is done and Retain is over. Redis sees its hash alone. The default is none.
func Key(key string) Option {
	return func(s *settings) error {
		s.key = key
		return nil
	}
}

// WithID gives a job the ID of a Receipt that came with ErrUnavailable, to try once
// more: if it is in, this is a Duplicate. If it was in, and is done and gone by now, it
// is run again, under another Meta.IdempotencyKey: a job for which that matters needs a
// Key, or Retain, from the start. One that is Unique needs no ID. The default is a
// random one.
func WithID(id string) Option {
	return func(s *settings) error {
		s.id = id
		return checkName("WithID", id)
	}
}

// MaxPayload bounds the encoded payload, in bytes. The default is 64 KiB.
func MaxPayload(n int) Option {
	return func(s *settings) error {
		s.maxPayload = n
		return positive("MaxPayload", n)
	}
}

// Replicated has Enqueue wait until a replica has the job too (WAIT 1), so that no
// failover loses it: Receipt.Confirmed says whether one has. If the primary falls
// silent meanwhile, the job is sent again to whoever has its place. It costs two round
// trips more, and a batch pays them once. The default is to believe the primary.
func Replicated() Option {
	return func(s *settings) error {
		s.replicated = true
		return nil
	}
}

func positive(setting string, n int) error {
	if n < 1 {
		return fmt.Errorf("%w: %s: %d is under 1", ErrOption, setting, n)
	}
	return nil
}

func atLeastSecond(setting string, d time.Duration) error {
	if d < time.Second {
		return fmt.Errorf("%w: %s: %v is under 1s", ErrOption, setting, d)
	}
	return nil
}
