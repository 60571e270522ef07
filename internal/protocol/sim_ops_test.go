package protocol

import (
	"slices"
	"time"
)

// opTimeout is the app's read time-out.
const opTimeout = 700 * time.Millisecond

// An op is one operation of the app: counted, then checked, then sent on the
// pool with which it was checked.
type op struct {
	sm      *simMember
	next    func() // when it has ended
	key     int
	write   bool
	id      int // of a write
	inv     time.Duration
	must    *known // what a read of a set has to show
	counted bool
	seq     int
	side    Side
	gen     uint64
	pool    *pool
	done    bool
}

// client does one operation after the other.
func (sm *simMember) client() {
	w := sm.w
	k := w.rng.IntN(len(w.keys))
	if w.chance(0.6) {
		k = 2 + w.rng.IntN(2) // some keys are hot, others are left as they are for long
	}
	sm.start(&op{key: k, write: w.chance(0.5), next: func() {
		think := w.between(100*time.Millisecond, 500*time.Millisecond)
		if w.t < w.hot {
			think = w.spread(200*time.Microsecond, 50*time.Millisecond)
		}
		sm.after(think, sm.client)
	}})
}

// hurry writes one register after the other for as long as the last step takes:
// with some of these there is no moment at which nothing is under way.
func (sm *simMember) hurry() {
	if sm.w.step.over {
		return
	}
	sm.start(&op{key: 2 * sm.w.rng.IntN(len(sm.w.keys)/2), write: true, next: func() { sm.after(0, sm.hurry) }})
}

func (sm *simMember) start(o *op) {
	w := sm.w
	o.sm, o.inv = sm, w.t
	if o.write {
		o.id = w.oracle.write(o.key, w.t)
	} else {
		o.must = w.oracle.now(o.key)
	}
	sm.ops = append(sm.ops, o)
	o.begin()
}

func (o *op) end() {
	if o.done {
		return
	}
	o.done, o.counted = true, false
	sm := o.sm
	for i, x := range sm.ops {
		if x == o {
			sm.ops[i] = sm.ops[len(sm.ops)-1]
			sm.ops = sm.ops[:len(sm.ops)-1]
			break
		}
	}
	o.next()
	sm.duties()
}

// begin counts the operation, and checks it then.
func (o *op) begin() {
	o.sm.begun++
	o.counted, o.seq = true, o.sm.begun
	o.sm.gap(atCheck, o.check)
}

func (o *op) park() {
	o.counted = false
	o.sm.parked = append(o.sm.parked, o)
	if !o.sm.polling {
		o.sm.polling = true
		o.sm.after(30*time.Millisecond, o.sm.poll)
	}
	o.sm.duties()
}

func (o *op) check() {
	sm := o.sm
	v := sm.view[o.key]
	o.side = v.read
	if o.write {
		o.side = v.write
	}
	if o.side == None || !sm.m.Lease(o.side).Valid(sm.now()) {
		o.park()
		return
	}
	o.gen = sm.m.Gen(o.side)
	o.pool = sm.pool(&sm.pools, o.side, false)
	if !o.write {
		sm.gap(anywhere, o.send)
		return
	}
	sm.gap(atSend, o.send)
}

func (o *op) send() {
	sm := o.sm
	sm.take(o.pool, sm.w.keys[o.key].shard, func(c *conn) {
		if c == nil { // nothing was sent
			o.park()
			return
		}
		k, w := o.key, sm.w
		c.call(o.write, o.write && w.plan.waits, opTimeout, func() any {
			if !o.write {
				return c.n.sh.st.vals[k]
			}
			if w.tracing {
				w.log("%s writes %d to %s on the %v", sm.name, o.id, w.keys[k].name, o.side)
			}
			w.oracle.strays(o)
			if w.keys[k].set {
				c.n.set(k, c.n.sh.st.vals[k].with(o.id))
			} else {
				c.n.set(k, value{write: o.id})
			}
			return value{}
		}, func(v any, safe bool, err error) {
			if err != nil {
				sm.giveUp(c)
			} else {
				sm.put(o.pool, c)
			}
			sm.gap(atReply, func() { o.reply(v, safe || !w.plan.waits, err) })
		})
	})
}

// reply believes an answer only under the lease and view under which it was
// asked.
func (o *op) reply(v any, safe bool, err error) {
	sm, w := o.sm, o.sm.w
	leased := sm.m.Gen(o.side) == o.gen && sm.m.Lease(o.side).Valid(sm.now())
	switch {
	case !o.write && (err != nil || !leased || sm.view[o.key].read != o.side):
		o.park() // run again
		return
	case !o.write:
		w.stats.Reads++
		w.oracle.read(o, v.(value))
	case err != nil || !leased || !safe:
		w.stats.Unknown++ // its outcome is not known
	default:
		w.stats.Acked++
		w.oracle.ack(o)
		sm.copy(o.key)
	}
	o.end()
}

