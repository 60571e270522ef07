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

// fencedNow notes a member that was fenced during a move, with its lines as they
// were read before the fence.
func (t *term) fencedNow(id string, lines [3]protocol.Entry) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.fenced == nil {
		t.fenced = map[string][3]protocol.Entry{}
	}
	t.fenced[id] = lines
}

// strikeFenced takes the members that were fenced off the rolls, if they have
// not come back.
func (t *term) strikeFenced(ctx context.Context) {
	t.mu.Lock()
	gone := t.fenced
	t.fenced = nil
	t.mu.Unlock()
	for id, lines := range gone {
		for _, s := range protocol.Sides {
			if lines[s].ID == "" {
				continue
			}
			if _, err := t.sides[s].store.StrikeFenced(ctx, lines[s]); err != nil {
				t.log.Warn("fenced member stays on the roll", "op", "strike", "member", id, "err", err)
			}
		}
	}
}

// lines returns a member's entries on both rolls.
func (t *term) lines(ctx context.Context, id string) (out [3]protocol.Entry) {
	for _, s := range protocol.Sides {
		roll, err := t.sides[s].store.Roll(ctx)
		if err != nil {
			continue
		}
		for _, e := range roll {
			if e.ID == id {
				out[s] = e
			}
		}
	}
	return out
}
