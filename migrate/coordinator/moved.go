package coordinator

import (
	"context"
	"time"

	"github.com/transload/transload/internal/protocol"
)

// tellFor is how long after a move the members are given to tell how it was for
// them: they do so with their next refresh but one.
const tellFor = 2500 * time.Millisecond

// moved looks at the members after a move: how long their operations waited.
// What was fenced in it leaves the roll.
func (t *term) moved(ctx context.Context, r *MoveReport, before map[string]int64) {
	t.strikeFenced(ctx)
	t.mu.Lock()
	t.lastMove = *r
	t.mu.Unlock()
	if r.Committed {
		t.listenAfter(ctx, r, before)
	}
	t.noteMove(ctx, *r)
	t.writeLive(ctx) // who asks for the status now is told of all of it
}

// listenAfter waits until every member has told how the move was for it.
func (t *term) listenAfter(ctx context.Context, r *MoveReport, before map[string]int64) {
	first := map[string]uint64{}
	for began := time.Now(); time.Since(began) < tellFor; {
		roll, err := t.sides[r.From.Other()].store.Roll(ctx)
		if err != nil {
			return
		}
		all := true
		for _, e := range roll {
			if first[e.ID] == 0 {
				first[e.ID] = e.Beat
			}
			all = all && e.Beat >= first[e.ID]+4 // two sides, two refreshes each
			if about, ok := aboutOf(e); ok && about.Holds.Count > before[e.ID] {
				r.LongestWait = max(r.LongestWait, about.Holds.LastMS)
			}
		}
		if all || !pause(ctx, lookEvery) {
			break
		}
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.lastMove = *r
}

// holds returns how many holds each member has seen.
func (t *term) holds(ctx context.Context) map[string]int64 {
	out := map[string]int64{}
	for _, s := range protocol.Sides {
		roll, err := t.sides[s].store.Roll(ctx)
		if err != nil {
			continue // then a wait of an earlier move may be told again
		}
		for _, e := range roll {
			if about, ok := aboutOf(e); ok {
				out[e.ID] = max(out[e.ID], about.Holds.Count)
			}
		}
	}
	return out
}

// A rollSeen is a roll as it was read at the beginning of a move.
type rollSeen struct {
	at    protocol.Instant
	beats map[string]uint64
}

// see reads a side's roll. If it does not answer, nobody counts as seen.
func (t *term) see(ctx context.Context, s protocol.Side) rollSeen {
	ctx, cancel := context.WithTimeout(ctx, askFor)
	defer cancel()
	r := rollSeen{beats: map[string]uint64{}}
	roll, err := t.sides[s].store.Roll(ctx)
	if err != nil {
		return r
	}
	r.at = t.now() // after the answer: who refreshed before it was read had no later lease
	for _, e := range roll {
		r.beats[e.ID] = e.Beat
	}
	return r
}

// silent reports whether a line shows that its member has said nothing on that
// roll for longer than a lease.
func (r rollSeen) silent(e protocol.Entry, now protocol.Instant) bool {
	beat, ok := r.beats[e.ID]
	return ok && beat == e.Beat && now.Since(r.at) >= protocol.SilentFor
}

// A fencedLine is the line of a member that was fenced, as it was read before.
type fencedLine struct {
	side  protocol.Side
	entry protocol.Entry
}

// fencedNow notes the lines of a member that was fenced during a move.
func (t *term) fencedNow(lines []fencedLine) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.fenced = append(t.fenced, lines...)
}

// strikeFenced takes the members that were fenced off the rolls, if they have not
// come back.
func (t *term) strikeFenced(ctx context.Context) {
	t.mu.Lock()
	gone := t.fenced
	t.fenced = nil
	t.mu.Unlock()
	for _, l := range gone {
		if _, err := t.sides[l.side].store.StrikeFenced(ctx, l.entry); err != nil {
			t.log.Warn("fenced member stays on the roll", "op", "strike", "member", l.entry.ID, "err", err)
		}
	}
}

// silentLines returns a member's lines on the rolls on which it is silent. That is
// the giver's, as the mover saw. One that has lost that side alone may hold a lease
// of the taker's, and must stay on the roll by which the next move finds it.
func (d *driver) silentLines(ctx context.Context, id string) (out []fencedLine) {
	asked := d.t.now()
	for _, s := range protocol.Sides {
		roll, err := d.t.sides[s].store.Roll(ctx)
		if err != nil {
			continue
		}
		for _, e := range roll {
			if e.ID == id && (s == d.giver || d.taker.silent(e, asked)) {
				out = append(out, fencedLine{s, e})
			}
		}
	}
	return out
}
