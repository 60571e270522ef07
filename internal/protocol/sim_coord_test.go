package protocol

import "time"

// A simCoord is a coordinator: the driver of a Mover and a Prover, with feeds,
// a pass that compares and repairs, and the lock on both sides.
type simCoord struct {
	proc
	locked    bool
	seen      [3]simHolder    // of the lock
	since     [3]Instant      // when it was last seen to change
	fenced    map[string]bool // who had it
	renewed   [3]Lease        // when it was last known to be ours
	began     Instant         // the move
	taker     []Entry         // the taker's roll, as it was then
	struck    [][3]Entry      // lines of members that were fenced, as they were before
	recs      [3]Record       // as read last
	feeds     [3][2]*feed
	broke     int          // how often a feed was lost
	runs      [3][2]string // of the masters, when the move began
	pool      [3][2][]*conn
	dirty     [16]bool
	paused    bool
	jobs      int // compares and repairs under way
	orphans   []*conn
	mover     *Mover
	stepping  *Mover // of the last step
	prover    *Prover
	taken     []string // out of the dirty ones, by the proof
	brokeAt   int      // broke, when the move began
	rollSeq   uint64
	reading   bool
	following bool
}

func newSimCoord(w *world, name string) *simCoord {
	c := &simCoord{proc: newProc(w, name), paused: true, fenced: map[string]bool{}}
	c.after(0, c.takeLock)
	return c
}

func (c *simCoord) shards() (all []*shard) {
	for _, s := range Sides {
		all = append(all, c.w.shards[s][0], c.w.shards[s][1])
	}
	return all
}

// take gives f a connection to a shard: a new one asks first whether the lock is
// still this process's.
func (c *simCoord) take(sh *shard, f func(*conn)) {
	idle := &c.pool[sh.side][sh.index]
	for n := len(*idle); n > 0; n = len(*idle) {
		x := (*idle)[n-1]
		*idle = (*idle)[:n-1]
		if !x.closed && x.n.up {
			f(x)
			return
		}
	}
	c.dial(sh, func(x *conn, err error) {
		if err != nil {
			f(nil)
			return
		}
		c.lock(sh.side, "look", func(h simHolder, err error) {
			if err != nil || c.locked && (h.id != c.name || !c.renewed[sh.side].Valid(c.now())) {
				x.close()
				f(nil)
				return
			}
			f(x)
		})
	})
}

func (c *simCoord) put(x *conn) {
	if !x.closed {
		c.pool[x.n.sh.side][x.n.sh.index] = append(c.pool[x.n.sh.side][x.n.sh.index], x)
	}
}

func (c *simCoord) giveUp(x *conn) {
	if x.orphan() {
		c.orphans = append(c.orphans, x)
	}
	x.close()
}

// call runs one command on a shard.
func (c *simCoord) call(sh *shard, write, wait bool, exec func(*node) any, f func(v any, n *node, safe bool, err error)) {
	c.callTo(sh, safely, write, wait, exec, f)
}

// callTo is call, with what shall become of the command.
func (c *simCoord) callTo(sh *shard, end fate, write, wait bool, exec func(*node) any, f func(v any, n *node, safe bool, err error)) {
	c.take(sh, func(x *conn) {
		if x == nil {
			c.after(20*time.Millisecond, func() { f(nil, nil, false, errTimeout) })
			return
		}
		x.fate = end
		x.call(write, wait, time.Second, func() any { return exec(x.n) }, func(v any, safe bool, err error) {
			if err != nil {
				c.giveUp(x)
			} else {
				c.put(x)
			}
			f(v, x.n, safe, err)
		})
	})
}

