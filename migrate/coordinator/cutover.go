package coordinator

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/transload/transload/internal/protocol"
)

// A CutoverResult tells what was moved.
type CutoverResult struct {
	Phase protocol.Phase `json:"phase"`
	Gates []Gate         `json:"gates,omitempty"` // as they were before the last step
	Moves []MoveReport   `json:"moves"`
}

// Cutover moves authority to the target, a step at a time. It is handed to the
// coordinator that runs, if one does.
func (c *Coordinator) Cutover(ctx context.Context, req CutoverRequest) (CutoverResult, error) {
	req.Care, req.Seen = req.fill(c.opts), c.seen(ctx)
	return perform(ctx, c, "cutover", req, (*term).readyToMove, (*term).cutover)
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
	return t.waitPassed(ctx, stuckFor)
}

func (t *term) cutover(ctx context.Context, req CutoverRequest) (res CutoverResult, err error) {
	res.Phase = t.known().phase()
	if req.Seen != protocol.Shadow { // from there it only goes on
		if err := stillAsSeen("cutover", req.Seen, res.Phase); err != nil {
			return res, err
		}
	}
	if err := checkSteps(t.known(), req); err != nil {
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
		if err := t.waitReady(ctx, protocol.Target); err != nil {
			return res, err
		}
		if res.Gates, err = t.gates(ctx, protocol.Source, goal, req.Care); err != nil {
			return res, err
		}
		t.c.report("cutover", "moving to %d %%", percent)
		report, err := t.fencedStep(ctx, goal, req.Care)
		res.Moves = append(res.Moves, report)
		res.Phase = t.known().phase()
		if err != nil {
			return res, err
		}
	}
	return res, nil
}

// waitReady waits for the members, and for the sync, before a move to a side. A
// side that has no room left takes no copies: it is not waited for.
func (t *term) waitReady(ctx context.Context, taker protocol.Side) error {
	if err := hasRoom(taker, factsOf(ctx, t.sides[taker])); err != nil {
		return err
	}
	if err := t.waitObeyed(ctx); err != nil { // right after a move a member may not have said so yet
		return err
	}
	return t.waitPassed(ctx, stuckFor)
}

// fencedStep makes a step, with writers that do not use the client shut out before.
// They are let in again if it comes to nothing and no key has moved before.
func (t *term) fencedStep(ctx context.Context, goal map[string]int, care Care) (MoveReport, error) {
	if care.Fence != FenceACL {
		return t.step(ctx, protocol.Source, goal, care)
	}
	first := t.known().phase() == protocol.Shadow
	sh, err := t.shutOut(ctx, protocol.Source)
	var report MoveReport
	if err == nil {
		report, err = t.step(ctx, protocol.Source, goal, care)
	}
	if err != nil && !report.Committed && first {
		sh.undo(ctx)
	}
	return report, err
}

func (t *term) goal(only []string, cut int) map[string]int { return goalOf(t.known(), only, cut) }

// goalOf returns the cuts that the workloads shall have, without those that have
// them already.
func goalOf(recs readings, only []string, cut int) map[string]int {
	goal := map[string]int{}
	for w, now := range recs[protocol.Source].Record.Cuts {
		if now != cut && (len(only) == 0 || slices.Contains(only, w)) {
			goal[w] = cut
		}
	}
	return goal
}

// checkSteps refuses steps that cannot be made.
func checkSteps(recs readings, req CutoverRequest) error {
	cuts := recs[protocol.Source].Record.Cuts
	for _, w := range req.Only {
		if _, ok := cuts[w]; !ok {
			return refuse("workload", "name one of these: "+strings.Join(sortedKeys(cuts), ", "), "there is no workload %q", w)
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

// step makes one move, and looks at the members afterwards.
func (t *term) step(ctx context.Context, from protocol.Side, goal map[string]int, care Care) (MoveReport, error) {
	hold, err := t.holdFor(care)
	if err != nil {
		return MoveReport{}, err
	}
	if err := t.emptyCold(ctx, from.Other(), goal); err != nil {
		return MoveReport{}, err
	}
	if err := t.syncer.equaliseStreams(ctx, goal); err != nil {
		return MoveReport{}, err
	}
	before := t.holds(ctx)
	taker := from.Other()
	refilled := t.lost[taker].Load() && !t.known().owns(taker)
	report, err := t.syncer.move(ctx, from, goal, hold)
	if refilled && report.Committed {
		t.madeGood(ctx, taker)
	}
	t.moved(ctx, &report, before)
	return report, err
}

// holdFor returns how long a move may hold writes. Where everything must be
// compared in the hold, the last pass tells whether that fits.
func (t *term) holdFor(care Care) (time.Duration, error) {
	if !t.syncer.full() {
		return care.Hold, nil
	}
	need := t.fullPass()
	if need <= care.MaxHold {
		return care.MaxHold, nil // a bound: the hold ends as soon as all is compared
	}
	return 0, refuse("hold", fmt.Sprintf("say --max-hold=%v if writes may be held for so long, or use a server with CLIENT TRACKING", roundUp(need)),
		"a server has no change feed, so everything is compared in the hold: that takes about %v, and %v is allowed",
		need.Round(time.Millisecond), care.MaxHold)
}

// fullPass is how long a proof by a full pass is expected to take: what must be
// repaired is compared once more.
func (t *term) fullPass() time.Duration { return 2*t.syncer.took() + 20*time.Millisecond }

func roundUp(d time.Duration) time.Duration {
	const step = 100 * time.Millisecond
	return (d + step - 1).Truncate(step)
}
