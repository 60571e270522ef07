package coordinator

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/transload/transload/internal/protocol"
)

// A lookout watches the members on both rolls, by our own clock.
type lookout struct {
	t    *term
	seen map[string]*seenMember
}

type seenMember struct {
	entry   [3]protocol.Entry // by side
	on      [3]bool
	changed protocol.Instant
	beats   bool // its beat was seen to change
}

func (t *term) newLookout() *lookout { return &lookout{t: t, seen: map[string]*seenMember{}} }

// look reads both rolls.
func (l *lookout) look(ctx context.Context) error {
	now := l.t.now()
	for _, m := range l.seen {
		m.on = [3]bool{}
	}
	for _, s := range protocol.Sides {
		roll, err := l.t.sides[s].store.Roll(ctx)
		if err != nil {
			return err
		}
		for _, e := range roll {
			m := l.seen[e.ID]
			if m == nil {
				m = &seenMember{changed: now}
				l.seen[e.ID] = m
			}
			if e.Beat != m.entry[s].Beat {
				m.changed = now
				m.beats = m.beats || m.entry[s].ID != ""
			}
			m.entry[s], m.on[s] = e, true
		}
	}
	for id, m := range l.seen {
		if m.on == [3]bool{} {
			delete(l.seen, id)
		}
	}
	return nil
}

// allBeat reports whether every member is known to live.
func (l *lookout) allBeat() bool {
	for _, m := range l.seen {
		if !m.beats {
			return false
		}
	}
	return true
}

// waitObeyed waits until every member obeys both records and, in a phase that
// needs leases, holds one on each side. Members that say nothing are fenced and
// taken off the roll. It does not wait for ever: nothing leans on it, since a
// move asks every member again.
func (t *term) waitObeyed(ctx context.Context) error {
	l := t.newLookout()
	began := t.now()
	said := ""
	for {
		recs := t.known()
		waits := ""
		if err := l.look(ctx); err != nil {
			waits = err.Error()
		} else {
			waits = l.disobey(recs)
			l.strikeSilent(ctx)
		}
		if waits == "" {
			return nil
		}
		if waits != said {
			said = waits
			t.c.report("members", "%s", waits)
		}
		if t.now().Since(began) > 2*protocol.SilentFor {
			t.log.Warn("not every member obeys yet", "op", "wait for members", "members", waits)
			return nil
		}
		if !pause(ctx, lookEvery) {
			return fmt.Errorf("coordinator: waiting for members: %s: %w", waits, context.Cause(ctx))
		}
	}
}

// disobey names the members that do not obey both records yet.
func (l *lookout) disobey(recs readings) string {
	late := map[string][]string{} // what is waited for → members
	for _, id := range sortedKeys(l.seen) {
		if what := l.seen[id].lacks(recs); what != "" {
			late[what] = append(late[what], id)
		}
	}
	var out []string
	for _, what := range sortedKeys(late) {
		out = append(out, fmt.Sprintf("waiting for %d of %d to %s: %s", len(late[what]), len(l.seen), what, some(late[what], 3)))
	}
	return strings.Join(out, "; ")
}

// lacks says what a member has still to do to obey both records, or nothing.
func (m *seenMember) lacks(recs readings) string {
	for _, s := range protocol.Sides {
		rec, e := recs[s].Record, m.entry[s]
		switch {
		case !m.on[s]:
			return fmt.Sprintf("come to the roll of the %v", s)
		case e.Epoch < rec.Epoch:
			return fmt.Sprintf("obey the new record of the %v", s)
		case rec.Phase.Leased() && !e.Ready:
			return "take leases on both sides"
		}
	}
	return ""
}

// strikeSilent fences the members that have said nothing for longer than a lease
// can last, and takes them off the rolls.
func (l *lookout) strikeSilent(ctx context.Context) {
	for id, m := range l.seen {
		if l.t.now().Since(m.changed) >= protocol.SilentFor {
			if err := l.t.strike(ctx, id, m.entry); err != nil {
				l.t.log.Warn("silent member stays on the roll", "op", "fence", "member", id, "err", err)
				m.changed = l.t.now() // not tried again at once
			}
		}
	}
}

// strike fences a member that fell silent and takes it off both rolls, unless it
// has come back since.
func (t *term) strike(ctx context.Context, id string, entry [3]protocol.Entry) error {
	if err := fence(ctx, t.sides, t.c.opts.Name, id); err != nil && !errors.Is(err, errNoFence) {
		return err
	} else if err != nil {
		return nil // it stays on the roll, and every move asks for it
	}
	for _, s := range protocol.Sides {
		if entry[s].ID == "" {
			continue
		}
		if _, err := t.sides[s].store.StrikeFenced(ctx, entry[s]); err != nil {
			return err
		}
	}
	t.log.Warn("member fell silent: fenced and taken off the roll", "op", "fence", "member", id)
	return nil
}
