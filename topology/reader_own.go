package topology

import (
	"hash/maphash"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/transload/transload/internal/command"
)

// ownSlots is how many stamps there are for the keys that this process writes:
// half a megabyte. Keys share stamps, which errs towards the primary: at 2,000
// writes a second one read in sixteen goes there in vain.
const ownSlots = 1 << 15

// ownWrites remembers when this process wrote which keys, so that it reads what
// it wrote. It is bounded, and has no lock.
type ownWrites struct {
	keep  int64 // nanoseconds
	now   func() int64
	seed  maphash.Seed
	every stamp // for writes of which the keys are not known
	slots []stamp
}

// A stamp belongs to all keys of one hash.
type stamp struct {
	flying atomic.Int64 // writes that are under way
	last   atomic.Int64 // when the latest reply came
}

func newOwnWrites(keep time.Duration, now func() int64) *ownWrites {
	return &ownWrites{keep: int64(keep), now: now, seed: maphash.MakeSeed(), slots: make([]stamp, ownSlots)}
}

func (o *ownWrites) of(key string) *stamp {
	return &o.slots[maphash.String(o.seed, key)%ownSlots]
}

// begin counts a write of keys, of all if there are none.
func (o *ownWrites) begin(keys []string) {
	if len(keys) == 0 {
		o.every.flying.Add(1)
	}
	for _, key := range keys {
		o.of(key).flying.Add(1)
	}
}

// end notes the moment of its end, whatever that was: a write that timed out may
// be carried out. The moment is noted before the count falls, so that a reader who
// sees no write under way sees when it ended.
func (o *ownWrites) end(keys []string) {
	now := o.now()
	if len(keys) == 0 {
		o.every.end(now)
	}
	for _, key := range keys {
		o.of(key).end(now)
	}
}

func (s *stamp) end(now int64) {
	for old := s.last.Load(); old < now && !s.last.CompareAndSwap(old, now); old = s.last.Load() {
	}
	s.flying.Add(-1)
}

// wrote tells when one of keys was written last, 0 for never, and whether they
// are to be read from the primary for the time being.
func (o *ownWrites) wrote(keys []string) (at int64, primary bool) {
	flying, at := o.every.flying.Load(), o.every.last.Load()
	for _, key := range keys {
		s := o.of(key)
		flying += s.flying.Load()
		at = max(at, s.last.Load())
	}
	return at, flying > 0 || at > 0 && o.now()-at < o.keep
}

// writes appends the keys that commands may change; all is true if they are not
// known: a command that the table does not have, a script without keys, FLUSHALL.
func writes(dst []string, cmds ...redis.Cmder) (keys []string, all bool) {
	for _, cmd := range cmds {
		args := cmd.Args()
		k, ok := command.Lookup(args)
		if !ok {
			return nil, true
		}
		if !k.Write(args) {
			continue
		}
		before := len(dst)
		var err error
		if dst, err = k.AppendWritten(dst, args); err == nil && len(dst) == before {
			return nil, true
		}
	}
	return dst, false
}

// during runs a write of cmds. Without any write among them it only runs f.
func (o *ownWrites) during(f func() error, cmds ...redis.Cmder) error {
	if o == nil {
		return f()
	}
	var buf [4]string
	keys, all := writes(buf[:0], cmds...)
	if len(keys) > 0 || all {
		o.begin(keys)
		defer o.end(keys)
	}
	return f()
}
