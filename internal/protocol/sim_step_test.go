package protocol

import (
	"slices"
	"strings"
	"time"
)

// A lastStep is what an operator does once all has settled: one of the steps that
// are open in the phase that he finds, as status names them. Whatever has gone
// wrong before, it has to work.
type lastStep struct {
	to   Phase
	from Side // of a move
	goal map[string]int
	over bool
	why  string // it has not worked yet: a hold can be over its bound, a replica still be away
}

// phase is how far the migration has come by both records.
func (w *world) phase() Phase {
	a, b := w.shards[Source][0].st.rec, w.shards[Target][0].st.rec
	if a.Phase == Done || b.Phase == Done || b.Epoch > a.Epoch {
		return b.Phase
	}
	return a.Phase
}

// takeStep has the last step taken by a coordinator that lives.
func (w *world) takeStep() {
	phase := w.phase()
	steps := phaseSteps[phase]
	if len(steps) == 0 {
		w.fail("in phase %v there is no next step", phase)
		return
	}
	st := &lastStep{to: steps[w.rng.IntN(len(steps))]}
	st.plan(w.shards[Source][0].st.rec.Cuts, w.chance(0.5))
	w.step = st
	w.stats.Steps++
	w.log("the last step is from %v to %v: %v from the %v", phase, st.to, st.goal, st.from)
	if !w.plan.canFence {
		w.strikeDead()
	}
	if w.plan.busy {
		for _, sm := range w.members {
			for range 6 {
				sm.do(sm.hurry)
			}
		}
	}
	w.lead()
}

// plan says which slots move, if any.
func (st *lastStep) plan(cuts map[string]int, up bool) {
	all := map[string]int{}
	switch st.to {
	case Soak:
		st.from, st.goal = Source, all
	case Shadow:
		st.from, st.goal = Target, all
	case Cutover:
		cut := cuts["w"]
		if st.from = Target; cut == 0 || cut < Slots && up {
			st.from = Source
		}
		st.goal = map[string]int{"w": (cut + Slots) / 2}
		if st.from == Target {
			st.goal["w"] = (cut + 1) / 2
		}
	}
	for name, cut := range cuts {
		if st.to == Soak && cut < Slots {
			all[name] = Slots
		} else if st.to == Shadow && cut > 0 {
			all[name] = 0
		}
	}
}

// strikeDead is the operator's word that processes have ended, where nobody can
// be fenced.
func (w *world) strikeDead() {
	for _, sm := range w.members {
		for _, s := range Sides {
			if sm.dead {
				w.shards[s][0].apply(func(st *state) { delete(st.roll, sm.name) })
			}
		}
	}
}

// lead starts a coordinator whenever there is none.
func (w *world) lead() {
	if w.step.over || w.failure != "" {
		return
	}
	if !slices.ContainsFunc(w.coords, func(c *simCoord) bool { return !c.dead && w.t >= c.thaw }) {
		w.anotherCoord(0)
	}
	w.in(5*time.Second, w.lead)
}

// takeStep carries out the last step.
func (c *simCoord) takeStep() {
	st := c.w.step
	if st.goal != nil {
		c.begin(st.from, st.goal)
		return
	}
	// The first record decides: the source's that it is off, the target's that it is
	// done. Whoever finds one without the other makes the other.
	sides := [2]Side{Source, Target}
	if st.to == Done {
		sides = [2]Side{Target, Source}
	}
	for _, s := range sides {
		rec, other := c.recs[s], c.recs[s.Other()]
		if rec.Phase == st.to {
			continue
		}
		next, err := rec.End(Stamp{NextEpoch(rec, other), c.name, c.w.nonce()})
		if st.to == Done {
			next, err = rec.Finish(Stamp{NextEpoch(rec, other), c.name, c.w.nonce()})
		}
		switch {
		case err != nil && !rec.Same(c.w.shards[s][0].st.rec): // asleep since it was read
			c.after(10*time.Millisecond, c.leftovers)
			return
		case err != nil:
			c.w.fail("the next step to %v is refused: %v", st.to, err)
			return
		}
		c.cas(Change{s, rec, next}, func(Written) { c.after(10*time.Millisecond, c.leftovers) })
		return
	}
	c.stepped("")
}

// stepped tells how a try has ended; why is empty if it worked.
func (c *simCoord) stepped(why string) {
	st := c.w.step
	if st.over {
		return
	}
	if st.over = why == ""; st.over {
		c.w.log("the last step is done")
		if st.to == Done {
			c.w.stats.Finished++
		}
		return
	}
	if st.why = why; c.w.plan.busy && strings.HasSuffix(why, "has not acknowledged") {
		c.w.fail("the app is busy, and so the next step to %v is never prepared: %s", st.to, why)
	}
}

// stepTaken says what is missing once the last step is done.
func (w *world) stepTaken() string {
	if !w.step.over {
		return "the last step is not over: " + w.step.why
	}
	if phase := w.phase(); phase != w.step.to {
		return "the phase is " + phase.String() + " after the step to " + w.step.to.String()
	}
	for _, sm := range w.members {
		if p := sm.m.Phase(); !sm.dead && p != w.step.to {
			return sm.name + " takes the phase to be " + p.String()
		}
	}
	return w.settled()
}
