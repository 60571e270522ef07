package coordinator

import (
	"context"

	"github.com/transload/transload/internal/protocol"
)

// A Preview tells what a cutover or a rollback would do, and what stands in its
// way.
type Preview struct {
	Phase protocol.Phase `json:"phase"`
	Gates []Gate         `json:"gates"` // for the first step
	Steps []Step         `json:"steps"`
}

// A Step is one move of a preview.
type Step struct {
	Percent  int              `json:"percent"`
	Cuts     map[string]int   `json:"percent_by_workload"` // of the workloads that move
	Keys     map[string]int64 `json:"keys"`                // that move, by workload
	Queues   []string         `json:"queues,omitempty"`    // asynq queues that move, whole
	Measured bool             `json:"measured"`            // the keys were counted, not estimated
}

// Err returns the refusal that the step would meet now, or nil.
func (p Preview) Err() error { return shut(p.Gates) }

// PreviewCutover tells what a cutover would do, and moves nothing.
func (c *Coordinator) PreviewCutover(ctx context.Context, req CutoverRequest) (Preview, error) {
	req.Care = req.fill(c.opts)
	if c.running(ctx) {
		return follow[Preview](ctx, c, previewCutover, req)
	}
	return c.previewCutover(ctx, nil, req)
}

// PreviewRollback tells what a rollback would do, and moves nothing.
func (c *Coordinator) PreviewRollback(ctx context.Context, req RollbackRequest) (Preview, error) {
	req.Care = req.fill(c.opts)
	if c.running(ctx) {
		return follow[Preview](ctx, c, previewRollback, req)
	}
	return c.previewRollback(ctx, nil, req)
}

func (t *term) previewCutover(ctx context.Context, req CutoverRequest) (Preview, error) {
	return t.c.previewCutover(ctx, t, req)
}

func (t *term) previewRollback(ctx context.Context, req RollbackRequest) (Preview, error) {
	return t.c.previewRollback(ctx, t, req)
}

// running reports whether a coordinator's lock is held and beats.
func (c *Coordinator) running(ctx context.Context) bool {
	b := &beats{c: c}
	_ = b.look(ctx)
	first := b.seen
	if first[protocol.Source].ID == "" && first[protocol.Target].ID == "" {
		return false
	}
	for range 2 * int(beatEvery/lookEvery) {
		if !pause(ctx, lookEvery) {
			return false
		}
		if err := b.look(ctx); err != nil {
			return false
		}
		for _, s := range protocol.Sides {
			if first[s].ID != "" && b.seen[s].Beat != first[s].Beat {
				return true
			}
		}
	}
	return false
}

func (c *Coordinator) previewCutover(ctx context.Context, t *term, req CutoverRequest) (p Preview, err error) {
	recs, err := c.readings(ctx)
	if err != nil {
		return p, err
	}
	if p.Phase = recs.phase(); !p.Phase.Leased() {
		return p, refuse("phase", "run `migrate shadow` first", "the migration is %v", p.Phase)
	}
	if err := checkSteps(recs, req); err != nil {
		return p, err
	}
	for i, percent := range req.To {
		goal := goalOf(recs, req.Only, protocol.Cut(percent))
		if i == 0 {
			b, err := c.look(ctx, t, protocol.Source, goal, req.Care)
			if err != nil {
				return p, err
			}
			b.all()
			p.Gates = b.gates
		}
		p.Steps = append(p.Steps, Step{Percent: percent, Cuts: percents(goal)})
	}
	return p, c.measure(ctx, recs, p.Steps)
}

func (c *Coordinator) previewRollback(ctx context.Context, t *term, req RollbackRequest) (p Preview, err error) {
	recs, err := c.readings(ctx)
	if err != nil {
		return p, err
	}
	switch p.Phase = recs.phase(); p.Phase {
	case protocol.Shadow:
		p.Gates = []Gate{{Name: "phase", Verdict: OK, Figure: "from shadow to off: nothing moves, the target is left as it is"}}
		return p, nil
	case protocol.Cutover, protocol.Soak:
	default:
		return p, refuse("phase", "there is nothing to roll back", "the migration is %v", p.Phase)
	}
	goal := goalOf(recs, nil, 0)
	b, err := c.look(ctx, t, protocol.Target, goal, req.Care)
	if err != nil {
		return p, err
	}
	b.all()
	p.Gates = b.gates
	p.Steps = []Step{{Percent: 0, Cuts: percents(goal)}}
	return p, c.measure(ctx, recs, p.Steps)
}

func percents(goal map[string]int) map[string]int {
	out := map[string]int{}
	for w, cut := range goal {
		out[w] = protocol.Percent(cut)
	}
	return out
}
