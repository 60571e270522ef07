package protocol

import (
	"errors"
	"slices"
	"time"
)

var (
	errTimeout = errors.New("timed out")
	errReset   = errors.New("connection reset")
	errRefused = errors.New("refused")
)

// A conn is one connection. Packets keep their order on it, and on nothing else.
type conn struct {
	p      *proc
	n      *node
	alive  bool // on the server
	closed bool // by the client
	out    time.Duration
	in     time.Duration
	busy   bool // a command is unanswered
	writes bool // and it is a write
	killed time.Duration
	fate   fate  // of what is sent next
	asked  *call // what is unanswered
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

// dialTimeout is how long a client waits for a connection.
const dialTimeout = 2 * time.Second

// dial opens a connection to the master of a shard. It is listed by the server
// before the client knows of it. That the client gives up is planned only where no
// answer will be there before.
func (p *proc) dial(sh *shard, f func(*conn, error)) {
	w, n := p.w, sh.master
	c := &conn{p: p, n: n}
	done, until := false, w.t+dialTimeout
	ready := func(err error) {
		switch {
		case !done && err == nil:
			done = true
			f(c, nil)
		case !done:
			done = true
			f(nil, err)
		case err == nil: // nobody waits for it any more
			c.closed = true
		}
	}
	expires := func() { w.at(until, func() { p.do(func() { ready(errTimeout) }) }) }
	there := w.t + p.delay(sh)
	if there >= until {
		expires()
	}
	w.at(there, func() {
		back := w.t + p.delay(sh)
		if there < until && (!n.up || back >= until) {
			expires()
		}
		if !n.up {
			return
		}
		c.alive = true
		n.conns = append(n.conns, c)
		w.at(back, func() { p.do(func() { ready(nil) }) })
	})
}

// A call is one command on a connection, and its answer.
type call struct {
	c     *conn
	wait  bool
	exec  func() any
	reply func(v any, safe bool, err error)
	fate  fate
	until time.Duration // when the client gives up
	done  bool
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
	x := &call{c: c, wait: wait, exec: exec, reply: reply, until: w.t + timeout}
	c.busy, c.writes, c.asked = true, write, x
	c.out = max(c.out, w.t+p.delay(c.n.sh))
	if write && !w.healed && w.chance(w.plan.swallow) { // the bytes are on their way for long
		c.out += w.spread(time.Second, 20*time.Second)
	}
	if x.fate, c.fate = c.fate, safely; x.fate == stuck {
		w.drawer = x
	} else {
		w.at(c.out, x.arrive)
	}
	if x.fate == stuck || c.out >= x.until {
		x.expires()
	}
}

// expires has the client give up in time. That is planned only for a command whose
// answer will not be there before: the others are many.
func (x *call) expires() { x.c.p.w.at(x.until, func() { x.c.p.do(x.expire) }) }

// arrive runs the command on the server, if nothing on the way there or back is
// lost.
func (x *call) arrive() {
	c, w := x.c, x.c.p.w
	if !w.healed && w.chance(w.plan.lose) {
		x.fate = lostCommand + fate(w.rng.IntN(3))
	}
	if x.fate >= lostCommand {
		w.stats.Lost++
	}
	switch {
	case x.fate == lostCommand:
		x.expires()
		return
	case x.fate == lostConn && c.alive:
		c.kill()
		return
	case !c.alive:
		w.in(c.p.delay(c.n.sh), x.reset)
		return
	}
	v := x.exec()
	at, safe := w.t, false
	if x.wait {
		at, safe = c.n.sh.confirm()
	}
	if x.fate == lostAnswer {
		x.expires()
		return
	}
	c.in = max(c.in, at+c.p.delay(c.n.sh))
	if l := c.p.replies[c.n.sh.side]; c.n.sh.index == 0 && w.t < l.until {
		c.in += l.by
	}
	if c.in >= x.until {
		x.expires()
	}
	w.at(c.in, func() {
		if !c.alive && c.killed < at {
			return // it was killed while it waited for the replicas
		}
		if w.t < c.p.thaw {
			x.expires() // an answer that lies there since a freeze, and a clock that has run out
		}
		c.p.do(func() { x.finish(v, safe, nil) })
	})
}

// A fate is what becomes of a command on its way.
type fate uint8

const (
	safely      fate = iota
	stuck            // it stays on the way until the plan lets it go
	lostCommand      // it never arrives
	lostAnswer       // it is carried out, and nobody is told
	lostConn         // the connection is reset when it arrives
)

func (x *call) finish(v any, safe bool, err error) {
	if x.done {
		return
	}
	x.done, x.c.asked = true, nil
	if err == nil {
		x.c.busy = false
	} else {
		x.c.closed = true
	}
	x.reply(v, safe, err)
}

func (x *call) expire() { x.finish(nil, false, errTimeout) }

// reset tells the client that the connection is gone.
func (x *call) reset() { x.c.p.do(func() { x.finish(nil, false, errReset) }) }

// kill ends a connection on the server: nothing that it sent is carried out from
// now on. Its client hears of it.
func (c *conn) kill() {
	if !c.alive {
		return
	}
	c.alive, c.killed = false, c.p.w.t
	if x := c.asked; x != nil {
		c.p.w.in(c.p.delay(c.n.sh), x.reset)
	}
}

// close gives the connection up on the client's side.
func (c *conn) close() {
	if c.closed {
		return
	}
	c.closed = true
	if x := c.asked; x != nil {
		x.reset()
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

// readSide reads a side's record, and asks whether the replicas have it.
func readSide(p *proc, s Side, f func(*Written)) {
	askSide(p, s, func(n *node) any { return n.sh.st.rec }, func(v any, w *Written) {
		if w != nil {
			w.Current = v.(Record)
		}
		f(w)
	})
}

// readRoll reads a side's roll and, after it, its record.
func readRoll(p *proc, s Side, f func([]Entry, *Written)) {
	var roll []Entry
	read := func(n *node) any {
		roll = n.sh.rollNow()
		return n.sh.st.rec
	}
	askSide(p, s, read, func(v any, w *Written) {
		if w != nil {
			w.Current = v.(Record)
		}
		f(roll, w)
	})
}

// askSide asks on a connection of its own.
func askSide(p *proc, s Side, read func(*node) any, f func(any, *Written)) {
	p.dial(p.w.shards[s][0], func(c *conn, err error) {
		if err != nil {
			f(nil, nil)
			return
		}
		c.call(false, true, time.Second, func() any { return read(c.n) }, func(v any, safe bool, err error) {
			c.close()
			if err != nil {
				f(nil, nil)
				return
			}
			f(v, &Written{Side: s, RunID: c.n.runID, Safe: safe})
		})
	})
}
