package protocol

import (
	"maps"
	"slices"
	"time"
)

// A key is a register, or a set to which each write adds an element.
type key struct {
	name     string
	workload string
	slot     int
	shard    int
	set      bool
}

// A value is what a key holds. Sets are never changed in place.
type value struct {
	write int      // the last write of a register; 0 is none
	set   []uint64 // one bit an element
}

func (v value) equal(o value) bool { return v.write == o.write && slices.Equal(v.set, o.set) }

func (v value) has(element int) bool {
	i := element / 64
	return i < len(v.set) && v.set[i]&(1<<(element%64)) != 0
}

func (v value) with(element int) value {
	set := make([]uint64, max(len(v.set), element/64+1))
	copy(set, v.set)
	set[element/64] |= 1 << (element % 64)
	return value{set: set}
}

// A state is what a shard holds.
type state struct {
	vals map[int]value
	rec  Record
	roll map[string]Entry
	lock simHolder // the coordinator
}

func (s *state) clone() state {
	c := *s
	c.vals, c.roll = maps.Clone(s.vals), maps.Clone(s.roll)
	return c
}

// A shard is a master with its replicas. What is written goes into a log, and
// each replica has every entry a while later.
type shard struct {
	w        *world
	side     Side
	index    int
	master   *node
	st       state
	log      []func(*state)
	replicas []*replica
	lastFail time.Duration
	away     time.Duration // packets wait until then
	runs     int
}

type replica struct {
	st      state
	applied int
	has     []time.Duration // when it has each entry of the log
	stall   time.Duration   // it takes nothing until then
	told    int             // entries whose arrival somebody was told of already
	lag     time.Duration
}

// A node is one server process.
type node struct {
	sh    *shard
	runID string
	up    bool
	conns []*conn
	feeds []*feed
}

func newShard(w *world, side Side, index, replicas int, first Record) *shard {
	sh := &shard{w: w, side: side, index: index, lastFail: -1}
	sh.st = state{vals: map[int]value{}, roll: map[string]Entry{}, rec: first}
	for range replicas {
		sh.join(sh.st.clone())
	}
	sh.boot()
	return sh
}

func (sh *shard) boot() {
	sh.w.touched = everyKey
	sh.runs++
	sh.master = &node{sh: sh, up: true, runID: sh.side.String() + string(rune('0'+sh.index)) + "/" + string(rune('a'+sh.runs))}
}

// join adds a replica that has all there is.
func (sh *shard) join(st state) {
	r := &replica{st: st, lag: sh.w.spread(100*time.Microsecond, 20*time.Millisecond)}
	r.applied = len(sh.log)
	r.has = make([]time.Duration, len(sh.log))
	sh.replicas = append(sh.replicas, r)
}

// apply changes the master, and the replicas in time.
func (sh *shard) apply(f func(*state)) {
	f(&sh.st)
	sh.log = append(sh.log, f)
	for _, r := range sh.replicas {
		at := sh.w.t + r.lag
		if sh.w.t < r.stall {
			at = max(at, r.stall)
		}
		if n := len(r.has); n > 0 {
			at = max(at, r.has[n-1])
		}
		r.has = append(r.has, at)
	}
}

// safe returns when every replica that is online has the log up to here.
func (sh *shard) safe() time.Duration {
	at := sh.w.t
	for _, r := range sh.replicas {
		if n := len(r.has); n > 0 {
			at = max(at, r.has[n-1])
			r.told = n
		}
	}
	return at
}

// waitFor bounds a WAIT.
const waitFor = 200 * time.Millisecond

// confirm is a WAIT for every replica: when it answers, and whether all have it.
func (sh *shard) confirm() (at time.Duration, safe bool) {
	if at = sh.safe(); at <= sh.w.t+waitFor {
		return at, true
	}
	sh.w.stats.Short++
	return sh.w.t + waitFor, false
}

// hang keeps a replica, or all, from taking anything for a while. They stay
// online: a server needs a minute to notice.
func (sh *shard) hang(d time.Duration, all bool) {
	if len(sh.replicas) == 0 {
		return
	}
	sh.w.log("replicas of %v shard %d hang for %v, all %v", sh.side, sh.index, d, all)
	one := sh.w.rng.IntN(len(sh.replicas))
	for i, r := range sh.replicas {
		if all || i == one {
			r.hang(sh.w.t, d)
		}
	}
}

func (r *replica) hang(now, d time.Duration) {
	r.stall = now + d
	for i := len(r.has) - 1; i >= r.told && r.has[i] > now; i-- {
		r.has[i] = max(r.has[i], r.stall)
	}
}

// failOver kills the master. After down a replica takes over with what it has.
func (sh *shard) failOver(down time.Duration) {
	if !sh.master.up {
		return
	}
	w := sh.w
	w.stats.Failovers++
	sh.lastFail = w.t
	sh.master.die()
	if len(sh.replicas) > 0 {
		i := w.rng.IntN(len(sh.replicas))
		r := sh.replicas[i]
		for ; r.applied < len(sh.log) && r.has[r.applied] <= w.t; r.applied++ {
			sh.log[r.applied](&r.st)
		}
		w.log("%v shard %d fails over, %d of %d entries lost", sh.side, sh.index, len(sh.log)-r.applied, len(sh.log))
		sh.st = r.st
	} else {
		w.log("%v shard %d is restarted", sh.side, sh.index)
	}
	n := len(sh.replicas)
	sh.replicas, sh.log = nil, nil
	w.in(down, func() {
		sh.boot()
		w.log("%v shard %d is up as %s", sh.side, sh.index, sh.master.runID)
		for range n { // they copy everything, and are online then
			w.in(w.spread(50*time.Millisecond, 3*time.Second), func() {
				if len(sh.replicas) < n {
					sh.join(sh.st.clone())
				}
			})
		}
	})
}

func (n *node) die() {
	n.up = false
	for _, c := range n.conns {
		c.kill()
	}
	for _, f := range n.feeds {
		f.brk()
	}
	n.conns, n.feeds = nil, nil
}

// set writes a key, and tells the feeds.
func (n *node) set(k int, v value) {
	n.sh.apply(func(s *state) { s.vals[k] = v })
	n.sh.w.touched |= 1 << k
	for _, f := range n.feeds {
		f.name(k)
	}
}

// A feed tells a coordinator which keys have changed on a node, in order.
type feed struct {
	c    *simCoord
	n    *node
	lag  time.Duration
	last time.Duration
	ok   bool
}

func (f *feed) name(k int) {
	w := f.c.w
	if f.c.dead {
		return
	}
	f.last = max(f.last, w.t+f.lag+f.c.delay(f.n.sh))
	w.at(f.last, func() { f.c.do(func() { f.c.named(f, k) }) })
}

// mark sends a watermark: it is answered behind every name that came before.
func (f *feed) mark(done func()) {
	w := f.c.w
	w.in(f.c.delay(f.n.sh), func() {
		if !f.n.up || !f.ok {
			return
		}
		f.last = max(f.last, w.t+f.lag+f.c.delay(f.n.sh))
		w.at(f.last, func() { f.c.do(done) })
	})
}

func (f *feed) brk() {
	f.ok = false
	f.c.w.in(f.c.delay(f.n.sh), func() { f.c.do(func() { f.c.broken(f) }) })
}
