package protocol

import "time"

// endSlack is what it may take to end a hold that is over its bound, beside what
// the rules give: a nudge that was lost, a wish that was not carried out at once,
// questions to both sides with some packets late.
const endSlack = 5 * time.Second

// A watch is since when a side has stood at one record of a move, on one server
// and with one member there that could end it. A failover, and a member that takes
// the place of another, begin the wait for the silent anew.
type watch struct {
	nonce, runID, member string
	since                time.Duration
}

// watchHolds fails when a hold, or a commit that is not granted, stands for longer
// than it may although somebody is there to end it.
func (w *world) watchHolds() {
	var seen [3]watch
	var look func()
	look = func() {
		for _, s := range Sides {
			rec, runID := w.shards[s][0].st.rec, w.shards[s][0].master.runID
			bound, member := w.heldFor(s, rec)
			if now := (watch{rec.Nonce, runID, member, seen[s].since}); bound == 0 || now != seen[s] {
				now.since = w.t
				seen[s] = now
			}
			if d := w.t - seen[s].since; bound > 0 && d > bound+endSlack {
				w.fail("the %v stands at %s for %v", s, rec.Move.Stage, d)
			}
		}
		w.in(250*time.Millisecond, look)
	}
	look()
}

// heldFor returns how long the giver's record may keep writes waiting, or 0 if it
// does not, or if nobody is there who could end it; and a member who could. While the
// giver has not failed over since the hold was written, the taker is not needed for
// that.
func (w *world) heldFor(s Side, rec Record) (bound time.Duration, member string) {
	giver, taker := w.shards[s][0], w.shards[s.Other()][0]
	mv := rec.Move
	if mv == nil || mv.From != s || !giver.there() {
		return 0, ""
	}
	alone := mv.Stage == Held && giver.master.runID == mv.RunID
	open := mv.Stage == Committed && rec.Epoch > taker.st.rec.Epoch
	if mv.Stage != Held && !open || !alone && !taker.there() {
		return 0, ""
	}
	for _, sm := range w.members {
		if sm.dead || w.t < sm.thaw || !sm.m.Record(s).Same(rec) || !sm.m.Lease(s).Valid(sm.now()) || !sm.reaches(s) || !sm.reaches(s.Other()) {
			continue
		}
		if open {
			return SilentFor, sm.name
		}
		return time.Duration(mv.HoldMS) * time.Millisecond, sm.name
	}
	return 0, ""
}

// there reports whether a shard answers.
func (sh *shard) there() bool { return sh.master.up && sh.w.t >= sh.away }

// reaches reports whether no packet of a process to a control shard is late.
func (p *proc) reaches(s Side) bool {
	l, r := p.slow[s][0], p.replies[s]
	return p.w.t >= l.until+l.by && p.w.t >= r.until+r.by
}
