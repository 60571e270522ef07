package protocol

import (
	"fmt"
	"time"
)

func (w *world) someProc() *proc {
	n := len(w.members)
	i := w.rng.IntN(n + 1)
	if i < n || w.plan.deaf {
		i %= n
		return &w.members[i].proc
	}
	return &w.coords[len(w.coords)-1].proc
}

func (w *world) side() Side { return Sides[w.rng.IntN(2)] }

func (w *world) someShard() *shard {
	i := 0
	if w.plan.waits && w.chance(0.5) {
		i = 1
	}
	side := w.aim
	if side == None || w.chance(0.5) {
		side = w.side()
	}
	return w.shards[side][i]
}

// forget has a server die before its replicas have what it was told last. The
// lag stays below the grace that members keep: what it costs above that is a
// limit, told in doc.go.
func (w *world) forget() {
	if w.healed {
		return
	}
	sh := w.someShard()
	sh.hang(45*time.Millisecond, true)
	w.in(w.spread(50*time.Microsecond, 45*time.Millisecond), func() {
		if !w.healed {
			sh.failOver(w.spread(time.Millisecond, time.Second))
		}
	})
}

func (w *world) freezeSome() {
	if w.healed {
		return
	}
	p := w.someProc()
	d := w.spread(10*time.Millisecond, 15*time.Second)
	if w.chance(0.6) || w.plan.deaf {
		d = w.between(15*time.Second, 35*time.Second)
	}
	suspend := w.chance(0.3)
	lo, hi := atCheck, memberSpots
	if p == &w.coords[len(w.coords)-1].proc {
		lo, hi = memberSpots+1, coordSpots
	}
	if w.plan.deaf {
		lo, hi = atSend, atSend+1
	}
	if w.chance(0.8) {
		p.stop, p.suspend, p.stopAt = d, suspend, lo+spot(w.rng.IntN(int(hi-lo)))
		w.hot = max(w.hot, w.t+300*time.Millisecond)
	} else {
		p.freeze(d, suspend)
	}
	if p == &w.coords[len(w.coords)-1].proc && d > 15*time.Second {
		w.anotherCoord(w.between(0, 5*time.Second))
	}
}

// leaveHold has a coordinator die in a hold while the taking side is away: the
// giver alone must be enough to end it.
func (w *world) leaveHold() {
	c := w.coords[len(w.coords)-1]
	if w.healed || c.dead || c.mover == nil {
		return
	}
	for _, sh := range w.shards[c.mover.giver.Other()] {
		sh.away = w.t + w.between(15*time.Second, 40*time.Second)
	}
	c.dead = true
	w.log("%s has crashed in a hold, and the %v is away", c.name, c.mover.giver.Other())
	w.anotherCoord(w.spread(time.Second, 20*time.Second))
}

// sleepyCoord stops a coordinator between what it has read and what it writes,
// until another has taken over.
func (w *world) sleepyCoord() {
	c := w.coords[len(w.coords)-1]
	if w.healed || c.dead || w.plan.deaf { // only a kill ends its repairs
		return
	}
	c.stop, c.suspend, c.stopAt = w.between(17*time.Second, 35*time.Second), w.chance(0.3), atRepair
	w.anotherCoord(w.spread(time.Millisecond, 3*time.Second))
}

// sleepyCopy stops a member with a copy in hand, for longer than its lease, while
// what it copies is about to move.
func (w *world) sleepyCopy() {
	sm := w.members[w.rng.IntN(len(w.members))]
	if !w.healed && !sm.dead {
		sm.stop, sm.suspend, sm.stopAt = w.between(17*time.Second, 35*time.Second), w.chance(0.3), atPasting
		w.hot = max(w.hot, w.t+300*time.Millisecond)
	}
}

// slowCopies has what members send to the taking side be on its way for long, while
// they write as fast as they can and a hold is about to come.
func (w *world) slowCopies() {
	for _, sm := range w.members {
		for i := range sm.slow[w.aim.Other()] {
			sm.slow[w.aim.Other()][i] = lateness{w.between(30*time.Millisecond, 150*time.Millisecond), w.t + 150*time.Millisecond}
		}
	}
}