// pool returns the pool of the present leases.
func (sm *simMember) pool(of *[3]*pool, s Side, both bool) *pool {
	p := of[s]
	gens := [3]uint64{Source: sm.m.Gen(Source), Target: sm.m.Gen(Target)}
	if p == nil || p.closed || p.gens[s] != gens[s] || (both && p.gens != gens) {
		sm.closePool(p)
		p = &pool{side: s, gens: gens, both: both}
		of[s] = p
	}
	return p
}

// take gives f a connection of the pool, or nil if none can be had. A new one
// asks for the record before it may be used.
func (sm *simMember) take(p *pool, shard int, f func(*conn)) {
	if p.closed {
		f(nil)
		return
	}
	for n := len(p.idle[shard]); n > 0; n = len(p.idle[shard]) {
		c := p.idle[shard][n-1]
		p.idle[shard] = p.idle[shard][:n-1]
		if !c.closed && c.n.up {
			f(c)
			return
		}
	}
	sm.dial(sm.w.shards[p.side][shard], func(c *conn, err error) {
		if err != nil {
			f(nil)
			return
		}
		p.open = append(p.open, c)
		readSide(&sm.proc, p.side, func(r *Written) {
			now := sm.now()
			ok := r != nil && !p.closed && slices.ContainsFunc(sm.m.Standing(p.side), r.Current.Same) && sm.m.Lease(p.side).Valid(now) &&
				(!p.both || sm.m.Lease(p.side.Other()).Valid(now))
			if !ok {
				c.close()
				if r != nil {
					sm.refresh(p.side)
				}
				f(nil)
				return
			}
			f(c)
		})
	})
}

func (sm *simMember) put(p *pool, c *conn) {
	if p.closed {
		c.close()
		return
	}
	p.idle[c.n.sh.index] = append(p.idle[c.n.sh.index], c)
}

// copying is the mirror's work on one key. A name waits in a queue, once; the
// value is read when its turn comes, on the side that serves the key then.
type copying struct {
	waits   bool
	queued  int // what was begun when it came to wait
	running bool
	seq     int // of the copy that runs, as it was queued
	from    Side
	gens    [3]uint64
}

func (sm *simMember) gens() [3]uint64 {
	return [3]uint64{Source: sm.m.Gen(Source), Target: sm.m.Gen(Target)}
}

// copy queues a key that was written.
func (sm *simMember) copy(k int) {
	cp := &sm.copies[k]
	if cp.waits || sm.w.chance(sm.w.plan.drop) {
		return // the feed has its name
	}
	sm.begun++
	cp.waits, cp.queued = true, sm.begun
	if !cp.running {
		sm.after(sm.w.spread(100*time.Microsecond, 20*time.Millisecond), func() { sm.turn(k) })
	}
}

// turn begins the copy of a key that waits. Under a hold, or without leases, it
// goes on waiting.
func (sm *simMember) turn(k int) {
	cp := &sm.copies[k]
	if !cp.waits || cp.running {
		return
	}
	from := sm.view[k].write
	if from == None || !sm.m.Ready(sm.now()) {
		sm.after(sm.w.between(5*time.Millisecond, 100*time.Millisecond), func() { sm.turn(k) })
		return
	}
	*cp = copying{running: true, seq: cp.queued, from: from, gens: sm.gens()}
	sm.carry(k, func() {
		cp.running = false
		if cp.waits {
			sm.after(0, func() { sm.turn(k) })
		}
		sm.duties()
	})
}

// carry reads a key and writes it to the other side.
func (sm *simMember) carry(k int, end func()) {
	from := sm.copies[k].from
	read := sm.pool(&sm.pools, from, false)
	to := sm.pool(&sm.mirrors, from.Other(), true)
	sm.gap(atCopy, func() {
		sm.take(read, sm.w.keys[k].shard, func(c *conn) {
			if c == nil {
				end()
				return
			}
			c.call(false, false, opTimeout, func() any { return c.n.sh.st.vals[k] }, func(v any, _ bool, err error) {
				if err != nil {
					sm.giveUp(c)
					end()
					return
				}
				sm.put(read, c)
				sm.gap(atPaste, func() { sm.paste(k, to, v.(value), end) })
			})
		})
	})
}

// paste sends a copy, if the view has the direction in which it was read.
func (sm *simMember) paste(k int, to *pool, v value, end func()) {
	cp := &sm.copies[k]
	if sm.view[k].read != cp.from || sm.gens() != cp.gens || !sm.m.Ready(sm.now()) {
		end()
		return
	}
	sm.gap(atPasting, func() {
		sm.take(to, sm.w.keys[k].shard, func(c *conn) {
			if c == nil {
				end()
				return
			}
			c.call(true, false, opTimeout, func() any {
				if sm.w.tracing {
					sm.w.log("%s copies %v of %s to the %v", sm.name, v, sm.w.keys[k].name, to.side)
				}
				c.n.set(k, v)
				return nil
			}, func(_ any, _ bool, err error) {
				if err != nil {
					sm.giveUp(c)
				} else {
					sm.put(to, c)
				}
				end()
			})
		})
	})
}
