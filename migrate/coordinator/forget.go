package coordinator

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/transload/transload/internal/control"
	"github.com/transload/transload/internal/protocol"
)

// A ForgetRequest says how sure it must be that the app has no use for the
// migration any more.
type ForgetRequest struct {
	// Quiet is for how long no member may have been seen. A process that boots with
	// both sides set after the records are gone uses the source: after `finish` that
	// would be the wrong one. The default is 1h; less than 0 asks only that none is
	// alive now.
	Quiet time.Duration `json:"quiet,omitempty"`
}

// A ForgetReport tells what was forgotten.
type ForgetReport struct {
	Phase    protocol.Phase `json:"phase"`                 // in which it was
	Removed  int64          `json:"removed"`               // keys
	Silent   []string       `json:"silent,omitempty"`      // members that were still on a roll, and said nothing
	LastSeen time.Time      `json:"last_seen_at,omitzero"` // when, and who, a member last was
	Last     string         `json:"last_seen_id,omitempty"`
}

// Forget removes everything that the migration keeps on both sides: records,
// roll, audit, census, requests and settings. The app's keys are left alone. It
// refuses unless the migration is off or done, and while a member lives or was
// seen of late.
func (c *Coordinator) Forget(ctx context.Context, req ForgetRequest) (r ForgetReport, err error) {
	if req.Quiet == 0 {
		req.Quiet = time.Hour
	}
	err = c.leading(ctx, "forget", func(ctx context.Context, t *term) error {
		recs, err := t.recover(ctx)
		if err != nil {
			return err
		}
		if r.Phase = recs.phase(); r.Phase != protocol.Off && r.Phase != protocol.Done {
			next := "`migrate rollback` ends it, or `migrate finish` once all is cut over"
			return refuse("phase", next, "the migration is in %v", r.Phase)
		}
		rolls, err := t.nobodyLives(ctx, &r)
		if err != nil {
			return err
		}
		if err := t.nobodyOfLate(ctx, req.Quiet, &r); err != nil {
			return err
		}
		return t.erase(ctx, recs, rolls, &r)
	})
	return r, err
}

// nobodyLives looks at both rolls twice, some beats apart, and refuses if a member
// has refreshed in between. It returns the lines of those that have not.
func (t *term) nobodyLives(ctx context.Context, r *ForgetReport) (rolls [3][]protocol.Entry, err error) {
	before, err := t.bothSidesRolls(ctx)
	if err != nil || len(before[protocol.Source])+len(before[protocol.Target]) == 0 {
		return before, err
	}
	t.c.report("forget", "looking whether the members on the roll live")
	if !pause(ctx, beatsSeen*beatEvery) {
		return before, fmt.Errorf("coordinator: forget: %w", context.Cause(ctx))
	}
	if rolls, err = t.bothSidesRolls(ctx); err != nil {
		return rolls, err
	}
	var alive []string
	for _, s := range protocol.Sides {
		for _, e := range rolls[s] {
			if slices.ContainsFunc(before[s], func(b protocol.Entry) bool { return b.ID == e.ID && b.Beat == e.Beat }) {
				r.Silent = append(r.Silent, e.ID)
			} else {
				alive = append(alive, e.ID)
			}
		}
	}
	slices.Sort(alive)
	if alive = slices.Compact(alive); len(alive) > 0 {
		return rolls, refuse("members", "deploy the app without the migrating client, or with one side only", "%d use this migration: %s", len(alive), some(alive, 6))
	}
	slices.Sort(r.Silent)
	r.Silent = slices.Compact(r.Silent)
	return rolls, nil
}

func (t *term) bothSidesRolls(ctx context.Context) (rolls [3][]protocol.Entry, err error) {
	for _, s := range protocol.Sides {
		if rolls[s], err = t.sides[s].store.Roll(ctx); err != nil {
			return rolls, fmt.Errorf("coordinator: %w", err)
		}
	}
	return rolls, nil
}

// nobodyOfLate refuses if a member was seen on either side within quiet, by that
// side's clock.
func (t *term) nobodyOfLate(ctx context.Context, quiet time.Duration, r *ForgetReport) error {
	for _, s := range protocol.Sides {
		last, err := t.sides[s].store.LastSeen(ctx)
		if err != nil {
			return fmt.Errorf("coordinator: %w", err)
		}
		if last.At.After(r.LastSeen) {
			r.LastSeen, r.Last = last.At, last.ID
		}
		if last.ID != "" && last.Age < quiet {
			return refuse("members", fmt.Sprintf("wait until none was seen for %v: one that boots with the settings of both sides, once the records are gone, uses the source. If you know that none will, say --quiet=0s", quiet),
				"member %s was seen on the %v %v ago", last.ID, s, last.Age.Round(time.Second))
		}
	}
	return nil
}

// erase removes what is kept. Of a migration that is done the source goes first:
// while the target's record stands, a process that boots uses the target. Of one
// that is off it is the other way round.
func (t *term) erase(ctx context.Context, recs readings, rolls [3][]protocol.Entry, r *ForgetReport) error {
	order := []protocol.Side{protocol.Target, protocol.Source}
	if r.Phase == protocol.Done {
		order = []protocol.Side{protocol.Source, protocol.Target}
	}
	for _, s := range order {
		n, err := t.sides[s].store.Erase(ctx, t.id, recs[s].Record, rolls[s], settingsKey(t.c.opts.Name))
		r.Removed += n
		switch {
		case errors.Is(err, control.ErrMeanwhile):
			return refuse("members", "run it again in a moment", "%v", err)
		case err != nil:
			return fmt.Errorf("coordinator: forget: %w", err)
		}
		t.c.report("forget", "%d keys are gone from the %v", n, s)
	}
	return nil
}
