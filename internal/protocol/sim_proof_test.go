package protocol

import "time"

// follow has a master tell which keys change.
func (c *simCoord) follow(sh *shard) {
	if !c.w.plan.tracked {
		return
	}
	n := sh.master
	f := &feed{c: c, n: n, ok: true, lag: c.w.spread(10*time.Microsecond, 30*time.Millisecond)}
	c.w.in(c.delay(sh), func() {
		if !n.up {
			c.after(100*time.Millisecond, func() { c.follow(sh) })
			return
		}
		n.feeds = append(n.feeds, f)
		c.w.in(c.delay(sh), func() {
			c.do(func() {
				if !f.ok {
					c.follow(sh)
					return
				}
				c.feeds[sh.side][sh.index] = f
				for k, key := range c.w.keys { // nothing is known of what changed before
					if key.shard == sh.index {
						c.dirty[k] = true
					}
				}
			})
		})
	})
}

func (c *simCoord) named(f *feed, k int) {
	if f.ok {
		c.dirty[k] = true
	}
}

// broken takes the loss of a feed.
func (c *simCoord) broken(f *feed) {
	c.broke++
	if c.feeds[f.n.sh.side][f.n.sh.index] != f {
		return
	}
	c.feeds[f.n.sh.side][f.n.sh.index] = nil
	c.give(Input{Master: f.n.sh.side})
	c.follow(f.n.sh)
}

func (c *simCoord) dirtyNames(m *Mover) (n int) {
	for k, key := range c.w.keys {
		if c.dirty[k] && c.moving(m, key) {
			n++
		}
	}
	return n
}

// worker compares dirty names and repairs what differs, until a proof begins.
func (c *simCoord) worker() {
	d := c.w.spread(time.Millisecond, c.w.plan.lazy)
	n := c.w.rng.IntN(len(c.w.keys))
	for i := range c.w.keys {
		k := (n + i) % len(c.w.keys)
		if !c.dirty[k] || c.paused {
			continue
		}
		from, _ := serve(c.recs[Source], c.recs[Target], c.w.keys[k].workload, c.w.keys[k].slot)
		if from == None {
			continue
		}
		c.jobs++
		c.compare(k, from, func(v value, differ bool, err error) {
			end := func(err error) {
				if err != nil {
					c.dirty[k] = true
				}
				c.jobs--
				c.after(d, c.worker)
			}
			if err != nil || !differ || c.paused {
				if differ {
					c.dirty[k] = true
				}
				end(err)
				return
			}
			c.repair(k, from.Other(), v, end)
		})
		return
	}
	if c.w.t > c.w.hot {
		d += 100 * time.Millisecond
	}
	c.after(d, c.worker)
}

// compare takes a name out of the dirty ones and reads both sides then.
func (c *simCoord) compare(k int, from Side, f func(v value, differ bool, err error)) {
	c.dirty[k] = false
	var got [3]value
	var failed error
	left := 2
	for _, s := range Sides {
		read := func(n *node) any { return n.sh.st.vals[k] }
		c.gap(atCompare, func() {
			c.call(c.w.shards[s][c.w.keys[k].shard], false, false, read, func(v any, _ *node, _ bool, err error) {
				if err != nil {
					failed = err
				} else {
					got[s] = v.(value)
				}
				if left--; left == 0 {
					f(got[from], !got[Source].equal(got[Target]), failed)
				}
			})
		})
	}
}

func (c *simCoord) repair(k int, to Side, v value, f func(error)) {
	if !c.mine() {
		f(errRefused)
		return
	}
	c.w.stats.Repairs++
	c.gap(atRepair, func() { c.mend(k, to, v, f) })
}

func (c *simCoord) mend(k int, to Side, v value, f func(error)) {
	c.call(c.w.shards[to][c.w.keys[k].shard], true, false, func(n *node) any {
		if c.w.tracing {
			c.w.log("%s repairs %s on the %v to %v", c.name, c.w.keys[k].name, to, v)
		}
		n.set(k, v)
		return nil
	}, func(_ any, _ *node, _ bool, err error) { f(err) })
}

// startProof waits until the coordinator's own repairs have ended and their
// orphans are killed, and begins the proof.
func (c *simCoord) startProof(m *Mover) {
	switch {
	case c.mover != m:
	case c.jobs > 0:
		c.after(time.Millisecond, func() { c.startProof(m) })
	case len(c.orphans) > 0:
		o := c.orphans[0]
		c.call(o.n.sh, false, false, func(n *node) any { o.kill(); return nil }, func(_ any, n *node, _ bool, err error) {
			if err == nil && (n == o.n || !o.n.up) {
				c.orphans = c.orphans[1:]
			}
			c.after(time.Millisecond, func() { c.startProof(m) })
		})
	default:
		c.prover, c.taken = NewProver(c.w.plan.tracked), nil
		c.prove(m, c.prover.Start())
	}
}

