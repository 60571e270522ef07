package protocol

import (
	"slices"
	"time"
)

// A plan is what a seed has in store for a run.
type plan struct {
	rtt      time.Duration
	spikes   float64
	swallow  float64       // how many writes hang on the way
	lose     float64       // how many packets are lost
	mute     float64       // how many answers to a coordinator that changes a record
	drop     float64       // how many copies members leave out
	lazy     time.Duration // how long the coordinator lets names lie
	deaf     bool          // a kill reaches nobody; then members copy nothing
	waits    bool          // data shards fail over too, and the app asks for replication
	tracked  bool
	canFence bool
	hold     time.Duration
	moves    int
	until    time.Duration // faults and moves end then
	late     bool          // an offer stays on the way until another move is held
	eager    bool          // who was stopped with a write in hand goes on with that first
	busy     bool          // the app never rests during the last step
	unsafe   bool          // the first line of the next member is forgotten
	onStage  map[Stage][]func()
	next     func(*world, Record) (Side, map[string]int)
}

// makePlan draws a plan. One process is frozen for a while in every run; more
// faults come at random moments, or right after a record has changed.
func (w *world) makePlan() {
	p := &w.plan
	p.onStage = map[Stage][]func(){}
	p.rtt = w.spread(100*time.Microsecond, 3*time.Millisecond)
	p.spikes = w.share(2) + 0.0005
	p.swallow = w.share(2)
	p.drop = w.rng.Float64()
	p.lazy = w.spread(20*time.Millisecond, 2*time.Second)
	if p.deaf = w.chance(0.2); p.deaf {
		p.drop, p.rtt = 1, w.spread(60*time.Microsecond, 500*time.Microsecond)
	}
	p.waits = w.chance(0.5)
	p.tracked = !w.chance(0.1)
	p.canFence = !w.chance(0.05)
	p.hold = w.spread(150*time.Millisecond, 1500*time.Millisecond)
	p.moves = 2 + w.rng.IntN(3)
	p.until = 70 * time.Second
	if p.lose = w.share(0.3); w.chance(0.5) {
		p.lose = 0
	}
	p.mute = w.share(20) * w.rng.Float64()
	p.busy = w.chance(0.01)
	if p.late = !p.deaf && w.chance(0.05); p.late {
		p.moves, p.drop, p.lazy = 6, 1, 2*time.Second
		w.onStageAlways(Held, w.lateOffer)
	}
	p.next = nextMove
	if p.deaf && w.seed%4 == 1 {
		p.moves, p.rtt, p.eager = 1, 60*time.Microsecond, true
		w.in(w.spread(time.Millisecond, 150*time.Millisecond), w.sleepyWrites)
		return
	}
	w.in(w.spread(200*time.Millisecond, 5*time.Second), w.freezeSome)
	if p.deaf {
		for range 4 {
			w.schedule(w.freezeSome)
		}
	}
	if !p.deaf && w.seed%16 == 5 {
		p.drop = 0
		w.onStageAlways(Prepared, w.slowCopies)
	}
	if !p.deaf && w.chance(0.1) {
		p.drop = 0
		w.on(Prepared, w.spread(10*time.Microsecond, time.Millisecond), w.sleepyCopy)
	}
	if p.waits && w.chance(0.2) {
		p.drop, p.lazy = 1, 2*time.Second
		w.onStageAlways(underProof, w.hangTaker)
		w.onStageAlways(Committed, w.forgetProven)
	}
	if w.seed%16 == 3 {
		w.onStageAlways(Held, w.promoteLate)
	}
	if w.chance(0.1) {
		w.on(Offered, w.spread(10*time.Microsecond, time.Millisecond), w.loseGiver)
	}
	if w.chance(0.08) {
		w.in(w.spread(300*time.Millisecond, 3*time.Second), func() { p.unsafe = true; w.addMember() })
	}
	if w.chance(0.4) { // a proof is given up
		w.on(underProof, w.spread(10*time.Microsecond, 10*time.Millisecond), w.cancel)
	}
	if w.chance(0.1) {
		w.on(Held, w.spread(10*time.Microsecond, 3*time.Millisecond), w.leaveHold)
	}
	if w.chance(0.15) {
		w.in(w.spread(200*time.Millisecond, 3*time.Second), w.sleepyCoord)
	}
	if p.waits && w.chance(0.4) { // what was repaired is forgotten
		stages := []Stage{underProof, Offered, Committed, underCount}
		w.on(stages[w.rng.IntN(len(stages))], w.spread(10*time.Microsecond, 5*time.Millisecond), w.forgetRepairs)
	}
	for range w.rng.IntN(7) {
		faults := []func(){w.freezeSome, w.freezeSome, w.failSome, w.failSome, w.hangSome, w.slowSome, w.slowSome, w.crashMember,
			w.crashCoord, w.jumpClock, w.sideDown, w.hangAndFail, w.hangAndFail, w.breakFeed, w.forget, w.forget, w.forget,
			w.dyingLink, w.dyingLink, w.cancel, w.cancel, w.blackout}
		w.schedule(faults[w.rng.IntN(len(faults))])
	}
}

