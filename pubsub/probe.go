package pubsub

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// Probe follows a topic of its own, publishes a message and a last value, sees both
// arrive, and lets go of them, as an operator would to know that all is well after a
// migration. Run must be running. It logs how long that took, which is also in the
// error, if there is one; what it published expires within a minute.
func (h *Hub) Probe(ctx context.Context) (err error) {
	began := time.Now()
	err = h.probe(ctx)
	took := time.Since(began).Round(time.Microsecond)
	if err != nil {
		return fmt.Errorf("pubsub: probe, after %v: %w", took, err)
	}
	h.opt.Logger.Info("probe passed: messages were published and heard", "workload", workload, "op", "probe", "took", took)
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
