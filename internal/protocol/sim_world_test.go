package protocol

import (
	"fmt"
	"math"
	"math/bits"
	"math/rand/v2"
	"time"
)

// The simulation runs the pure code of this package against servers, links and
// processes that are made up: one queue of events, no goroutine, and every
// choice drawn from the seed, so that a seed repeats.

const never = time.Duration(math.MaxInt64)

// A world is one run.
type world struct {
	seed   uint64
	rng    *rand.Rand
	t      time.Duration // the true time, which nobody in the world can read
	q      []event
	seq    uint64
	nonces int

	plan    plan
	keys    []key
	shards  [3][2]*shard // by side; the first of each holds the control record
	members []*simMember
	coords  []*simCoord
	oracle  oracle
	hot     time.Duration // until when the app works hard
	healed  bool
	step    *lastStep // once all has settled
	aim     Side      // whose record was changed last

	drawer *call // an offer that is on its way for long

	cutsBefore map[string]map[string]int // by move
	committed  map[string]bool           // by move
	grants     map[string]bool           // by move
	touched    uint16                    // keys of which the invariants may say something new

	failure string
	tracing bool
	trace   []string
	stats   stats
}

// stats tell what a run has come to, so that a simulation that tests nothing is
// noticed.
type stats struct {
	Acked, Reads, Unknown, Repairs             int // of the app, and of the coordinators
	Committed, Rollbacks, Aborted, Resumed     int // moves
	Fences, PutBacks, Wishes, Short            int // of the protocol; short is what WAIT did not confirm
	Frozen, Failovers, Boots, Lost, LateOffers int // faults
	Steps, Finished                            int // last steps, and those that ended the migration
	Events                                     int
}

type event struct {
	at  time.Duration
	seq uint64
	f   func()
}

func (w *world) before(i, j int) bool {
	if w.q[i].at != w.q[j].at {
		return w.q[i].at < w.q[j].at
	}
	return w.q[i].seq < w.q[j].seq
}

// at has f run at a time.
func (w *world) at(t time.Duration, f func()) {
	w.seq++
	w.q = append(w.q, event{max(t, w.t), w.seq, f})
	for i := len(w.q) - 1; i > 0; {
		up := (i - 1) / 2
		if !w.before(i, up) {
			break
		}
		w.q[i], w.q[up] = w.q[up], w.q[i]
		i = up
	}
}

func (w *world) in(d time.Duration, f func()) { w.at(w.t+d, f) }

// next runs the next event, and looks at what it has changed.
func (w *world) next() {
	ev := w.q[0]
	n := len(w.q) - 1
	w.q[0] = w.q[n]
	w.q[n] = event{}
	w.q = w.q[:n]
	for i := 0; ; {
		c := 2*i + 1
		if c >= n {
			break
		}
		if c+1 < n && w.before(c+1, c) {
			c++
		}
		if !w.before(c, i) {
			break
		}
		w.q[i], w.q[c] = w.q[c], w.q[i]
		i = c
	}
	w.t = ev.at
	w.stats.Events++
	ev.f()
	if w.touched != 0 {
		w.invariants()
	}
}

// run goes on until a time, or until done says so, or something is wrong.
func (w *world) run(until time.Duration, done func() bool) {
	look := w.t
	for w.failure == "" && len(w.q) > 0 && w.q[0].at <= until {
		if w.t >= look {
			if done() {
				return
			}
			look = w.t + 50*time.Millisecond
		}
		w.next()
	}
	if w.failure == "" {
		w.t = until
	}
}

func (w *world) fail(format string, args ...any) {
	if w.failure == "" {
		w.failure = fmt.Sprintf("at %v: ", w.t) + fmt.Sprintf(format, args...)
	}
}

func (w *world) log(format string, args ...any) {
	if w.tracing {
		w.trace = append(w.trace, fmt.Sprintf("%12v ", w.t)+fmt.Sprintf(format, args...))
	}
}

// between draws a duration from [lo, hi).
func (w *world) between(lo, hi time.Duration) time.Duration {
	return lo + time.Duration(w.rng.Int64N(int64(hi-lo)))
}