// sleepyWrites stops all members but one with a write in hand, for longer than their
// leases, before a move begins that waits them out.
func (w *world) sleepyWrites() {
	for _, sm := range w.members[1:] {
		sm.stop, sm.suspend, sm.stopAt = w.between(17*time.Second, 35*time.Second), false, atSend
	}
	w.hot = max(w.hot, w.t+300*time.Millisecond)
}

// forgetLine has a side forget that a member has just come to its roll, while that
// one goes on to think that the server is there.
func (w *world) forgetLine(s Side, sm *simMember) {
	sh := w.shards[s][0]
	sh.hang(45*time.Millisecond, true)
	w.hot = max(w.hot, w.t+45*time.Millisecond)
	w.in(w.between(20*time.Millisecond, 45*time.Millisecond), func() {
		if !w.healed {
			sh.failOver(w.spread(time.Millisecond, 100*time.Millisecond))
			sm.slow[s][0] = lateness{25 * time.Second, w.t + 14*time.Second}
		}
	})
}

// blackout kills every process at once. Some come back after a while.
func (w *world) blackout() {
	if w.healed {
		return
	}
	w.log("every process has crashed")
	for _, sm := range w.members {
		sm.dead = true
	}
	for _, c := range w.coords {
		c.dead = true
	}
	for range 2 {
		w.in(w.spread(time.Millisecond, 20*time.Second), w.addMember)
	}
	w.anotherCoord(w.spread(time.Millisecond, 5*time.Second))
}

// lateOffer lets an offer arrive that was given up, once another move of the same
// side is held. Then the coordinator dies, and the giver fails over: only the taker
// can tell whether that move was committed.
func (w *world) lateOffer() {
	c := w.coords[len(w.coords)-1]
	if w.drawer == nil || w.healed || c.dead || c.mover == nil || !w.drawer.c.alive {
		return
	}
	giver, taker := w.shards[c.mover.giver][0], w.shards[c.mover.giver.Other()][0]
	w.in(w.spread(10*time.Microsecond, time.Millisecond), func() {
		was := taker.st.rec
		if w.drawer.arrive(); taker.st.rec.Same(was) {
			return
		}
		w.stats.LateOffers++
		c.dead = true
		w.log("%s has crashed in a hold, with an offer of an earlier move", c.name)
		w.in(40*time.Millisecond, func() { // its replicas have the hold by then
			if !w.healed {
				giver.failOver(w.spread(time.Millisecond, 100*time.Millisecond))
			}
		})
		w.anotherCoord(w.spread(10*time.Second, 20*time.Second))
	})
}

// breakFeed cuts what a coordinator hears of a master.
func (w *world) breakFeed() {
	sh := w.shards[w.side()][w.rng.IntN(2)]
	if w.healed || len(sh.master.feeds) == 0 {
		return
	}
	f := sh.master.feeds[len(sh.master.feeds)-1]
	sh.master.feeds = sh.master.feeds[:len(sh.master.feeds)-1]
	f.brk()
}

// forgetRepairs has a data shard of the taking side die before its replicas have
// what it was told last.
func (w *world) forgetRepairs() {
	c := w.coords[len(w.coords)-1]
	if w.healed || c.mover == nil {
		return
	}
	sh := w.shards[c.mover.giver.Other()][1]
	sh.hang(45*time.Millisecond, true)
	w.in(w.spread(10*time.Microsecond, 10*time.Millisecond), func() { sh.failOver(w.spread(time.Millisecond, 100*time.Millisecond)) })
}

// hangTaker keeps what a proof repairs from the taker's replicas for a while.
func (w *world) hangTaker() {
	w.shards[w.aim][1].hang(100*time.Millisecond, true)
}

// promoteLate has the giver fail over in a hold, while one of its replicas has got
// none of it.
func (w *world) promoteLate() {
	sh, d := w.shards[w.aim][0], 500*time.Millisecond
	sh.hang(d, false)
	w.in(w.between(d/50, d/5), func() {
		if !w.healed {
			sh.failOver(w.spread(time.Millisecond, 100*time.Millisecond))
		}
	})
}

// forgetProven has the taker's data fail over right after a commit: what the proof
// has shown must be there.
func (w *world) forgetProven() {
	if sh := w.shards[w.aim.Other()][1]; w.chance(0.5) {
		sh.failOver(w.spread(time.Millisecond, 100*time.Millisecond))
	}
}

