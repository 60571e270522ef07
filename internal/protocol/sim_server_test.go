package protocol

import (
	"errors"
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
	lock string // the coordinator
	beat int    // of the lock
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

// hang keeps a replica from taking anything for a while. It stays online: a
// server needs a minute to notice.
func (sh *shard) hang(d time.Duration) {
	if len(sh.replicas) == 0 {
		return
	}
	r := sh.replicas[sh.w.rng.IntN(len(sh.replicas))]
	r.stall = sh.w.t + d
	sh.w.log("a replica of %v shard %d hangs for %v", sh.side, sh.index, d)
	for i := len(r.has) - 1; i >= r.told && r.has[i] > sh.w.t; i-- {
		r.has[i] = max(r.has[i], r.stall)
	}
}

// failOver kills the master. After down a replica takes over with what it has.
func (sh *shard) failOver(down time.Duration) {
	if !sh.master.up {
		return
	}
	w := sh.w
	w.stats.failovers++
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
	for _, f := range n.feeds {
		f.name(k)
	}
}

var (
	errTimeout = errors.New("timed out")
	errReset   = errors.New("connection reset")
	errRefused = errors.New("refused")
)

// A conn is one connection. Packets keep their order on it, and on nothing else.
type conn struct {
	id     int
	p      *proc
	n      *node
	alive  bool // on the server
	closed bool // by the client
	out    time.Duration
	in     time.Duration
	busy   bool // a command is unanswered
	writes bool // and it is a write
	killed time.Duration
	lost   func(error)
}

// delay is how long a packet takes now between a process and a shard.
func (p *proc) delay(sh *shard) time.Duration {
	w := p.w
	d := w.between(50*time.Microsecond, w.plan.rtt)
	if w.chance(w.plan.spikes) {
		d = w.spread(time.Millisecond, 200*time.Millisecond)
	}
	if l := p.slow[sh.side][sh.index]; w.t < l.until {
		d += l.by
	}
	if w.t < sh.away {
		d += sh.away - w.t
	}
	return d
}

// dial opens a connection to the master of a shard. It is listed by the server
// before the client knows of it.
func (p *proc) dial(sh *shard, f func(*conn, error)) {
	w := p.w
	n := sh.master
	w.conns++
	c := &conn{p: p, n: n}
	done := false
	w.in(p.delay(sh), func() {
		if !n.up {
			return
		}
		w.conns++
		c.id, c.alive = w.conns, true
		n.conns = append(n.conns, c)
		w.in(p.delay(sh), func() {
			p.do(func() {
				if done {
					c.closed = true
					return
				}
				done = true
				f(c, nil)
			})
		})
	})
	p.after(2*time.Second, func() {
		if !done {
			done = true
			f(nil, errTimeout)
		}
	})
}

// call sends a command. exec runs on the server when it arrives; wait says that
// the reply waits for the replicas, whose answer is the reply's second part.
// What was sent can arrive even if the client has given up, unless the
// connection is killed.
func (c *conn) call(write, wait bool, timeout time.Duration, exec func() any, reply func(any, bool, error)) {
	w, p := c.p.w, c.p
	if c.closed {
		reply(nil, false, errReset)
		return
	}
	c.busy, c.writes = true, write
	done := false
	finish := func(v any, safe bool, err error) {
		if done {
			return
		}
		done = true
		c.lost = nil
		if err == nil {
			c.busy = false
		} else {
			c.closed = true
		}
		reply(v, safe, err)
	}
	c.lost = func(err error) { p.do(func() { finish(nil, false, err) }) }
	c.out = max(c.out, w.t+p.delay(c.n.sh))
	if write && w.t < w.plan.until && !w.healed && w.chance(w.plan.swallow) { // the bytes are on their way for long
		c.out += w.spread(time.Second, 20*time.Second)
	}
	w.at(c.out, func() {
		if !c.alive {
			if c.lost != nil {
				w.in(p.delay(c.n.sh), func() { p.do(func() { finish(nil, false, errReset) }) })
			}
			return
		}
		v := exec()
		at, safe := w.t, false
		if wait {
			const bound = 200 * time.Millisecond
			at, safe = c.n.sh.safe(), true
			if at > w.t+bound {
				at, safe = w.t+bound, false
			}
		}
		c.in = max(c.in, at+p.delay(c.n.sh))
		w.at(c.in, func() {
			if !c.alive && c.killed < at {
				return // it was killed while it waited for the replicas
			}
			p.do(func() { finish(v, safe, nil) })
		})
	})
	p.after(timeout, func() { finish(nil, false, errTimeout) })
}

// kill ends a connection on the server: nothing that it sent is carried out from
// now on. Its client hears of it.
func (c *conn) kill() {
	if !c.alive {
		return
	}
	c.alive, c.killed = false, c.p.w.t
	if f := c.lost; f != nil {
		c.p.w.in(c.p.delay(c.n.sh), func() { f(errReset) })
	}
}

// close gives the connection up on the client's side.
func (c *conn) close() {
	if c.closed {
		return
	}
	c.closed = true
	if f := c.lost; f != nil {
		f(errReset)
	}
}

// orphan reports whether a write that was sent may still be carried out.
func (c *conn) orphan() bool { return c.busy && c.writes }

// fence kills what a process has on a node, up to the newest connection.
func (n *node) fence(name string) {
	for _, c := range n.conns {
		if c.p.name == name {
			c.kill()
		}
	}
	n.conns = slices.DeleteFunc(n.conns, func(c *conn) bool { return !c.alive })
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
