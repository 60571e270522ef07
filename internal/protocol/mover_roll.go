package protocol

import (
	"fmt"
	"slices"
)

// askRoll makes the roll be read anew: nothing counts until it has been.
func (m *Mover) askRoll() Output {
	m.rollSeq++
	m.rolled = false
	return Output{Kind: DoRoll, Seq: m.rollSeq}
}

// look takes a reading of the giver's roll.
func (m *Mover) look(r Roll, now Instant) {
	if r.Seq != m.rollSeq {
		return
	}
	m.rolled, m.looked = true, r.Asked
	seen := map[string]bool{}
	for _, e := range r.Entries {
		seen[e.ID] = true
		w := m.watch[e.ID]
		if w == nil {
			// Counted from the first sight, never from a clock of the server's.
			w = &watched{changed: now}
			m.watch[e.ID] = w
		}
		if e.Beat != w.entry.Beat {
			w.changed = now
			w.fenced, w.fencing = false, false // it lives, and may have a new lease since
		}
		w.entry = e
	}
	for id := range m.watch {
		if !seen[id] {
			delete(m.watch, id) // it said goodbye: its line was on every replica before its first lease
		}
	}
}

// recount drops every acknowledgement and fence that was counted, and reads the
// roll anew: what was counted for a record that was not safe says nothing.
func (m *Mover) recount() []Output {
	m.forgetAcks()
	for _, w := range m.watch {
		w.fenced = false
	}
	return []Output{m.askRoll()}
}

// forgetAcks makes every acknowledgement be read anew.
func (m *Mover) forgetAcks() {
	for _, w := range m.watch {
		w.entry.Ack = Ack{}
	}
}

// acked reports whether every member has acknowledged the stage, or is fenced.
func (m *Mover) acked(stage Stage) bool {
	for _, w := range m.watch {
		if !w.fenced && m.lacks(w, stage) != "" {
			return false
		}
	}
	return m.rolled
}

// lacks says what keeps a member's acknowledgement of a stage from counting.
// Before the commit it must also hold leases on both sides, from the very
// servers that the mover knows: one that still speaks to a demoted master proves
// nothing about the new one.
func (m *Mover) lacks(w *watched, stage Stage) string {
	switch e := w.entry; {
	case stage != Committed && !e.Ready:
		return "has no lease on both sides"
	case stage != Committed && e.RunIDs != [2]string{m.run[Source], m.run[Target]}:
		return "has its leases from other servers than the coordinator knows"
	case e.Ack != Ack{m.cfg.ID, stage}:
		return "has not acknowledged"
	}
	return ""
}

// silent reports whether a member was seen to say nothing for longer than a lease
// can last: from when its last beat was noticed to when the last reading was asked
// for. What a coordinator has slept through it has not seen.
func (m *Mover) silent(w *watched) bool { return m.looked.Since(w.changed) >= SilentFor }

// fenceSilent asks for a fence against each member that is silent. Where nobody can be fenced a move needs every
// acknowledgement; but once it is committed there is no way back, and no copy is
// under way, so that a lease that has ended must do.
func (m *Mover) fenceSilent(now Instant) []Output {
	var out []Output
	for _, id := range m.ids() {
		w := m.watch[id]
		switch {
		case w.fenced || w.fencing || !m.silent(w):
		case !m.cfg.CanFence:
			w.fenced = m.stage == counting
		case w.failed == (Instant{}) || now.Since(w.failed) >= fenceEvery:
			w.fencing = true
			out = append(out, Output{Kind: DoFence, Member: id})
		}
	}
	return out
}

func (m *Mover) fenced(f Fenced, now Instant) {
	w := m.watch[f.Member]
	if w == nil || !w.fencing {
		return
	}
	w.fencing, w.fenced = false, f.OK
	if !f.OK {
		w.failed = now
	}
}

// waitingFor names the members that have not acknowledged, with what they say
// they wait for.
func (m *Mover) waitingFor(stage Stage) string {
	out := ""
	for _, id := range m.ids() {
		w := m.watch[id]
		lacks := m.lacks(w, stage)
		if w.fenced || lacks == "" {
			continue
		}
		if out != "" {
			out += "; "
		}
		out += "member " + id + " " + lacks
		if w.entry.Note != "" {
			out += " (" + w.entry.Note + ")"
		}
	}
	if out == "" && stage == Prepared && m.dirty > m.cfg.FewNames {
		return fmt.Sprintf("%d names are still to be compared", m.dirty)
	}
	if out == "" {
		return "every member has acknowledged"
	}
	return out
}

// Unfenced names the members that have said nothing for longer than a lease can
// last, and that were not fenced.
func (m *Mover) Unfenced() (out []string) {
	for _, id := range m.ids() {
		if w := m.watch[id]; !w.fenced && m.silent(w) {
			out = append(out, id)
		}
	}
	return out
}

// ids returns the members in a fixed order, so that a simulation's seed repeats.
func (m *Mover) ids() []string {
	ids := make([]string, 0, len(m.watch))
	for id := range m.watch {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	return ids
}

// WaitingFor says in words what the move waits for now.
func (m *Mover) WaitingFor() string {
	switch m.stage {
	case gathering:
		return m.waitingFor(Prepared)
	case draining:
		return m.waitingFor(Held)
	case counting:
		return m.waitingFor(Committed)
	}
	return m.stage.String()
}