// schedule has a fault happen at some moment, mostly close to a step of a move.
func (w *world) schedule(fault func()) {
	if w.chance(0.3) {
		w.in(w.spread(100*time.Millisecond, 30*time.Second), fault)
		return
	}
	stages := []Stage{Prepared, Prepared, Prepared, Held, Held, Held, Offered, Offered, Committed, Committed, Granted, aborted,
		underProof, underProof, underProof, underCount}
	s := stages[w.rng.IntN(len(stages))]
	lag := w.spread(50*time.Microsecond, 500*time.Millisecond)
	if w.chance(0.3) {
		lag = 0
	}
	w.on(s, lag, fault)
}

// on has a fault happen once, a while after one of the first times that a stage
// is reached.
func (w *world) on(s Stage, lag time.Duration, fault func()) {
	nth := w.rng.IntN(3)
	w.plan.onStage[s] = append(w.plan.onStage[s], func() {
		if nth--; nth != -1 {
			return
		}
		if lag == 0 {
			fault()
		} else {
			w.in(lag, fault)
		}
	})
}

// onStageAlways has a fault happen whenever a stage is reached, in that step.
func (w *world) onStageAlways(s Stage, fault func()) {
	w.plan.onStage[s] = append(w.plan.onStage[s], fault)
}

const (
	aborted    Stage = "none"     // of a record that is in no move
	underProof Stage = "proving"  // of a mover
	underCount Stage = "counting" // of a mover
)

// trigger makes happen what is planned for a stage.
func (w *world) trigger(aim Side, stage Stage) {
	w.aim = aim
	if w.healed {
		return
	}
	for _, f := range w.plan.onStage[stage] {
		f()
	}
}

// changed is told of every change of a record, on the server.
func (w *world) changed(side Side, old, rec Record) {
	stage := aborted
	if rec.Move != nil {
		stage = rec.Move.Stage
	}
	w.log("the %v has epoch %d at %s by %s, cuts %v", side, rec.Epoch, stage, rec.Writer, rec.Cuts)
	w.hot = w.t + 150*time.Millisecond
	if stage == Committed {
		w.committed[rec.Move.ID] = true
	}
	if stage == Granted && !old.At(rec.Move.ID, Granted) && rec.Epoch > old.Epoch {
		if !w.grants[rec.Move.ID] { // else a failover forgot the grant, and the taker has gone on meanwhile
			w.granted(side.Other(), w.beforeCommit(side, rec.Move))
		}
		w.grants[rec.Move.ID] = true
	}
	for _, sm := range w.members {
		if w.t >= sm.unheard && w.chance(0.9) { // nudges are lost now and then
			w.in(sm.delay(w.shards[side][0]), func() { sm.do(func() { sm.refresh(side) }) })
		}
	}
	w.trigger(side, stage)
}