// leftovers ends what the coordinator before has left, and goes to work.
func (c *simCoord) leftovers() {
	c.paused = true
	again := func(d time.Duration) { c.after(d, c.leftovers) }
	readSide(&c.proc, Source, func(a *Written) {
		if a == nil {
			again(200 * time.Millisecond)
			return
		}
		readSide(&c.proc, Target, func(b *Written) {
			if b == nil {
				again(200 * time.Millisecond)
				return
			}
			both := [3]*Written{Source: a, Target: b}
			c.recs[Source], c.recs[Target] = a.Current, b.Current
			stamp := Stamp{NextEpoch(a.Current, b.Current), c.name, c.w.nonce()}
			for _, s := range Sides {
				g, k := both[s], both[s.Other()]
				mv := g.Current.Move
				switch {
				case mv != nil && mv.From == s && (mv.Stage == Held || mv.Stage == Prepared):
					c.after(time.Duration(mv.HoldMS)*time.Millisecond+2*abortAfter, func() {
						if ch, ok := Resolve(g.Current, g.RunID, &k.Current, stamp); ok {
							c.cas(ch, func(Written) { again(10 * time.Millisecond) })
							return
						}
						again(100 * time.Millisecond)
					})
					return
				case mv != nil && mv.From == s && mv.Stage == Committed && g.Current.Epoch > k.Current.Epoch && !k.Current.At(mv.ID, Granted):
					c.w.stats.Resumed++
					cfg := c.config(s, mv.Goal)
					cfg.ID = mv.ID
					m, out := Resume(cfg, a.Current, b.Current, a.RunID, b.RunID, c.now())
					c.mover, c.taker = m, nil
					c.exec(out)
					c.tickMover(m)
					return
				}
				if ch, ok := StrikeOut(g.Current, k.Current, stamp); ok {
					c.cas(ch, func(Written) { again(10 * time.Millisecond) })
					return
				}
			}
			if !c.recs[Source].settled() || !c.recs[Target].settled() {
				again(200 * time.Millisecond)
				return
			}
			c.paused = false
			if !c.following {
				c.following = true
				for _, sh := range c.shards() {
					c.follow(sh)
				}
				for range 2 {
					c.worker()
				}
			}
			c.after(c.w.spread(100*time.Millisecond, 3*time.Second), c.move)
		})
	})
}

// cas writes a record, and tells what it was afterwards.
func (c *simCoord) cas(ch Change, f func(Written)) {
	end := safely
	switch w := c.w; {
	case w.healed:
	case w.plan.late && w.drawer == nil && ch.New.Move != nil && ch.New.Move.Stage == Offered:
		end = stuck
	case w.chance(w.plan.mute):
		end = lostAnswer
	}
	c.callTo(c.w.shards[ch.Side][0], end, false, true, func(n *node) any { return n.cas(ch, c.name) }, func(v any, n *node, safe bool, err error) {
		if err != nil {
			f(Written{Side: ch.Side, Err: err})
			return
		}
		f(Written{Side: ch.Side, Current: v.(Record), RunID: n.runID, Safe: safe})
	})
}

func (c *simCoord) config(from Side, goal map[string]int) MoveConfig {
	return MoveConfig{
		ID: c.name + "-" + c.w.nonce(), Writer: c.name, From: from, Goal: goal, Hold: c.hold(),
		PrepareFor: 40 * time.Second, FewNames: c.w.rng.IntN(9), CanFence: c.w.plan.canFence, Nonce: c.w.nonce,
	}
}

// hold is the bound of a hold. An operator who has seen some go over it gives
// more.
func (c *simCoord) hold() time.Duration {
	if c.w.step != nil {
		return 3 * time.Second
	}
	return c.w.plan.hold
}

// move begins a move if it may.
func (c *simCoord) move() {
	for _, f := range c.feeds[Source] {
		if c.w.plan.tracked && (f == nil || !f.ok) {
			c.after(200*time.Millisecond, c.move)
			return
		}
	}
	for _, f := range c.feeds[Target] {
		if c.w.plan.tracked && (f == nil || !f.ok) {
			c.after(200*time.Millisecond, c.move)
			return
		}
	}
	switch st := c.w.step; {
	case !c.w.healed:
		c.begin(c.w.plan.next(c.w, c.recs[Source]))
	case st == nil || st.over:
		c.after(time.Second, c.leftovers)
	default:
		c.takeStep()
	}
}

