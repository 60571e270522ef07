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