// beforeCommit is a record in which the slots of a move that was committed still
// count as moving.
func (w *world) beforeCommit(taker Side, mv *Move) Record {
	r := w.shards[taker.Other()][0].st.rec
	cuts := map[string]int{}
	for name, goal := range mv.Goal {
		cuts[name] = Slots
		if goal == Slots {
			cuts[name] = 0
		}
		if from, ok := w.cutsBefore[mv.ID][name]; ok {
			cuts[name] = from
		}
	}
	r.Cuts, r.Move = cuts, mv
	return r
}

// refreshed is told of a line before it is written, and tells the coordinators of a
// new acknowledgement.
func (w *world) refreshed(side Side, e Entry, sm *simMember) {
	line, on := w.shards[side][0].st.roll[e.ID]
	if !on && w.plan.unsafe && !w.healed {
		w.plan.unsafe = false
		w.forgetLine(side, sm)
	}
	if line.Ack == e.Ack {
		return
	}
	w.log("%s acknowledges %v to the %v", e.ID, e.Ack, side)
	for _, c := range w.coords {
		if w.chance(0.9) {
			w.in(c.delay(w.shards[side][0]), func() { c.do(c.readRoll) })
		}
	}
}

func (n *node) cas(ch Change, lock string) Record {
	sh := n.sh
	if lock != "" && sh.st.lock.id != lock {
		return sh.st.rec
	}
	if old := sh.st.rec; old.Same(ch.Old) {
		if ch.New.Move != nil && ch.New.Move.Stage == Prepared {
			sh.w.cutsBefore[ch.New.Move.ID] = ch.New.Cuts
		}
		sh.apply(func(s *state) { s.rec = ch.New })
		sh.w.changed(sh.side, old, ch.New)
	}
	return sh.st.rec
}

func (sh *shard) rollNow() []Entry {
	out := make([]Entry, 0, len(sh.st.roll))
	for _, e := range sh.st.roll {
		out = append(out, e)
	}
	slices.SortFunc(out, func(a, b Entry) int { return slices.Compare([]byte(a.ID), []byte(b.ID)) })
	return out
}

// nextMove picks a side to give, and cuts to reach.
func nextMove(w *world, r Record) (Side, map[string]int) {
	from := Source
	if w.chance(0.4) {
		from = Target
	}
	if w.plan.deaf { // everything goes to and fro
		if r.Cuts["w"] == Slots {
			return Target, map[string]int{"v": 0, "w": 0}
		}
		return Source, map[string]int{"v": Slots, "w": Slots}
	}
	for range 2 {
		goal := map[string]int{}
		for _, name := range []string{"v", "w"} {
			cut := r.Cuts[name]
			if to := Cut([]int{0, 10, 50, 100}[w.rng.IntN(4)]); (from == Source) == (to > cut) && to != cut {
				goal[name] = to
			}
		}
		if len(goal) > 0 {
			return from, goal
		}
		from = from.Other()
	}
	if r.Cuts["w"] < Slots {
		return Source, map[string]int{"w": Slots}
	}
	return Target, map[string]int{"w": 0}
}

// moved counts how moves end, and fails if the verdict is not what the giver's
// record says.
func (w *world) moved(m *Mover, e MoveEnd) {
	sh := w.shards[m.giver][0]
	switch {
	case !e.Committed && sh.master.up && sh.st.rec.At(m.cfg.ID, Committed):
		w.fail("the move %s is told to be aborted (%s), and is committed", m.cfg.ID, e.Reason)
	case e.Committed && !w.committed[m.cfg.ID]:
		w.fail("the move %s is told to be committed, and never was", m.cfg.ID)
	case !e.Committed:
		w.stats.Aborted++
	case m.giver == Target:
		w.stats.Rollbacks++
		fallthrough
	default:
		w.stats.Committed++
	}
}
