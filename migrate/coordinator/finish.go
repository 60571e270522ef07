package coordinator

import (
	"context"
	"fmt"

	"github.com/transload/transload/internal/protocol"
)

// Finish ends the migration: the target alone answers, for good, and nothing is
// copied any more. There is no way back. The records stay, so that a process
// that boots later with both sides set finds that the source has given all.
func (c *Coordinator) Finish(ctx context.Context) error {
	return c.leading(ctx, "finish", func(ctx context.Context, t *term) error {
		if err := t.readyToMove(ctx); err != nil {
			return err
		}
		return t.finish(ctx)
	})
}

func (t *term) finish(ctx context.Context) error {
	if p := t.known().phase(); p != protocol.Soak {
		return refuse("phase", "cut over to 100 % first", "the migration is in %v", p)
	}
	for _, s := range []protocol.Side{protocol.Target, protocol.Source} {
		recs, err := t.readBoth(ctx)
		if err != nil {
			return err
		}
		next, err := recs[s].Record.Finish(t.stamp(recs))
		if err != nil {
			return fmt.Errorf("coordinator: %w", err)
		}
		if _, err := t.change(ctx, protocol.Change{Side: s, Old: recs[s].Record, New: next}, t.verb); err != nil {
			return err
		}
	}
	return t.waitObeyed(ctx)
}
