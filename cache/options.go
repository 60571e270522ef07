package cache

import (
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"
)

// Options are of a Store. Zero fields mean the default.
type Options struct {
	// Memory bounds what this process holds of the cache, in bytes. The default is
	// 64 MiB; negative means that it holds nothing, and has nothing when Redis is away.
	Memory int
	// MemoryAge is how long a value is answered from memory where no server tells of
	// changes: with a client that reads from replicas, a migrating client, or a server
	// without CLIENT TRACKING. The default is 1s.
	MemoryAge time.Duration
	// Guard bounds what is asked of the database. Stores and caches in front of one
	// database share one. The default is a Guard of the Store's own, with the defaults
	// of Limit.
	Guard *Guard
	// Budget is how long Redis may take over one call. It must be longer than the hold
	// of a migration. The default is 250ms.
	Budget time.Duration
	// Logger takes what a human should look at (Warn) and what happens (Info). It never
	// gets an id or a value. The default discards.
	Logger *slog.Logger
}

func (o Options) withDefaults() (_ Options, err error) {
	setDefault(&o.Memory, 64<<20)
	setDefault(&o.MemoryAge, time.Second)
	setDefault(&o.Budget, 250*time.Millisecond)
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Guard == nil {
		o.Guard, err = NewGuard(Limit{})
	}
	return o, errors.Join(err,
		bad(o.MemoryAge < 0 || o.MemoryAge > time.Minute, "MemoryAge: %v is not between 0 and 1m", o.MemoryAge),
		bad(o.Budget < time.Millisecond, "Budget: %v is under 1ms", o.Budget))
}

// A Config says how the values of one Cache live. Zero fields mean the default.
type Config[T any] struct {
	// TTL is how long a value lives at most, on Redis's clock. At least 1s; the default
	// is 5m.
	TTL time.Duration
	// Soft is the age at which a value is loaded anew by one instance, while all go on
	// answering with it. Each value's own is up to a quarter less, so that what was
	// filled together is not loaded together. The default is four fifths of TTL.
	Soft time.Duration
	// Negative is how long it is remembered that there is no such thing. The default is
	// 30s, or TTL if that is less; negative means not at all.
	Negative time.Duration
	// MaxStale is how long after TTL a value in memory may be answered when there is no
	// better one: while Redis is away, or when the loader fails. The default is TTL;
	// negative means not at all.
	MaxStale time.Duration
	// MaxSize bounds an encoded value, in bytes. What is larger is answered, but not
	// kept, and counted. The default is 256 KiB.
	MaxSize int
	// LoadWithin bounds one call of the loader. The default is 5s.
	LoadWithin time.Duration
	// Version of T. Change it when T changes so that old values cannot be read as new
	// ones: they are misses then. The default is 0.
	Version uint8
	// Codec turns values into bytes. The default is JSON.
	Codec Codec[T]
}

// longest bounds the times of a Config.
const longest = 30 * 24 * time.Hour

func (c Config[T]) withDefaults() (Config[T], error) {
	setDefault(&c.TTL, 5*time.Minute)
	setDefault(&c.Soft, c.TTL/5*4)
	setDefault(&c.Negative, min(30*time.Second, c.TTL))
	setDefault(&c.MaxStale, c.TTL)
	setDefault(&c.MaxSize, 256<<10)
	setDefault(&c.LoadWithin, 5*time.Second)
	if c.Codec == nil {
		c.Codec = JSON[T]{}
	}
	return c, errors.Join(
		bad(c.TTL < time.Second || c.TTL > longest, "TTL: %v is not between 1s and %v", c.TTL, longest),
		bad(c.Soft < 0 || c.Soft > c.TTL, "Soft: %v is not between 0 and TTL, %v", c.Soft, c.TTL),
		bad(c.Negative > c.TTL, "Negative: %v is over TTL, %v", c.Negative, c.TTL),
		bad(c.MaxStale > longest, "MaxStale: %v is over %v", c.MaxStale, longest),
		bad(c.MaxSize < 1 || c.MaxSize > 64<<20, "MaxSize: %d bytes is not between 1 and 64 MiB", c.MaxSize),
		bad(c.LoadWithin < time.Millisecond || c.LoadWithin > time.Minute, "LoadWithin: %v is not between 1ms and 1m", c.LoadWithin))
}

func bad(when bool, format string, args ...any) error {
	if !when {
		return nil
	}
	return fmt.Errorf("%w: "+format, append([]any{ErrOption}, args...)...)
}

func setDefault[T comparable](v *T, to T) {
	var zero T
	if *v == zero {
		*v = to
	}
}

// checkName refuses names that would make keys of others.
func checkName(name string) error {
	const most = 32
	odd := func(r rune) bool {
		return !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '-' || r == '_')
	}
	return bad(name == "" || len(name) > most || strings.ContainsFunc(name, odd),
		"name: %q is not made of 1 to %d letters, digits, - and _", name, most)
}

// checkID refuses what makes no key, or one in another slot. It does not say what it
// was given: that may be personal.
func checkID(what, id string) error {
	const most = 512
	switch {
	case id == "":
		return fmt.Errorf("%w: %s is empty", ErrID, what)
	case len(id) > most:
		return fmt.Errorf("%w: %s has %d bytes: give at most %d, or a hash", ErrID, what, len(id), most)
	case strings.ContainsAny(id, "{}"):
		return fmt.Errorf("%w: %s holds a brace", ErrID, what)
	}
	return nil
}
