package sessions

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"time"
)

// Start begins a session for a user who has just proven who he is ("" begins one for
// a guest), with v as its values, and sets its cookie. The id is always a new one;
// that of the request is retired, so that who planted it is not logged in. The
// session is there when Start returns, and Confirmed says whether it outlives the
// primary too.
//
// ErrUnavailable: nobody is logged in, and the request's cookies are left alone.
// ErrConflict: all sessions of the user were revoked at the same time.
func (m *Manager) Start(w http.ResponseWriter, r *http.Request, user string, v any) (_ *Session, err error) {
	defer m.meter.done(opStart, time.Now(), &err)
	if err := checkUser(user); err != nil {
		return nil, err
	}
	data, err := m.encode(v)
	if err != nil {
		return nil, err
	}
	ctx := r.Context()
	token, id := newToken(m.opt.Name)
	rec, confirmed, err := m.begin(ctx, id, record{user: user, data: data, version: 1}, newborn(m.opt.Lifetime))
	if err != nil {
		return nil, err
	}
	if old, ok := m.presented(r); ok {
		m.retireAny(ctx, old, id)
	}
	return m.handOut(w, token, id, rec, confirmed, opStart), nil
}

// Rotate gives a request's session a new id, as is due when its rights change, and
// sets the cookie. Values, creation and end stay. Requests under way read the old id
// for Options.Grace, as it was; what they save is ErrConflict. Rotate needs a Live
// session, else it is ErrNotFound or ErrUnavailable; ErrConflict means that another
// request has rotated it.
func (m *Manager) Rotate(w http.ResponseWriter, r *http.Request) (_ *Session, err error) {
	defer m.meter.done(opRotate, time.Now(), &err)
	old, ok := m.presented(r)
	if !ok {
		return nil, ErrNotFound
	}
	const tries = 5 // each lost to a save
	for try := 1; ; try++ {
		s, err := m.rotate(w, r, old)
		if err == nil || try == tries || !errors.Is(err, errSaved) {
			return s, err
		}
	}
}

// errSaved means that the session was saved while it was copied.
var errSaved = fmt.Errorf("%w: it was saved", ErrConflict)

func (m *Manager) rotate(w http.ResponseWriter, r *http.Request, old hash) (*Session, error) {
	ctx := r.Context()
	was, err := m.load(ctx, old, false)
	switch {
	case errors.Is(err, ErrNotFound):
		_, _ = m.remove(ctx, old) // which the last try may have put back
		return nil, err
	case err != nil:
		return nil, err
	case was.retired:
		return nil, fmt.Errorf("%w: another request has renewed its id", ErrConflict)
	case m.queue.denies(old, was):
		return nil, ErrNotFound
	}
	token, id := newToken(m.opt.Name)
	rec, confirmed, err := m.begin(ctx, id, *was, as(was))
	if err != nil {
		return nil, err
	}
	retired, err := m.retire(ctx, old, id, strconv.FormatInt(was.version, 10))
	if err != nil && !errors.Is(err, ErrUnavailable) {
		m.scrap(ctx, id)
		if errors.Is(err, ErrConflict) {
			m.insert(ctx, old, was, as(was)) // it lives on, and retire took its row
			err = errSaved
		}
		return nil, err
	}
	return m.handOut(w, token, id, rec, confirmed && retired, opRotate), nil
}

// A span is when a session begins and ends, for create.lua, and how long ago and
// from now that is, for a database with a clock of its own.
type span struct {
	created, ends string
	age, left     time.Duration
}

func newborn(lifetime time.Duration) span { return aged(0, lifetime) }

// aged is by the clock of nobody in particular.
func aged(age, left time.Duration) span {
	return span{created: fmt.Sprint("-", age.Milliseconds()), ends: fmt.Sprint("+", left.Milliseconds()), age: age, left: left}
}

// as is that of another session, by the server's clock.
func as(r *record) span {
	return span{created: fmt.Sprint(r.created), ends: fmt.Sprint(r.ends),
		age: time.Since(time.UnixMilli(r.created)), left: time.Until(time.UnixMilli(r.ends))}
}

// begin stores a new session: first in its user's list, so that whoever revokes all
// of them meets it from then on, then in the fall-back, then itself. Any of these
// that is left behind by a crash is of an id that nobody has got.
func (m *Manager) begin(ctx context.Context, id hash, r record, s span) (rec *record, confirmed bool, err error) {
	entries, listed, err := m.enlist(ctx, r.user, id)
	kept := m.insert(ctx, id, &r, s)
	if err == nil {
		rec, confirmed, err = m.put(ctx, id, r, s)
		confirmed = confirmed && listed
	}
	switch {
	case err == nil && entries > m.opt.PerUser && m.opt.PerUser > 0:
		m.prune(ctx, r.user, id)
	case errors.Is(err, ErrUnavailable) && kept: // restored from there when Redis is back
		now := time.Now()
		r.created, r.ends = now.Add(-s.age).UnixMilli(), now.Add(s.left).UnixMilli()
		rec = &r
	case errors.Is(err, errGone):
		m.scrap(ctx, id)
		return nil, false, fmt.Errorf("%w: all sessions of the user were revoked", ErrConflict)
	case err != nil:
		return nil, false, err
	}
	return rec, confirmed || kept, nil
}

// handOut gives a session to its user.
func (m *Manager) handOut(w http.ResponseWriter, token string, id hash, rec *record, confirmed bool, op op) *Session {
	if !confirmed {
		m.meter.unconfirmed[op].Inc()
	}
	now := time.Now()
	m.memory.keep(id, rec, now, true)
	m.setCookie(w, m.cookieName(), token, time.UnixMilli(rec.ends))
	if len(m.keys) > 0 && m.opt.Outage > 0 {
		m.setCookie(w, m.envelopeName(), m.envelope(id, rec, now), now.Add(m.opt.Outage))
	}
	s := rec.session(id)
	s.Confirmed = confirmed
	return s
}

// retire has an id replaced by another. Where nobody knows whether that was done, it
// is revoked as soon as Redis answers: the new one is there, and the user has it. One
// that the fall-back still has is revoked after its grace, or it would be restored.
// confirmed says that no failover brings the old one back.
func (m *Manager) retire(ctx context.Context, old, id hash, version string) (confirmed bool, err error) {
	_, left := m.remove(ctx, old)
	m.memory.retire(old)
	reply, confirmed, err := m.redis.confirmed(ctx, retireScript, old.key(), version, m.opt.Grace.Milliseconds(), id.String())
	if err == nil {
		_, err = changed(reply)
	}
	switch {
	case errors.Is(err, ErrUnavailable):
		m.opt.Logger.Warn("an id that was replaced stays good until Redis answers", "workload", workload, "op", "retire", "err", err)
		m.queue.add(ctx, errand{id: old, alone: true})
	case err == nil && left != nil:
		m.queue.add(ctx, errand{id: old, alone: true, after: time.Now().Add(m.opt.Grace)})
	}
	return confirmed, err
}

// retireAny retires the id of before a login, if there is anything behind it.
func (m *Manager) retireAny(ctx context.Context, old, id hash) { _, _ = m.retire(ctx, old, id, "*") }

// scrap ends a session that was never handed out.
func (m *Manager) scrap(ctx context.Context, id hash) {
	_, _ = m.remove(ctx, id)
	if _, err := m.bury(ctx, id, true); err != nil {
		m.queue.add(ctx, errand{id: id, alone: true})
	}
}