// spread draws a duration from [lo, hi), each doubling being as likely. It counts
// in integers, so that a seed is the same on every machine.
func (w *world) spread(lo, hi time.Duration) time.Duration {
	octaves := bits.Len64(uint64((hi - 1) / lo))
	from := lo << w.rng.IntN(octaves)
	return w.between(from, min(2*from, hi))
}

func (w *world) chance(p float64) bool { return w.rng.Float64() < p }

// share draws a part of one, up to percent in a hundred; small ones are likelier.
func (w *world) share(percent float64) float64 {
	return w.rng.Float64() * w.rng.Float64() * (percent / 100)
}

func (w *world) nonce() string {
	w.nonces++
	return fmt.Sprintf("n%d", w.nonces)
}

// A proc is a process: it can be frozen, suspended with its machine, or killed,
// and has clocks of its own.
type proc struct {
	w       *world
	name    string
	dead    bool
	thaw    time.Duration // frozen until then
	rate    int64         // of its clocks, in millionths
	asleep  time.Duration // that its monotonic clock has not counted
	offset  time.Duration // of its wall clock
	stop    time.Duration // to be frozen for this long at a gap
	stopAt  spot
	suspend bool
	slow    [3][2]lateness // of packets to and from a shard
	replies [3]lateness    // of what a control shard answers
}

// A lateness is what packets take longer that are sent before a time.
type lateness struct{ by, until time.Duration }

func newProc(w *world, name string) proc {
	return proc{w: w, name: name, rate: 980_000 + int64(w.rng.IntN(40_000)), offset: w.between(0, time.Hour)}
}

func (p *proc) now() Instant {
	scale := func(d time.Duration) time.Duration { return time.Duration(int64(d) / 1000 * p.rate / 1000) }
	return Instant{Mono: time.Hour + scale(p.w.t-p.asleep), Wall: 1000*time.Hour + scale(p.w.t) + p.offset}
}

// do runs f in the process: at once, or when it is no longer frozen. Then what
// has piled up runs in any order, as goroutines do.
func (p *proc) do(f func()) {
	switch {
	case p.dead:
	case p.w.t < p.thaw:
		p.w.at(p.thaw+p.w.spread(100*time.Microsecond, 10*time.Millisecond), func() { p.do(f) })
	default:
		f()
	}
}

func (p *proc) after(d time.Duration, f func()) { p.w.in(d, func() { p.do(f) }) }

// A spot is where a goroutine may lose the processor, or the process may stop:
// what goes wrong is mostly between a check and what was checked.
type spot uint8

const (
	anywhere  spot = iota
	atCheck        // counted, and not checked
	atSend         // a write that is checked, and not sent
	atReply        // answered, and not believed
	atCopy         // what is to be copied is not read
	atPaste        // read, and not checked again
	atPasting      // checked, and not sent
	atAsk          // a refresh is under way
	memberSpots
	atCompare // a name was taken, and is not read
	atRepair  // compared, and not repaired
	atWrite   // a record is about to be written
	coordSpots
)

func (p *proc) gap(at spot, f func()) {
	if p.stop > 0 && at == p.stopAt {
		p.freeze(p.stop, p.suspend)
		p.stop = 0
	}
	switch x := p.w.rng.Float64(); {
	case p.w.t < p.thaw && at == atSend && p.w.plan.eager:
		p.w.at(p.thaw, func() { p.do(f) })
	case p.w.t < p.thaw:
		p.do(f)
	case p.w.t < p.thaw+50*time.Millisecond: // much to catch up with
		p.after(p.w.spread(10*time.Microsecond, 20*time.Millisecond), f)
	case x < 0.6:
		f()
	case x < 0.98:
		p.after(p.w.spread(10*time.Microsecond, 5*time.Millisecond), f)
	default:
		p.after(p.w.spread(time.Millisecond, 300*time.Millisecond), f)
	}
}

// freeze stops the process for a while. A machine that is suspended takes the
// monotonic clock with it.
func (p *proc) freeze(d time.Duration, suspend bool) {
	if p.dead || p.w.t < p.thaw {
		return
	}
	p.w.stats.Frozen++
	p.w.log("%s frozen for %v at spot %d, suspended %v", p.name, d, p.stopAt, suspend)
	p.thaw = p.w.t + d
	p.w.at(p.thaw, func() {
		if suspend {
			p.asleep += d
		}
		p.w.touched = everyKey
	})
}
