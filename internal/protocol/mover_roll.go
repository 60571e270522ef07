package protocol

import (
	"fmt"
	"slices"
)

// look takes a reading of the giver's roll.
func (m *Mover) look(entries []Entry, now Instant) {
	seen := map[string]bool{}
	for _, e := range entries {
		seen[e.ID] = true
		w := m.watch[e.ID]
		if w == nil {
			// Counted from the first sight, never from a clock of the server's.
			w = &watched{changed: now}
			m.watch[e.ID] = w
		}
		if e.Beat != w.entry.Beat {
			w.changed = now
			w.fenced = false // it lives, and has asked for a new lease since
		}
		w.entry = e
	}
	for id := range m.watch {
		if !seen[id] {
			delete(m.watch, id) // it said goodbye
		}
	}
}

// forgetAcks makes every acknowledgement be read anew: those that were read
// before a record was safe do not count.
func (m *Mover) forgetAcks() {
	for _, w := range m.watch {
		w.entry.Ack = Ack{}
	}
}

// acked reports whether every member has acknowledged the stage, or is fenced.
func (m *Mover) acked(stage Stage) bool {
	for _, w := range m.watch {
		if !w.fenced && w.entry.Ack != (Ack{m.cfg.ID, stage}) {
			return false
		}
		if !w.fenced && stage != Committed && !w.entry.Ready {
			return false
		}
	}
	return true
}

// fenceSilent asks for a fence against each member that has been silent for
// longer than a lease can last.
func (m *Mover) fenceSilent(now Instant) []Output {
	var out []Output
	for _, id := range m.ids() {
		w := m.watch[id]
		if w.fenced || w.fencing || now.Since(w.changed) < SilentFor {
			continue
		}
		w.fencing = true
		out = append(out, Output{Kind: DoFence, Member: id})
	}
	return out
}

func (m *Mover) fenced(f Fenced) {
	w := m.watch[f.Member]
	if w == nil {
		return
	}
	w.fencing = false
	// Where nobody can be fenced, a move needs every acknowledgement. Once it is
	// committed there is no way back, and a lease that has ended must do.
	if f.OK || (!m.cfg.CanFence && m.stage == counting) {
		w.fenced = true
	}
}

// waitingFor names the members that have not acknowledged, with what they say
// they wait for.
func (m *Mover) waitingFor(stage Stage) string {
	out := ""
	for _, id := range m.ids() {
		w := m.watch[id]
		if w.fenced || (w.entry.Ack == Ack{m.cfg.ID, stage} && w.entry.Ready) {
			continue
		}
		if out != "" {
			out += "; "
		}
		out += "member " + id
		switch {
		case !w.entry.Ready:
			out += " has no lease on both sides"
		default:
			out += " has not acknowledged"
		}
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
