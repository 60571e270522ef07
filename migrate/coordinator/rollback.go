package coordinator

import (
	"context"
	"fmt"

	"github.com/transload/transload/internal/protocol"
)

// A RollbackResult tells how far back it went.
type RollbackResult struct {
	Phase protocol.Phase `json:"phase"`
	Moves []MoveReport   `json:"moves,omitempty"`
}

// Rollback gives authority back to the source: from cutover or soak to shadow,
// with the same proof as any move, and from shadow to off.
func (c *Coordinator) Rollback(ctx context.Context) (res RollbackResult, err error) {
	err = c.leading(ctx, "rollback", func(ctx context.Context, t *term) error {
		if _, err := t.recover(ctx); err != nil {
			return err
		}
		if t.known().phase() == protocol.Shadow {
			res, err = t.rollback(ctx)
			return err
		}
		if err := t.readyToMove(ctx); err != nil {
			return err
		}
		res, err = t.rollback(ctx)
		return err
	})
	return res, err
}

func (t *term) rollback(ctx context.Context) (res RollbackResult, err error) {
	switch res.Phase = t.known().phase(); res.Phase {
	case protocol.Shadow:
		err = t.off(ctx)
	case protocol.Cutover, protocol.Soak:
		var hold = t.c.opts.Hold
		if err = t.waitPassed(ctx); err != nil {
			return res, err
		}
		goal := t.goal(nil, 0)
		if hold, err = t.holdFor(goal); err != nil {
			return res, err
		}
		var report MoveReport
		report, err = t.syncer.move(ctx, protocol.Target, goal, hold)
		t.moved(ctx, &report)
		res.Moves = append(res.Moves, report)
	case protocol.Done:
		err = refuse("phase", "there is no way back from done but a new migration in the other direction", "the migration is done")
	default:
		err = refuse("phase", "nothing is to be rolled back", "the migration is %v", res.Phase)
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
		if _, err := t.change(ctx, protocol.Change{Side: s, Old: recs[s].Record, New: next}, t.verb); err != nil {
			return err
		}
	}
	return nil
}
