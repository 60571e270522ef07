package protocol

import "time"

// LeaseFor is how long a lease lasts. It is longer than a failover (a shard
// of a cluster needs up to 9 s), so that one lost control shard does not stop
// the others; a silent member is waited out before a hold, so a long lease
// costs no hold.
const LeaseFor = 15 * time.Second

// SilentFor is how long a member must have been seen to say nothing, on the
// observer's own clock, before its lease is taken to have ended: a lease and a
// tenth, for clocks that run apart.
const SilentFor = LeaseFor + LeaseFor/10

// stepBack is how far the wall clock may step back before a lease ends. It is
// well below SilentFor-LeaseFor, so what it hides cannot matter.
const stepBack = 500 * time.Millisecond

// An Instant is one moment on the two clocks of a process. The monotonic one
// stands still while a machine is suspended; the wall clock can be set.
type Instant struct {
	Mono, Wall time.Duration
}

// Add returns the instant d later on both clocks.
func (i Instant) Add(d time.Duration) Instant { return Instant{i.Mono + d, i.Wall + d} }

// Since returns how much later i is than o, by the monotonic clock.
func (i Instant) Since(o Instant) time.Duration { return i.Mono - o.Mono }

// A Lease lets a member use one side. It counts from before its refresh was
// sent, and belongs to the server that gave it.
type Lease struct {
	Sent  Instant
	RunID string
}

// Valid reports whether neither clock has reached the lease's end, and the
// wall clock has not been set back behind its beginning.
func (l Lease) Valid(now Instant) bool {
	return l.RunID != "" &&
		now.Mono < l.Sent.Mono+LeaseFor &&
		now.Wall < l.Sent.Wall+LeaseFor &&
		now.Wall > l.Sent.Wall-stepBack
}

// Left returns how long the lease will stay valid if both clocks run on.
func (l Lease) Left(now Instant) time.Duration {
	if !l.Valid(now) {
		return 0
	}
	return min(l.Sent.Mono-now.Mono, l.Sent.Wall-now.Wall) + LeaseFor
}
