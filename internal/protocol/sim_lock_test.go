package protocol

import (
	"slices"
	"time"
)

// A simHolder is who has the lock on a side; its beat grows while it lives.
type simHolder struct {
	id   string
	beat int
}

// lock looks at the lock of a side, renews it, or takes it if it is still as it
// was seen: one that has beaten since is alive.
func (c *simCoord) lock(s Side, verb string, f func(h simHolder, err error)) {
	c.dial(c.w.shards[s][0], func(x *conn, err error) {
		if err != nil {
			f(simHolder{}, err)
			return
		}
		seen := c.seen[s]
		x.call(false, false, time.Second, func() any {
			lock := x.n.sh.st.lock
			if verb == "take" && lock == seen || verb == "renew" && lock.id == c.name {
				lock = simHolder{c.name, lock.beat + 1}
				x.n.sh.apply(func(st *state) { st.lock = lock })
			}
			return lock
		}, func(v any, _ bool, err error) {
			x.close()
			if err != nil {
				f(simHolder{}, err)
				return
			}
			f(v.(simHolder), nil)
		})
	})
}

// takeLock waits until the lock is free on both sides. A holder that was silent
// for longer than it may believe in its lock is fenced, and then replaced.
func (c *simCoord) takeLock() {
	again := func() { c.after(500*time.Millisecond, c.takeLock) }
	left, failed, asked := 2, false, c.now()
	for _, s := range Sides {
		c.lock(s, "look", func(h simHolder, err error) {
			failed = failed || err != nil
			if err == nil && h != c.seen[s] {
				c.seen[s], c.since[s] = h, c.now()
			}
			if left--; left > 0 {
				return
			}
			if failed {
				again()
				return
			}
			for _, s := range Sides {
				if id := c.seen[s].id; id != "" && id != c.name && !c.fenced[id] {
					if asked.Since(c.since[s]) >= SilentFor {
						c.fence(id, func(ok bool) { c.fenced[id] = ok; c.after(0, c.takeLock) })
					} else {
						again()
					}
					return
				}
			}
			c.takeSides(again)
		})
	}
}

func (c *simCoord) takeSides(again func()) {
	take := func(s Side, f func()) {
		sent := c.now()
		c.lock(s, "take", func(h simHolder, err error) {
			if err != nil || h.id != c.name {
				again()
				return
			}
			c.seen[s], c.renewed[s] = h, Lease{sent, c.name}
			f()
		})
	}
	take(Source, func() {
		take(Target, func() {
			c.locked = true
			c.after(time.Second, c.renew)
			c.leftovers()
		})
	})
}

// renew shows that the coordinator lives, and notices when it was replaced. A
// lock that a side has forgotten is taken again: nobody can have had it, and
// kept it, without the other one.
func (c *simCoord) renew() {
	for _, s := range Sides {
		sent := c.now()
		c.lock(s, "renew", func(h simHolder, err error) {
			switch {
			case err != nil:
			case h.id == c.name:
				c.renewed[s] = Lease{sent, c.name}
			case h.id == "":
				c.seen[s] = h
				c.lock(s, "take", func(simHolder, error) {})
			default:
				c.replaced()
			}
		})
	}
	c.after(time.Second, c.renew)
}

// mine reports whether the lock can be believed to be ours, on both sides.
func (c *simCoord) mine() bool {
	return c.renewed[Source].Valid(c.now()) && c.renewed[Target].Valid(c.now())
}

// replaced ends the process: the lock is another's.
func (c *simCoord) replaced() {
	c.w.log("%s finds that it was replaced", c.name)
	c.dead = true
}

// fence kills what a process has on every master of both sides.
func (c *simCoord) fence(name string, f func(ok bool)) {
	c.w.stats.Fences++
	left, good := 4, true
	for _, sh := range c.shards() {
		c.call(sh, false, false, func(n *node) any {
			if !c.w.plan.deaf {
				n.fence(name)
			}
			return nil
		}, func(_ any, _ *node, _ bool, err error) {
			good = good && err == nil
			if left--; left == 0 {
				c.w.log("%s has fenced %s: %v", c.name, name, good)
				f(good)
			}
		})
	}
}

// strike takes the members off the rolls that were fenced, if they have not beaten
// since.
func (c *simCoord) strike() {
	for _, lines := range c.struck {
		for s, e := range lines {
			if e.ID == "" {
				continue
			}
			c.call(c.w.shards[s][0], false, false, func(n *node) any {
				if n.sh.st.roll[e.ID].Beat == e.Beat {
					n.sh.apply(func(st *state) { delete(st.roll, e.ID) })
				}
				return nil
			}, func(any, *node, bool, error) {})
		}
	}
	c.struck = nil
}

// silentLines reads the lines of a member on the rolls on which it is silent: the
// giver's, as the mover saw, and the taker's if it is as it was when the move
// began, a lease ago.
func (c *simCoord) silentLines(giver Side, name string, f func([3]Entry)) {
	var got [3]Entry
	left, long := 2, c.now().Since(c.began) >= SilentFor
	for _, s := range Sides {
		c.call(c.w.shards[s][0], false, false, func(n *node) any { return n.sh.st.roll[name] }, func(v any, _ *node, _ bool, err error) {
			e, _ := v.(Entry)
			same := func(was Entry) bool { return was.ID == e.ID && was.Beat == e.Beat }
			if s == giver || long && slices.ContainsFunc(c.taker, same) {
				got[s] = e
			}
			if left--; left == 0 {
				f(got)
			}
		})
	}
}
