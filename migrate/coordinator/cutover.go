package coordinator

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/transload/transload/internal/protocol"
)

// A CutoverRequest says what is to be moved to the target.
type CutoverRequest struct {
	To    []int         `json:"to"`              // percent of each workload, in ascending steps
	Only  []string      `json:"only,omitempty"`  // workloads; none means all
	Every time.Duration `json:"every,omitempty"` // pause between two steps
}

// A CutoverResult tells what was moved.
type CutoverResult struct {
	Phase protocol.Phase `json:"phase"`
	Moves []MoveReport   `json:"moves"`
}

// Cutover moves authority to the target, a step at a time.
func (c *Coordinator) Cutover(ctx context.Context, req CutoverRequest) (res CutoverResult, err error) {
	err = c.leading(ctx, "cutover", func(ctx context.Context, t *term) error {
		if err := t.readyToMove(ctx); err != nil {
			return err
		}
		res, err = t.cutover(ctx, req)
		return err
	})
	return res, err
}

// readyToMove makes a term that has just begun as ready as one that has run for
// long.
func (t *term) readyToMove(ctx context.Context) error {
	if err := t.load(ctx, false); err != nil {
		return err
	}
	t.keep(ctx)
	if err := t.waitObeyed(ctx); err != nil {
		return err
	}
	return t.waitPassed(ctx)
}

func (t *term) cutover(ctx context.Context, req CutoverRequest) (res CutoverResult, err error) {
	res.Phase = t.known().phase()
	if err := t.checkSteps(req); err != nil {
		return res, err
	}
	for i, percent := range req.To {
		if i > 0 && req.Every > 0 {
			t.c.report("cutover", "next step at %s", time.Now().Add(req.Every).Format(time.TimeOnly))
			if !pause(ctx, req.Every) {
				return res, fmt.Errorf("coordinator: cutover: %w", context.Cause(ctx))
			}
		}
		goal := t.goal(req.Only, protocol.Cut(percent))
		if len(goal) == 0 {
			continue
		}
		if err := t.waitPassed(ctx); err != nil {
			return res, err
		}
		hold, err := t.holdFor(goal)
		if err != nil {
			return res, err
		}
		t.c.report("cutover", "moving to %d %%", percent)
		report, err := t.syncer.move(ctx, protocol.Source, goal, hold)
		t.moved(ctx, &report)
		res.Moves = append(res.Moves, report)
		res.Phase = t.known().phase()
		if err != nil {
			return res, err
		}
	}
	return res, nil
}

// goal returns the cuts that the workloads shall have, without those that have
// them already.
func (t *term) goal(only []string, cut int) map[string]int {
	goal := map[string]int{}
	for w, now := range t.known()[protocol.Source].Record.Cuts {
		if now != cut && (len(only) == 0 || slices.Contains(only, w)) {
			goal[w] = cut
		}
	}
	return goal
}

// checkSteps refuses steps that cannot be made.
func (t *term) checkSteps(req CutoverRequest) error {
	cuts := t.known()[protocol.Source].Record.Cuts
	for _, w := range req.Only {
		if _, ok := cuts[w]; !ok {
			return refuse("workload", "see `migrate status` for the names", "there is no workload %q", w)
		}
	}
	last := 0
	for w, cut := range cuts {
		if len(req.Only) == 0 || slices.Contains(req.Only, w) {
			last = max(last, protocol.Percent(cut))
		}
	}
	if len(req.To) == 0 {
		return refuse("steps", "say how far: --to 10,50,100", "no step was given")
	}
	for _, p := range req.To {
		switch {
		case p < 1 || p > 100:
			return refuse("steps", "a percentage of 1 to 100 is wanted", "%d", p)
		case p < last:
			return refuse("steps", "cutover only goes up; `migrate rollback` goes back", "%d %% after %d %%", p, last)
		}
		last = p
	}
	return nil
}

// holdFor returns how long a move may hold writes. Where everything must be
// compared in the hold, the last pass tells whether that fits.
func (t *term) holdFor(goal map[string]int) (time.Duration, error) {
	o := t.c.opts
	if !t.syncer.full() {
		return o.Hold, nil
	}
	need := 2*t.syncer.took() + 20*time.Millisecond // what must be repaired is compared once more
	switch {
	case need <= o.Hold:
		return o.Hold, nil
	case need <= o.MaxHold:
		return o.MaxHold, nil
	}
	return 0, refuse("hold", fmt.Sprintf("say --max-hold=%v if writes may be held for so long, or use a server with CLIENT TRACKING", roundUp(need)),
		"a server has no change feed, so everything is compared in the hold: that takes about %v, and %v is allowed", need.Round(time.Millisecond), o.MaxHold)
}

func roundUp(d time.Duration) time.Duration {
	const step = 100 * time.Millisecond
	return (d + step - 1).Truncate(step)
}

// moved looks at the members after a move: how long they waited, and which have
// fallen silent.
func (t *term) moved(ctx context.Context, r *MoveReport) {
	r.LongestWait = 0
}
