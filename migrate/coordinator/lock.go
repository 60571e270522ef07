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

// lookEvery is how often a lock that another process holds is looked at.
const lookEvery = 200 * time.Millisecond

// A sighting is who was seen to hold a lock, when its beat was last seen to change,
// and when it was last asked for: an answer may lie there for as long as we sleep.
type sighting struct {
	control.Holder
	changed, asked protocol.Instant
}

// silentFor is for how long the holder was seen to say nothing.
func (x *sighting) silentFor() time.Duration { return x.asked.Since(x.changed) }

// take takes the lock on the sides that are led. A holder whose beat changes runs. One that
// says nothing for as long as its own belief in the lock can last is fenced on
// both sides, and then replaced. Silence is counted on our own clock from when
// we first looked.
func (t *term) take(ctx context.Context, verb string) error {
	var seen [3]sighting
	var got [3]bool
	fenced := map[string]bool{}
	for round := 0; ; round++ {
		err := t.takeFree(ctx, verb, &seen, &got, fenced)
		if err == nil && t.hasAll(got) {
			return nil
		}
		if err == nil {
			err = t.succeed(ctx, seen, got, fenced)
		}
		if err == nil && !pause(ctx, lookEvery) {
			err = context.Cause(ctx)
		}
		if err != nil {
			t.letGo(ctx, got)
			return err
		}
		if round == 10 {
			t.c.report("lock", "waiting out a coordinator that says nothing (%v at most)", protocol.SilentFor)
		}
	}
}

func (t *term) hasAll(got [3]bool) bool {
	return !slices.ContainsFunc(t.on, func(s protocol.Side) bool { return !got[s] })
}

// takeFree takes the locks once neither side's is held by one that may live: who
// finds its lock on one side in other hands ends its term, even if that side had
// only forgotten it. The source's comes first, so that of two who begin at once
// one gets both.
func (t *term) takeFree(ctx context.Context, verb string, seen *[3]sighting, got *[3]bool, fenced map[string]bool) error {
	for _, s := range t.on {
		if got[s] {
			continue
		}
		asked := t.now()
		h, err := t.sides[s].store.LockHolder(ctx)
		if err != nil {
			return fmt.Errorf("coordinator: look at the lock: %w", err)
		}
		if err := seen[s].look(h, asked, t.now()); err != nil {
			return err
		}
	}
	for _, s := range t.on {
		if id := seen[s].ID; !got[s] && id != "" && !fenced[id] {
			return nil
		}
	}
	for _, s := range t.on {
		if got[s] {
			continue
		}
		if mine, err := t.takeSide(ctx, s, verb, &seen[s]); err != nil || !mine {
			return err
		}
		got[s] = true
	}
	return nil
}

// look takes note of who has a lock now. One that was seen before and beats runs.
func (x *sighting) look(h control.Holder, asked, now protocol.Instant) error {
	x.asked = asked
	switch {
	case h.ID != x.ID:
		*x = sighting{h, now, asked}
	case h.ID != "" && h.Beat != x.Beat:
		return fmt.Errorf("%w: %s (%s)", ErrRunning, h.ID, h.About)
	}
	return nil
}

// takeSide tries to take one side's lock, from nobody or from one that is fenced.
func (t *term) takeSide(ctx context.Context, s protocol.Side, verb string, seen *sighting) (bool, error) {
	sent := t.now()
	mine, h, err := t.sides[s].store.TakeLock(ctx, t.id, seen.Holder, t.about(verb))
	switch {
	case err != nil:
		return false, fmt.Errorf("coordinator: take the lock: %w", err)
	case !mine:
		return false, seen.look(h, sent, t.now())
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.renewed[s] = protocol.Lease{Sent: sent, RunID: t.id}
	return true, nil
}

// succeed fences the holders that have been silent for long enough.
func (t *term) succeed(ctx context.Context, seen [3]sighting, got [3]bool, fenced map[string]bool) error {
	for _, s := range t.on {
		id := seen[s].ID
		if got[s] || id == "" || fenced[id] || seen[s].silentFor() < protocol.SilentFor {
			continue
		}
		err := fence(ctx, t.led(), t.c.opts.Name, id, copyName(id))
		switch {
		case err == nil:
		case errors.Is(err, errNoFence) && t.c.opts.TakeOver:
			t.log.Warn("a coordinator that cannot be fenced is taken to have ended", "op", "lock", "of", id)
		case errors.Is(err, errNoFence):
			return refuse("lock", "make sure that this process has ended, then say so with --take-over",
				"%s (%s) has said nothing for %v, and %v", id, seen[s].About, protocol.SilentFor, err)
		default:
			return fmt.Errorf("coordinator: %s has said nothing for %v but cannot be fenced: %w", id, protocol.SilentFor, err)
		}
		fenced[id] = true
		t.log.Warn("took over from a coordinator that fell silent", "op", "lock", "from", id)
	}
	return nil
}

// letGo gives back what was taken of the lock.
func (t *term) letGo(ctx context.Context, got [3]bool) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
	defer cancel()
	for _, s := range t.on {
		if got[s] {
			_ = t.sides[s].store.ReleaseLock(ctx, t.id) // a lock that stays is waited out
		}
	}
}

// about tells people who holds the lock.
func (t *term) about(verb string) string {
	return fmt.Sprintf("%s on %s", verb, thisProcess())
}
