package pubsub

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/transload/transload/internal/budget"
	"github.com/transload/transload/internal/eviction"
)

// Probe follows a topic of its own, publishes a message and a last value, sees both
// arrive, and lets go of them, as an operator would to know that all is well after a
// migration. Run must be running. It logs how long that took, which is also in the
// error, if there is one; what it published expires within a minute. A server that may
// evict topics is no error, but a warning in the log.
func (h *Hub) Probe(ctx context.Context) (err error) {
	began := time.Now()
	err = h.probe(ctx)
	took := time.Since(began).Round(time.Microsecond)
	if err != nil {
		return fmt.Errorf("pubsub: probe, after %v: %w", took, err)
	}
	h.opt.Logger.Info("probe passed: messages were published and heard", "workload", workload, "op", "probe", "took", took)
	on := h.server(h.parts[0])
	policy, err := budget.Do(ctx, on.budget, func(ctx context.Context) (string, error) { return eviction.Policy(ctx, on.c) })
	if err == nil && policy != "" && policy != eviction.None {
		h.opt.Logger.Warn("the server may evict topics, which are gaps then: set maxmemory-policy noeviction", "workload", workload, "op", "probe", "policy", policy)
	}
	return nil
}

// probes are the topics of Probe, a number each.
var probes = []Topic{
	{Prefix: reserved + "probe:latest:", Delivery: Latest, Keep: time.Minute},
	{Prefix: reserved + "probe:history:", Delivery: Recoverable, Keep: time.Minute},
}

func (h *Hub) probe(ctx context.Context) error {
	for _, p := range probes {
		if err := h.probeOne(ctx, p.Prefix+h.id+newEpoch()); err != nil {
			return fmt.Errorf("%v: %w", p.Delivery, err)
		}
	}
	return nil
}

func (h *Hub) probeOne(ctx context.Context, topic string) error {
	sub, err := h.subscribe(ctx, topic, "")
	if err != nil {
		return fmt.Errorf("subscribe: %w", err)
	}
	defer func() { _ = sub.Close() }()
	sent, err := h.publishValue(ctx, topic, "probe", newEpoch())
	if err != nil {
		return fmt.Errorf("publish: %w", err)
	}
	for {
		e, err := sub.Next(ctx)
		switch {
		case err != nil:
			return fmt.Errorf("published, and not heard: %w", err)
		case e.Kind == Published && e.Pos == sent.Pos:
			return nil
		case e.Kind == Gap:
			return errors.New("published, and a gap was told instead")
		}
	}
}
