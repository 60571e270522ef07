package coordinator

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"

	"github.com/redis/go-redis/v9"

	"github.com/transload/transload/internal/command"
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
		return follow[Preview](ctx, c, "preview cutover", req)
	}
	return c.previewCutover(ctx, nil, req)
}

// PreviewRollback tells what a rollback would do, and moves nothing.
func (c *Coordinator) PreviewRollback(ctx context.Context, req RollbackRequest) (Preview, error) {
	req.Care = req.fill(c.opts)
	if c.running(ctx) {
		return follow[Preview](ctx, c, "preview rollback", req)
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

// mostCounted bounds the keys that are looked at to tell what a step moves;
// beyond it the rest is estimated from these.
const mostCounted = 200_000

// measure counts the keys that each step moves, and names the queues.
func (c *Coordinator) measure(ctx context.Context, recs readings, steps []Step) error {
	p, _, err := c.readPlan(ctx, c.sides)
	if err != nil {
		return err
	}
	count := &counter{c: c, plan: p, steps: steps, queues: make([]map[string]bool, len(steps))}
	before := recs[protocol.Source].Record.Cuts
	for i := range steps {
		steps[i].Keys, steps[i].Measured = map[string]int64{}, true
		count.queues[i] = map[string]bool{}
		count.from = append(count.from, before)
		after := map[string]int{}
		for w, cut := range before {
			after[w] = cut
			if percent, ok := steps[i].Cuts[w]; ok {
				after[w] = protocol.Cut(percent)
			}
		}
		count.to = append(count.to, after)
		before = after
	}
	from := protocol.Source
	if len(steps) == 1 && steps[0].Percent == 0 {
		from = protocol.Target
	}
	if err := count.run(ctx, from); err != nil {
		return fmt.Errorf("coordinator: count the keys: %w", err)
	}
	for i := range steps {
		steps[i].Queues = sortedKeys(count.queues[i])
	}
	return nil
}

// A counter tells which keys lie between the cuts of each step.
type counter struct {
	c        *Coordinator
	plan     *plan
	steps    []Step
	from, to []map[string]int
	queues   []map[string]bool
	mu       sync.Mutex
	seen     int64
}

func (n *counter) run(ctx context.Context, s protocol.Side) error {
	client := n.c.sides[s].client
	total, err := dbSize(ctx, client)
	if err != nil {
		return err
	}
	err = client.EachMaster(ctx, func(ctx context.Context, _ string, node *redis.Client) error {
		return scanNode(ctx, node, "", n.add)
	})
	if errors.Is(err, errEnough) && n.seen > 0 {
		for i := range n.steps {
			n.steps[i].Measured = false
			for w := range n.steps[i].Keys {
				n.steps[i].Keys[w] = n.steps[i].Keys[w] * total / n.seen
			}
		}
		return nil
	}
	return err
}

func (n *counter) add(keys []string) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, key := range keys {
		n.seen++
		if n.plan.skip(key) {
			continue
		}
		w, slot := n.plan.router.Workload(key), int(command.Slot(key))
		for i := range n.steps {
			lo, hi := min(n.from[i][w], n.to[i][w]), max(n.from[i][w], n.to[i][w])
			if slot < lo || slot >= hi {
				continue
			}
			n.steps[i].Keys[w]++
			if q := queueOf(key); q != "" {
				n.queues[i][q] = true
			}
		}
	}
	if n.seen >= mostCounted {
		return errEnough
	}
	return nil
}

// queueOf returns the asynq queue that a key belongs to, or nothing. All keys of
// a queue carry its name as hash tag, and so move together.
func queueOf(key string) string {
	rest, ok := strings.CutPrefix(key, "asynq:{")
	if !ok {
		return ""
	}
	name, _, ok := strings.Cut(rest, "}")
	if !ok {
		return ""
	}
	return name
}
