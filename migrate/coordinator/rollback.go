package coordinator

import (
	"context"
	"fmt"

	"github.com/transload/transload/internal/protocol"
)

// A RollbackResult tells how far back it went.
type RollbackResult struct {
	Phase protocol.Phase `json:"phase"`
	Gates []Gate         `json:"gates,omitempty"`
	Moves []MoveReport   `json:"moves,omitempty"`
}

// Rollback gives authority back to the source: from cutover or soak to shadow,
// with the same proof as any move, and from shadow to off. It is handed to the
// coordinator that runs, if one does; a cutover that is under way is ended first.
func (c *Coordinator) Rollback(ctx context.Context, req RollbackRequest) (RollbackResult, error) {
	req.Care, req.Seen = req.fill(c.opts), c.seen(ctx)
	return perform(ctx, c, "rollback", req, (*term).readyToReturn, (*term).rollback)
}

// readyToReturn makes ready for a rollback; to off nothing needs to be equal.
func (t *term) readyToReturn(ctx context.Context) error {
	recs, err := t.recover(ctx)
	if err != nil {
		return err
	}
	switch recs.phase() {
	case protocol.Cutover, protocol.Soak:
		return t.readyToMove(ctx)
	}
	return nil
}

func (t *term) rollback(ctx context.Context, req RollbackRequest) (res RollbackResult, err error) {
	res.Phase = t.known().phase()
	if err := stillAsSeen("rollback", req.Seen, res.Phase); err != nil {
		return res, err
	}
	switch res.Phase {
	case protocol.Shadow:
		err = t.off(ctx)
	case protocol.Cutover, protocol.Soak:
		if err := t.waitReady(ctx, protocol.Source); err != nil {
			return res, err
		}
		goal := t.goal(nil, 0)
		if res.Gates, err = t.gates(ctx, protocol.Target, goal, req.Care); err != nil {
			return res, err
		}
		var report MoveReport
		report, err = t.step(ctx, protocol.Target, goal, req.Care)
		res.Moves = append(res.Moves, report)
	case protocol.Done:
		err = refuse("phase", "there is no way back from done but a new migration in the other direction", "the migration is done")
	default:
		err = refuse("phase", "there is nothing to roll back", "the migration is %v", res.Phase)
	}
	res.Phase = t.known().phase()
	return res, err
}

// off ends the shadow: the source's record first, so that no member mirrors to a
// target that has left.
func (t *term) off(ctx context.Context) error {
	for _, s := range protocol.Sides {
		recs, err := t.readBoth(ctx)
		if err != nil {
			return err
		}
		if recs[s].Record.Phase == protocol.Off {
			continue
		}
		next, err := recs[s].Record.End(t.stamp(recs))
		if err != nil {
			return fmt.Errorf("coordinator: %w", err)
		}
		if _, err := t.change(ctx, protocol.Change{Side: s, Old: recs[s].Record, New: next}, t.why()); err != nil {
			return err
		}
	}
	return nil
}
