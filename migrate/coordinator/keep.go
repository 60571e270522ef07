package coordinator

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/transload/transload/internal/control"
	"github.com/transload/transload/internal/protocol"
)

// keep starts what runs for as long as the term: the feeds, the sync, and the
// look at the records.
func (t *term) keep(ctx context.Context) {
	t.syncer.start(ctx)
	t.wg.Go(func() { t.watchRecords(ctx) })
	t.wg.Go(func() { t.desk.serve(ctx) })
	t.wg.Go(func() { t.publish(ctx) })
}

// watchRecords notices what others do to the records, and puts back one that a
// side has forgotten in a failover, as members do.
func (t *term) watchRecords(ctx context.Context) {
	for pause(ctx, beatEvery) {
		for _, s := range protocol.Sides {
			t.mu.Lock()
			known := t.recs[s].Record
			t.mu.Unlock()
			ask, cancel := context.WithTimeout(ctx, askFor)
			r, err := t.sides[s].store.Read(ask, false)
			cancel()
			switch {
			case err != nil:
				continue
			case t.known()[s.Other()].Record.Voids(r.Record):
				if err := t.takeBack(ctx, r.Record, t.known()[s.Other()].Record); err != nil {
					t.log.Debug("record not replaced", "side", s.String(), "err", err)
				}
				continue
			case r.Record.Epoch >= known.Epoch:
				t.learn(s, r)
				continue
			case t.moving.Load():
				continue // the mover does it, or has just written a newer one than was read
			}
			t.log.Warn("side has forgotten its control record; putting it back", "op", "put back", "side", s.String())
			ev := control.Event{Who: t.id, What: "record put back", Why: "the side answered with an older one"} // as members name it
			if _, err := t.changeAs(ctx, protocol.Change{Side: s, Old: r.Record, New: known}, ev); err != nil {
				t.log.Debug("record not put back", "side", s.String(), "err", err)
			}
		}
	}
}

// phase returns how far the migration has come, by both records.
func (r readings) phase() protocol.Phase {
	src, dst := r[protocol.Source].Record, r[protocol.Target].Record
	switch {
	case src.Phase == protocol.Done || dst.Phase == protocol.Done:
		return protocol.Done
	case src.Empty() && dst.Empty():
		return protocol.Off
	case src.Epoch >= dst.Epoch:
		return src.Phase
	}
	return dst.Phase
}

// known returns the records as they were last seen.
func (t *term) known() (r readings) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.recs
}

// stuckFor is how long a move waits for a sync that comes no further: longer
// than a failover, and than a batch at the slowest rate.
const stuckFor = 5 * time.Minute

// waitPassed waits until a sync pass has ended and little is dirty, and tells
// how it goes. It gives up when no walk has come any further for patience; 0
// means never.
func (t *term) waitPassed(ctx context.Context, patience time.Duration) error {
	s := t.syncer
	var told time.Time
	keys, since := int64(0), time.Now() // how far the walk is, and since when
	for {
		if s.passed() && (s.full() || s.slots() == 0 && s.keepsUp()) {
			return nil
		}
		p := s.progress()
		if p.Keys != keys {
			keys, since = p.Keys, time.Now()
		}
		if patience > 0 && time.Since(since) > patience {
			return refuse("sync", "`migrate status` tells what it waits for; run the command again once `migrate shadow` has caught up",
				"it came no further for %v: %s", patience, p.Text)
		}
		if time.Since(told) >= time.Second {
			told = time.Now()
			t.c.tell(p)
		}
		if !pause(ctx, 10*time.Millisecond) {
			return fmt.Errorf("coordinator: sync pass: %w", errors.Join(context.Cause(ctx), s.why()))
		}
	}
}

// keepsUp reports whether what is dirty is only what was named just now. An app
// that writes all the time always has some names in the set.
func (s *syncer) keepsUp() bool {
	return s.dirty.Len() <= fewNames || time.Since(s.dirty.Oldest()) < 5*settleFor
}

// progress tells how the sync goes.
func (s *syncer) progress() Progress {
	names, slots := s.dirty.Len(), s.slots()
	held, loss := s.speed.held(), s.t.loss()
	s.mu.Lock()
	defer s.mu.Unlock()
	p := Progress{Stage: "sync", Keys: s.pass.Keys, Total: max(s.pass.Total, s.pass.Keys)} // keys come to be during a walk
	if took := time.Since(s.pass.Began).Seconds(); s.walking > 0 && took > 0 {
		p.Rate = float64(p.Keys) / took
		if p.Rate > 0 {
			p.ETA = max(0, float64(p.Total-p.Keys)/p.Rate)
		}
	}
	switch {
	case loss != "":
		p.Text = loss
	case s.trouble != "":
		p.Text = "held up: " + s.trouble
	case s.walking > 0 && held != "":
		p.Text = "comparing every key, " + held
	case s.walking > 0:
		p.Text = "comparing every key"
	case slots > 0:
		p.Text = "waiting for the feeds"
	case names > 0:
		p.Text = fmt.Sprintf("%d keys that have just changed are to be compared", names)
	default:
		p.Text = "the sides are equal as far as the feeds tell"
	}
	return p
}

// why returns what holds the sync up, if anything does.
func (s *syncer) why() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.trouble == "" {
		return nil
	}
	return errors.New(s.trouble)
}
