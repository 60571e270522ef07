package keysync

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/redis/go-redis/v9"
)

// A Side is one of the two Redis deployments between which keys are copied.
// It is safe for concurrent use. It does not own its client.
type Side struct {
	client redis.UniversalClient
	single bool // a script may name keys of one slot only

	mu     sync.Mutex
	probed bool
	caps   Capabilities
}

// NewSide returns a Side over a standalone server or a Sentinel set, where one
// script may read keys of any slot.
func NewSide(client redis.UniversalClient) *Side { return &Side{client: client} }

// NewClusterSide returns a Side over a cluster, where it may not.
func NewClusterSide(client redis.UniversalClient) *Side {
	return &Side{client: client, single: true}
}

// Capabilities are what a side was found able to do.
type Capabilities struct {
	// Dump says that DUMP gives a payload for a key of any type, and that MEMORY
	// USAGE tells beforehand how large it is about to be.
	Dump bool
	// Restore says that RESTORE takes such a payload, with an absolute expiry.
	// Where one side has no Dump or the other no Restore, values are read and
	// written by type.
	Restore bool
	// ExpireTime says that PEXPIRETIME is there (Redis 7.0). Without it an
	// expiry is worked out from PTTL and TIME, and may be off by 1 ms.
	ExpireTime bool
	// ReadOnlyScripts says that EVAL_RO is there (Redis 7.0): only then are
	// keys readable while the server is under CLIENT PAUSE WRITE.
	ReadOnlyScripts bool
}

// Capabilities returns what the side can do. It is tried once, on a key of our
// own that is never left behind, and remembered. A server that is out of memory,
// loads its data or is a replica at the moment has not told what it can do: that
// is an error, and is not remembered.
func (s *Side) Capabilities(ctx context.Context) (Capabilities, error) {
	s.mu.Lock()
	caps, probed := s.caps, s.probed
	s.mu.Unlock()
	if probed {
		return caps, nil
	}
	caps, err := probe(ctx, s.client) // two callers at once try it twice: harmless
	if err != nil {
		return Capabilities{}, fmt.Errorf("keysync: try what the server can do: %w", err)
	}
	s.mu.Lock()
	s.caps, s.probed = caps, true
	s.mu.Unlock()
	return caps, nil
}

const probeKey = tempPrefix + "{probe}"

// probePayload is DUMP of the string "x" in RDB version 6, which every server
// since 2.6 takes.
const probePayload = "\x00\x01x\x06\x00" + "\xb4\x6d\xee\xdf\x48\xbd\x74\x43"

// probe tries each capability. RESTORE must take a sound payload and refuse a
// broken one: servers made for tests take anything as a string. Both carry an
// expiry in the past, with which a server that takes them stores nothing.
func probe(ctx context.Context, client redis.UniversalClient) (caps Capabilities, err error) {
	pipe := client.Pipeline()
	sound := pipe.Do(ctx, "restore", probeKey, 1, probePayload, "replace", "absttl")
	broken := pipe.Do(ctx, "restore", probeKey, 1, "not a payload", "replace", "absttl")
	pipe.Del(ctx, probeKey)
	expire := pipe.Do(ctx, "pexpiretime", probeKey)
	script := pipe.Do(ctx, "eval_ro", "return redis.call('xinfo', 'help')[1]", 1, probeKey)
	memory := pipe.Do(ctx, "memory", "usage", probeKey)
	_, _ = pipe.Exec(ctx) // each reply is looked at below
	for _, cmd := range []*redis.Cmd{sound, broken, expire, script, memory} {
		if cmd.Err() != nil && (!isReply(cmd.Err()) || OfState(cmd.Err())) {
			return caps, cmd.Err()
		}
	}
	caps.Dump = broken.Err() != nil && (memory.Err() == nil || errors.Is(memory.Err(), redis.Nil))
	caps.Restore = sound.Err() == nil && broken.Err() != nil
	caps.ExpireTime = expire.Err() == nil
	caps.ReadOnlyScripts = script.Err() == nil
	return caps, nil
}

// isReply reports whether the server answered with an error, as against not
// having answered.
func isReply(err error) bool {
	_, ok := errors.AsType[redis.Error](err)
	return ok
}

// states begin the replies of a server that refuses for what it is at the moment,
// not for what it was asked.
var states = []string{
	"OOM", "LOADING", "BUSY", "MISCONF", "READONLY", "MASTERDOWN", "CLUSTERDOWN", "TRYAGAIN", "NOREPLICAS", "MOVED", "ASK",
}

// OfState reports whether a server refused for the state that it is in, which may
// pass: such an answer says nothing of what it can do, or allows.
func OfState(err error) bool {
	return slices.ContainsFunc(states, func(word string) bool { return redis.HasErrorPrefix(err, word+" ") })
}
