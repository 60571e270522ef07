package sessions

import (
	"context"
	"errors"
	"time"
)

// insert writes a new session to the fall-back, and reports whether that has it.
func (m *Manager) insert(ctx context.Context, id hash, r *record, s span) bool {
	f := m.opt.Fallback
	if f == nil {
		return false
	}
	_, err := f.exec(ctx, f.insert, id.String(), r.user, string(r.data), r.version,
		s.age.Milliseconds(), s.left.Milliseconds(), min(m.opt.Idle, s.left).Milliseconds())
	return !m.fell(ctx, "insert", err)
}

// keepCopy writes the values of a session that was saved.
func (m *Manager) keepCopy(ctx context.Context, id hash, r *record) {
	if f := m.opt.Fallback; f != nil {
		_, err := f.exec(ctx, f.save, id.String(), string(r.data), r.version)
		m.fell(ctx, "save", err)
	}
}

// prolong notes that a session is used.
func (m *Manager) prolong(ctx context.Context, id hash) {
	if f := m.opt.Fallback; f != nil {
		_, err := f.exec(ctx, f.prolong, id.String(), m.opt.Idle.Milliseconds())
		m.fell(ctx, "prolong", err)
	}
}

// remove takes an id out, and says whether it was there.
func (m *Manager) remove(ctx context.Context, id hash) (had bool, err error) {
	f := m.opt.Fallback
	if f == nil {
		return false, nil
	}
	n, err := f.exec(ctx, f.remove, id.String())
	m.fell(ctx, "remove", err)
	return n > 0, err
}

// stored returns the ids of a user; with a time those that are older alone.
func (m *Manager) stored(ctx context.Context, user string, before time.Time) ([]hash, error) {
	if m.opt.Fallback == nil {
		return nil, nil
	}
	var age time.Duration
	if !before.IsZero() {
		age = time.Since(before)
	}
	return m.opt.Fallback.ids(ctx, user, age)
}

// restore brings back a session that Redis has lost. Who ends a session removes it
// from the fall-back first, and puts a tombstone in Redis then. So the row is looked
// at once more: if it is gone by now, what was restored is ended too.
func (m *Manager) restore(ctx context.Context, id hash) (*record, error) {
	row, at, err := m.opt.Fallback.row(ctx, id)
	if err != nil {
		m.fell(ctx, "find", err)
		return nil, err
	}
	if _, _, err := m.enlist(ctx, row.user, id); err != nil {
		return nil, err
	}
	rec, _, err := m.put(ctx, id, *row, at)
	if errors.Is(err, ErrConflict) { // another request was faster
		return m.load(ctx, id, false)
	}
	if err != nil {
		return nil, err
	}
	if _, _, err := m.opt.Fallback.row(ctx, id); errors.Is(err, ErrNotFound) {
		m.scrap(ctx, id)
		return nil, ErrNotFound
	}
	m.meter.restored.Inc()
	return rec, nil
}

// fell counts and logs an error of the fall-back. Where Redis has an answer, the
// caller does without it.
func (m *Manager) fell(ctx context.Context, op string, err error) bool {
	if err == nil || errors.Is(err, ErrNotFound) || ctx.Err() != nil {
		return err != nil
	}
	m.meter.fallbackErr.Inc()
	m.opt.Logger.Warn("the fall-back did not answer", "workload", workload, "op", op, "err", err)
	return true
}
