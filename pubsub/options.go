package pubsub

import (
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
)

// A Delivery says what of a topic is kept, and so what a subscriber gets that was
// away for a moment.
type Delivery uint8

const (
	// Latest keeps the last value of each key: positions of vehicles. Who subscribes
	// gets all of them, who is slow gets the newest of each, and after a gap everybody
	// gets what has changed.
	Latest Delivery = iota + 1
	// Recoverable keeps the last messages: a chat, events of a load. Who was away goes
	// on where he was, or is told of the gap.
	Recoverable
	// Volatile keeps nothing. Who missed something is told that he did.
	Volatile
)

// kinds are what scripts call deliveries.
var kinds = [...]string{Latest: "l", Recoverable: "r", Volatile: "v"}

// String returns the name.
func (d Delivery) String() string {
	return [...]string{"none", "latest", "recoverable", "volatile", "invalid"}[min(d, Volatile+1)]
}

// A Slow says what becomes of a subscriber who is behind by more than is kept.
type Slow uint8

const (
	// SlowSkip has him go on with what is kept, once he has been told of the gap. For
	// Latest there is none: he gets the newest value of each key.
	SlowSkip Slow = iota
	// SlowClose ends his subscription with ErrSlow, or closes his socket with
	// CloseSlow.
	SlowClose
)

// A Topic is the policy of all topics whose names begin with a prefix. Zero fields
// mean the default. It must be the same in every process.
type Topic struct {
	// Prefix of the names; the longest one that fits counts. "" fits all.
	Prefix string
	// Delivery is required.
	Delivery Delivery
	// Keep is how long values are kept after they were published last, on the server's
	// clock. For Latest it counts for each key. The default is 1h.
	Keep time.Duration
	// History is how many messages of a topic are kept: on the server for Recoverable,
	// in the Hub for the slow ones too. The default is 256.
	History int
	// Bytes bounds these, with the rest of each message: some 60 bytes. It is the one
	// queue that all subscribers of a topic in a process share. The default is 1 MiB.
	Bytes int
	// Keys bounds the keys of a topic of last values. The default is 10,000.
	Keys int
	// Slow is what becomes of who falls behind. The default is SlowSkip.
	Slow Slow
	// Confirm is how long a publish waits for a replica to have the message, beyond
	// Options.Wait. The default is not at all.
	Confirm time.Duration
}

// Options say how a Hub works. Zero fields mean the default.
type Options struct {
	// Name of the Hub, part of its keys and channels: hubs of another name on the same
	// Redis are apart. Letters, digits, - and _. The default is "hub".
	Name string
	// Partitions is over how many channels the topics are spread, and so over how many
	// servers of a Cluster at most. The same in every process; another number is
	// another set of topics. The default is 16.
	Partitions int
	// Silence is how long nothing may be heard before a subscription counts as dead and
	// is made anew, and what it brought as old. The default is 2s.
	Silence time.Duration
	// Budget is how long Redis may take over one call. It must be longer than the hold
	// of a migration. The default is 1s.
	Budget time.Duration
	// Wait is how long Publish tries, if its context lets it: longer than a failover.
	// The default is 10s.
	Wait time.Duration
	// MaxValue bounds a value, in bytes of JSON. The default is 16 KiB.
	MaxValue int
	// Also is a second Redis, while an app that has no migrating client moves from one
	// to the other: see Hub.Move. The default is none.
	Also redis.UniversalClient
	// Logger takes what a human should look at (Warn), and what was mended (Info). It
	// never gets a value. The default discards.
	Logger *slog.Logger
}

func (o Options) withDefaults() (Options, error) {
	setDefault(&o.Name, "hub")
	setDefault(&o.Partitions, 16)
	setDefault(&o.Silence, 2*time.Second)
	setDefault(&o.Budget, time.Second)
	setDefault(&o.Wait, 10*time.Second)
	setDefault(&o.MaxValue, 16<<10)
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return o, o.validate()
}

func setDefault[T comparable](v *T, to T) {
	var zero T
	if *v == zero {
		*v = to
	}
}

// faults gathers what is wrong with settings.
type faults struct{ err error }

func (f *faults) bad(when bool, format string, args ...any) {
	if when {
		f.err = errors.Join(f.err, fmt.Errorf("%w: "+format, append([]any{ErrOption}, args...)...))
	}
}

// validate reports every fault at once.
func (o Options) validate() error {
	var f faults
	f.bad(strings.ContainsFunc(o.Name, notInName) || len(o.Name) > 32, "Name: %q is not made of up to 32 letters, digits, - and _", o.Name)
	f.bad(o.Partitions < 1 || o.Partitions > 1024, "Partitions: %d is not between 1 and 1024", o.Partitions)
	f.bad(o.Silence < 100*time.Millisecond, "Silence: %v is under 100ms", o.Silence)
	f.bad(o.Budget < time.Millisecond, "Budget: %v is under 1ms", o.Budget)
	f.bad(o.Wait < o.Budget, "Wait: %v is under Budget, %v", o.Wait, o.Budget)
	f.bad(o.MaxValue < 2, "MaxValue: %d bytes hold no JSON", o.MaxValue)
	return f.err
}

func notInName(r rune) bool {
	return !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '-' || r == '_')
}

func (t Topic) withDefaults() Topic {
	setDefault(&t.Keep, time.Hour)
	setDefault(&t.History, 256)
	setDefault(&t.Bytes, 1<<20)
	setDefault(&t.Keys, 10_000)
	return t
}

// validateTopics reports every fault of the policies at once.
func validateTopics(topics []Topic) error {
	var f faults
	f.bad(len(topics) == 0, "topics: none: a Hub without them publishes nothing")
	seen := map[string]bool{}
	for _, t := range topics {
		name := fmt.Sprintf("topic %q", t.Prefix)
		f.bad(seen[t.Prefix], "%s: Prefix: given twice", name)
		f.bad(strings.HasPrefix(t.Prefix, reserved), "%s: Prefix: %s is the Hub's own", name, reserved)
		f.bad(t.Delivery < Latest || t.Delivery > Volatile, "%s: Delivery: Latest, Recoverable or Volatile is required", name)
		f.bad(t.Keep < time.Second, "%s: Keep: %v is under 1s", name, t.Keep)
		f.bad(t.History < 1 || t.History > 100_000, "%s: History: %d is not between 1 and 100,000", name, t.History)
		f.bad(t.Bytes < 1024, "%s: Bytes: %d is under 1 KiB", name, t.Bytes)
		f.bad(t.Keys < 1, "%s: Keys: %d is under 1", name, t.Keys)
		f.bad(t.Slow > SlowClose, "%s: Slow: neither SlowSkip nor SlowClose", name)
		f.bad(t.Confirm < 0, "%s: Confirm: %v is negative", name, t.Confirm)
		seen[t.Prefix] = true
	}
	return f.err
}
