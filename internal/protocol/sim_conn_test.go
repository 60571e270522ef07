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
		if l := p.replies[c.n.sh.side]; c.n.sh.index == 0 && w.t < l.until {
			c.in += l.by
		}
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