// begin begins a move.
func (c *simCoord) begin(from Side, goal map[string]int) {
	c.brokeAt = c.broke
	for _, sh := range c.shards() {
		c.runs[sh.side][sh.index] = sh.master.runID
	}
	readRoll(&c.proc, Source, func(rollA []Entry, a *Written) {
		readRoll(&c.proc, Target, func(rollB []Entry, b *Written) {
			if a == nil || b == nil {
				c.after(200*time.Millisecond, c.move)
				return
			}
			if c.began, c.taker = c.now(), rollB; from == Target {
				c.taker = rollA
			}
			c.recs[Source], c.recs[Target] = a.Current, b.Current
			c.mover = NewMover(c.config(from, goal), a.Current, b.Current, a.RunID, b.RunID)
			c.w.log("%s begins a move from the %v to %v", c.name, from, goal)
			m := c.mover
			if c.w.step != nil {
				c.stepping = m
			}
			c.exec(m.Start(c.now()))
			c.tickMover(m)
		})
	})
}

func (c *simCoord) tickMover(m *Mover) {
	if c.mover != m {
		return
	}
	d := 50 * time.Millisecond
	if m.stage >= holding && c.w.t < c.w.hot {
		d = 5 * time.Millisecond
	}
	c.after(d, func() {
		if c.mover == m {
			n := c.dirtyNames(m)
			c.give(Input{Dirty: &n})
			c.tickMover(m)
		}
	})
}

func (c *simCoord) give(in Input) {
	if c.mover != nil {
		was := c.mover.stage
		c.exec(c.mover.Handle(in, c.now()))
		if c.mover != nil && c.mover.stage != was {
			switch c.mover.stage {
			case proving:
				c.w.trigger(c.mover.giver.Other(), underProof)
			case counting:
				c.w.trigger(c.mover.giver, underCount)
			}
			c.w.log("%s: the move goes from %v to %v %s", c.name, was, c.mover.stage, c.mover.reason)
		}
	}
}

// exec does what the mover wants.
func (c *simCoord) exec(out []Output) {
	m := c.mover
	for _, o := range out {
		switch o.Kind {
		case DoWrite:
			c.gap(atWrite, func() { c.cas(o.Change, func(w Written) { c.answer(m, Input{Written: &w}) }) })
		case DoRead:
			readSide(&c.proc, o.Side, func(r *Written) {
				if r == nil {
					r = &Written{Side: o.Side, Err: errTimeout}
				}
				c.after(time.Millisecond, func() { c.answer(m, Input{Read: r}) })
			})
		case DoRoll:
			c.rollSeq = o.Seq
			c.readRoll()
		case DoFence:
			c.silentLines(m.giver, o.Member, func(lines [3]Entry) {
				c.fence(o.Member, func(ok bool) {
					if ok {
						c.struck = append(c.struck, lines)
					}
					c.answer(m, Input{Fenced: &Fenced{o.Member, ok}})
				})
			})
		case DoProve:
			c.paused = true
			c.startProof(m)
		case DoEnd:
			c.w.log("%s: the move has ended: %+v", c.name, *o.End)
			c.w.moved(m, *o.End)
			if m == c.stepping && o.End.Committed {
				c.stepped("")
			} else if m == c.stepping {
				c.stepped(o.End.Reason)
			}
			c.strike()
			if c.prover != nil && !o.End.Committed {
				c.dirtyAgain(c.taken)
			}
			c.mover, c.prover = nil, nil
			c.after(time.Millisecond, c.leftovers)
			return
		}
	}
}

func (c *simCoord) answer(m *Mover, in Input) {
	if c.mover == m {
		c.give(in)
	}
}

// readRoll reads the giver's roll, again and again while it is asked for.
func (c *simCoord) readRoll() {
	m, seq := c.mover, c.rollSeq
	if m == nil || c.reading {
		return
	}
	c.reading = true
	asked := c.now()
	readRoll(&c.proc, m.giver, func(roll []Entry, r *Written) {
		c.reading = false
		if r != nil {
			c.answer(m, Input{Roll: &Roll{Seq: seq, Asked: asked, Entries: roll}})
		}
		again := 200 * time.Millisecond // a new acknowledgement is told of
		if c.w.t < c.w.hot {
			again = 20 * time.Millisecond
		}
		c.after(again, func() {
			if c.mover != nil && !c.reading {
				c.readRoll()
			}
		})
	})
}
