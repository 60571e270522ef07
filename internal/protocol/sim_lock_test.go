package protocol

import (
	"fmt"
	"slices"
	"time"
)

// lock looks at the lock of a side, takes it from whom it was seen with, or
// renews it.
func (c *simCoord) lock(s Side, verb string, f func(holder string, changed bool, err error)) {
	c.dial(c.w.shards[s][0], func(x *conn, err error) {
		if err != nil {
			f("", false, err)
			return
		}
		from := c.seen[s].lock
		x.call(false, false, time.Second, func() any {
			st := &x.n.sh.st
			if verb == "take" && st.lock == from || verb == "renew" && st.lock == c.name {
				x.n.sh.apply(func(st *state) { st.lock, st.beat = c.name, st.beat+1 })
			}
			return [2]string{st.lock, fmt.Sprint(st.lock, st.beat)}
		}, func(v any, _ bool, err error) {
			x.close()
			if err != nil {
				f("", false, err)
				return
			}
			got := v.([2]string)
			changed := got[1] != c.seen[s].beat
			c.seen[s].lock, c.seen[s].beat = got[0], got[1]
			f(got[0], changed, nil)
		})
	})
}

// takeLock waits until the lock is free on both sides, or its holder silent for
// longer than a lease, takes it and fences the one before.
func (c *simCoord) takeLock() {
	again := func() { c.after(500*time.Millisecond, c.takeLock) }
	left, free := 2, true
	for _, s := range Sides {
		c.lock(s, "look", func(holder string, changed bool, err error) {
			if changed {
				c.since[s] = c.now()
			}
			other := holder != "" && holder != c.name
			free = free && err == nil && (!other || c.now().Since(c.since[s]) >= SilentFor)
			if other && !slices.Contains(c.old, holder) {
				c.old = append(c.old, holder)
			}
			if left--; left > 0 {
				return
			}
			if !free {
				again()
				return
			}
			c.takeSides(again)
		})
	}
}

func (c *simCoord) takeSides(again func()) {
	c.lock(Source, "take", func(holder string, _ bool, err error) {
		if err != nil || holder != c.name {
			again()
			return
		}
		c.lock(Target, "take", func(holder string, _ bool, err error) {
			if err != nil || holder != c.name {
				again()
				return
			}
			c.locked = true
			c.fenceAll(c.old, func() { c.after(time.Second, c.renew); c.leftovers() })
		})
	})
}

func (c *simCoord) fenceAll(names []string, done func()) {
	if len(names) == 0 {
		done()
		return
	}
	c.fence(names[0], func(ok bool) {
		if ok {
			names = names[1:]
		}
		c.after(10*time.Millisecond, func() { c.fenceAll(names, done) })
	})
}

// renew shows that the coordinator lives, and notices when it was replaced.
func (c *simCoord) renew() {
	for _, s := range Sides {
		c.lock(s, "renew", func(holder string, _ bool, err error) {
			if err == nil && holder != c.name {
				c.replaced()
			}
		})
	}
	c.after(time.Second, c.renew)
}

// replaced ends the process: the lock is another's.
func (c *simCoord) replaced() {
	c.w.log("%s finds that it was replaced", c.name)
	c.dead = true
}

// fence kills what a process has on every master of both sides.
func (c *simCoord) fence(name string, f func(ok bool)) {
	c.w.stats.fences++
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