// prove does what the prover wants.
func (c *simCoord) prove(m *Mover, out []ProofOutput) {
	p := c.prover
	for _, o := range out {
		in := ProofInput{Kind: o.Kind}
		answer := func() {
			if c.mover == m && c.prover == p {
				c.prove(m, p.Handle(in))
			} else if in.Kind == ProveMark {
				c.dirtyAgain(in.Names)
			}
		}
		fault := func(err error) {
			if err != nil {
				in.Fault = err.Error()
			}
		}
		switch o.Kind {
		case ProveMark:
			left := 4
			for _, s := range Sides {
				for _, f := range c.feeds[s] {
					if f == nil {
						in.Fault = "a feed is broken"
						answer()
						continue
					}
					f.mark(func() {
						if left--; left == 0 {
							for k, key := range c.w.keys {
								if c.dirty[k] && c.moving(m, key) {
									c.dirty[k] = false
									in.Names = append(in.Names, key.name)
								}
							}
							if c.prover == p {
								c.taken = append(c.taken, in.Names...)
							}
							answer()
						}
					})
				}
			}
		case ProveReplicas:
			left := 2
			for _, sh := range c.w.shards[m.giver.Other()] {
				mark := func(n *node) any { n.sh.apply(func(*state) {}); return nil }
				c.call(sh, false, true, mark, func(_ any, _ *node, safe bool, err error) {
					fault(err)
					if !safe {
						in.Fault = "not every replica has what the master has"
					}
					if left--; left == 0 {
						answer()
					}
				})
			}
		case ProveCompare, ProvePass:
			c.compareAll(m, o, &in, fault, answer)
		case ProveRepair:
			c.repairAll(m, o.Names, fault, answer)
		case ProveMasters:
			if c.broke != c.brokeAt {
				in.Fault = "a feed or a master was lost"
			}
			c.masters(m, fault, answer)
		case ProveEnd:
			c.give(Input{Proved: o.Proved})
			return
		}
	}
}

// dirtyAgain gives back names that a proof has taken.
func (c *simCoord) dirtyAgain(names []string) {
	for _, name := range names {
		c.dirty[c.index(name)] = true
	}
}

func (c *simCoord) moving(m *Mover, k key) bool { return m.rec[m.giver].Moving(k.workload, k.slot) }

func (c *simCoord) index(name string) int {
	for k, key := range c.w.keys {
		if key.name == name {
			return k
		}
	}
	return -1
}

func (c *simCoord) compareAll(m *Mover, o ProofOutput, in *ProofInput, fault func(error), answer func()) {
	names := o.Names
	if o.Kind == ProvePass {
		for _, key := range c.w.keys {
			if c.moving(m, key) {
				names = append(names, key.name)
			}
		}
	}
	left := len(names)
	if left == 0 {
		c.after(0, answer)
	}
	var differ []string
	c.jobs += left
	end := func() {
		c.jobs--
		if left--; left > 0 {
			return
		}
		if o.Kind == ProveCompare || len(differ) == 0 {
			in.Names, in.Differ = differ, len(differ)
			answer()
			return
		}
		in.Differ = len(differ)
		c.repairAll(m, differ, fault, answer)
	}
	for _, name := range names {
		c.compare(c.index(name), m.giver, func(_ value, different bool, err error) {
			fault(err)
			if different {
				differ = append(differ, name)
			}
			end()
		})
	}
}

func (c *simCoord) repairAll(m *Mover, names []string, fault func(error), answer func()) {
	left := len(names)
	c.jobs += left // they have to end before another proof begins, even if nobody asks for this one any more
	for _, name := range names {
		k := c.index(name)
		read := func(n *node) any { return n.sh.st.vals[k] }
		c.call(c.w.shards[m.giver][c.w.keys[k].shard], false, false, read, func(v any, _ *node, _ bool, err error) {
			end := func(err error) {
				c.jobs--
				fault(err)
				if left--; left == 0 {
					answer()
				}
			}
			if err != nil {
				end(err)
				return
			}
			c.repair(k, m.giver.Other(), v.(value), end)
		})
	}
}

// masters asks every master for its run id.
func (c *simCoord) masters(m *Mover, fault func(error), answer func()) {
	left := 4
	for _, sh := range c.shards() {
		c.call(sh, false, false, func(n *node) any { return n.runID }, func(v any, n *node, _ bool, err error) {
			if err == nil && v.(string) != c.runs[sh.side][sh.index] {
				err = errRefused
			}
			if f := c.feeds[sh.side][sh.index]; err == nil && c.w.plan.tracked && (f == nil || f.n != n) {
				err = errRefused
			}
			fault(err)
			if left--; left == 0 {
				answer()
			}
		})
	}
}