func (w *world) failSome() {
	if !w.healed {
		w.someShard().failOver(w.spread(time.Millisecond, 12*time.Second))
	}
}

func (w *world) hangSome() {
	if !w.healed {
		w.someShard().hang(w.spread(20*time.Millisecond, 20*time.Second), false)
	}
}

// hangAndFail has a replica fall behind, and its master die soon after.
func (w *world) hangAndFail() {
	if w.healed {
		return
	}
	sh := w.someShard()
	d := w.spread(20*time.Millisecond, 2*time.Second)
	sh.hang(d, false)
	w.in(w.between(0, 2*d), func() {
		if !w.healed {
			sh.failOver(w.spread(50*time.Millisecond, 12*time.Second))
		}
	})
}

// slowSome makes packets late, between a process and one shard or both of a side.
func (w *world) slowSome() {
	if w.healed {
		return
	}
	p, s := w.someProc(), w.side()
	l := lateness{w.spread(100*time.Millisecond, 25*time.Second), w.t + w.spread(time.Millisecond, 20*time.Second)}
	which := w.rng.IntN(3)
	for i := range 2 {
		if which != i {
			p.slow[s][i] = l
		}
	}
	w.log("packets of %s to the %v (all but shard %d) take %v more until %v", p.name, s, which, l.by, l.until)
}

// dyingLink makes a member's answers from a control shard late, and then ends
// them: its last lease comes from an old one.
func (w *world) dyingLink() { w.dieLink(w.side()) }

// loseGiver ends a member's link to the giver of an offer that was made just now. It
// goes on at the taker.
func (w *world) loseGiver() { w.dieLink(w.aim.Other()) }

func (w *world) dieLink(s Side) {
	if w.healed {
		return
	}
	sm := w.members[w.rng.IntN(len(w.members))]
	sm.unheard = w.t + 20*time.Second
	p := &sm.proc
	w.log("the link of %s to the control shard of the %v is dying", p.name, s)
	p.replies[s] = lateness{w.between(1500*time.Millisecond, 2900*time.Millisecond), w.t + 5*time.Second}
	w.in(1100*time.Millisecond, func() {
		p.slow[s][0] = lateness{30 * time.Second, w.t + 20*time.Second}
	})
}

// cancel is an operator who changes his mind.
func (w *world) cancel() {
	c := w.coords[len(w.coords)-1]
	if !w.healed {
		c.do(func() { c.give(Input{Cancel: "cancelled"}) })
	}
}

func (w *world) crashMember() {
	i := w.rng.IntN(len(w.members))
	if w.healed || w.members[i].dead {
		return
	}
	w.members[i].dead = true
	w.log("%s has crashed", w.members[i].name)
	w.in(w.spread(time.Millisecond, 20*time.Second), w.addMember)
}

func (w *world) addMember() {
	w.stats.Boots++
	w.members = append(w.members, newSimMember(w, fmt.Sprintf("m%d", len(w.members))))
}

func (w *world) crashCoord() {
	c := w.coords[len(w.coords)-1]
	if w.healed || c.dead {
		return
	}
	c.dead = true
	w.log("%s has crashed", c.name)
	if w.chance(0.8) {
		w.anotherCoord(w.spread(time.Millisecond, 20*time.Second))
	}
}

func (w *world) anotherCoord(after time.Duration) {
	w.in(after, func() { w.coords = append(w.coords, newSimCoord(w, fmt.Sprintf("c%d", len(w.coords)))) })
}

func (w *world) jumpClock() {
	if w.healed {
		return
	}
	p := w.someProc()
	if w.t < p.thaw {
		return // a clock set back by as long as its machine was suspended tells nobody: a limit
	}
	d := w.spread(10*time.Millisecond, 2*time.Hour)
	if w.chance(0.5) {
		d = -d
	}
	w.log("the wall clock of %s jumps by %v", p.name, d)
	p.offset += d
}

// sideDown takes a side away for a while: both of its shards.
func (w *world) sideDown() {
	if w.healed {
		return
	}
	s := w.side()
	d := w.spread(time.Second, 30*time.Second)
	w.log("the %v is away for %v", s, d)
	for _, sh := range w.shards[s] {
		sh.away = w.t + d
	}
}
