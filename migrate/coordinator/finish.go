package coordinator

import (
	"context"
	"fmt"
	"time"

	"github.com/transload/transload/internal/protocol"
)

// Finish ends the migration: the target alone answers, for good, and nothing is
// copied any more. There is no way back. The records stay, so that a process
// that boots later with both sides set finds that the source has given all.
func (c *Coordinator) Finish(ctx context.Context, req FinishRequest) (FinishResult, error) {
	req.Care = req.fill(c.opts)
	if req.MinSoak == 0 {
		req.MinSoak = 24 * time.Hour
	}
	return perform(ctx, c, "finish", req, (*term).readyToMove, (*term).finish)
}

func (t *term) finish(ctx context.Context, req FinishRequest) (res FinishResult, err error) {
	p := t.known().phase()
	if res.Phase = p.String(); p != protocol.Soak {
		return res, refuse("phase", "cut over to 100 % first", "the migration is in %v", p)
	}
	if res.Gates, err = t.finishGates(ctx, req); err != nil {
		return res, err
	}
	for _, s := range []protocol.Side{protocol.Target, protocol.Source} {
		recs, err := t.readBoth(ctx)
		if err != nil {
			return res, err
		}
		next, err := recs[s].Record.Finish(t.stamp(recs))
		if err != nil {
			return res, fmt.Errorf("coordinator: %w", err)
		}
		if _, err := t.change(ctx, protocol.Change{Side: s, Old: recs[s].Record, New: next}, t.why()); err != nil {
			return res, err
		}
	}
	res.Phase = t.known().phase().String()
	if err := t.waitObeyed(ctx); err != nil {
		return res, err
	}
	if req.Purge {
		res.Purged, err = t.purge(ctx)
	}
	return res, err
}

// purge removes what the migration keeps for itself on both sides, but for the
// records, the lock, which is given back, and the audit.
func (t *term) purge(ctx context.Context) (n int64, err error) {
	for _, s := range protocol.Sides {
		sd := t.sides[s]
		keys := sd.store.Keys()
		for _, key := range []string{keys.Roll, keys.Census, keys.Identity, settingsKey(t.c.opts.Name)} {
			gone, err := sd.client.Unlink(ctx, key).Result()
			if err != nil {
				return n, fmt.Errorf("coordinator: purge the %v: %w", s, err)
			}
			n += gone
		}
	}
	return n, nil
}
