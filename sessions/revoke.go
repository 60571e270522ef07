package sessions

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
)

const (
	// chain bounds how many renewals of an id a revocation follows: each is one within
	// the lifetime of a session, and of those under way at once there are few.
	chain = 16

	// atOnce bounds the revocations of one call that are under way at the same time.
	atOnce = 8
)

// Logout ends the session of a request and clears its cookies. confirmed says that a
// replica knows it too, so that a failover does not bring the session back; it is
// false also where there is no replica.
//
// ErrUnavailable: Redis does not know of it yet. The cookies are cleared, this
// process answers for the session no more, and tells Redis as soon as that answers,
// if the process lives until then.
func (m *Manager) Logout(w http.ResponseWriter, r *http.Request) (confirmed bool, err error) {
	defer m.meter.done(opLogout, time.Now(), &err)
	m.clearCookies(w)
	id, ok := m.presented(r)
	if !ok {
		return true, nil
	}
	confirmed, err = m.end(r.Context(), id, false)
	if err == nil && !confirmed {
		m.meter.unconfirmed[opLogout].Inc()
	}
	return confirmed, err
}

// Revoke ends the session with that handle, as Logout does; one that has ended
// already is no error. Whose session it is, the caller has to check: see List.
func (m *Manager) Revoke(ctx context.Context, handle string) (err error) {
	defer m.meter.done(opRevoke, time.Now(), &err)
	if ctx == nil {
		return errNoContext
	}
	id, ok := parseHandle(handle)
	if !ok {
		return fmt.Errorf("%w: %d bytes are no handle: see Session.Handle", ErrNotFound, len(handle))
	}
	_, err = m.end(ctx, id, true)
	return err
}

// RevokeUser ends all sessions of a user but those with the handles of except, and
// says how many entries of his list these were. Every login that has returned before
// is ended, and every one that returns afterwards without ErrConflict began its
// session after the list was read. ErrUnavailable: some may not be ended yet; see
// Logout.
func (m *Manager) RevokeUser(ctx context.Context, user string, except ...string) (n int, err error) {
	defer m.meter.done(opRevokeUser, time.Now(), &err)
	if ctx == nil {
		return 0, errNoContext
	}
	if err := checkUser(user); err != nil {
		return 0, err
	}
	spared := map[hash]bool{}
	for _, handle := range except {
		if id, ok := parseHandle(handle); ok {
			spared[id] = true
		}
	}
	n, err = m.endAll(ctx, user, spared, time.Time{})
	if err != nil {
		m.queue.add(ctx, errand{user: user, at: time.Now(), spared: spared})
	}
	return n, err
}

// endAll ends the sessions of a user; with a time those that are older alone.
func (m *Manager) endAll(ctx context.Context, user string, spared map[hash]bool, before time.Time) (int, error) {
	ids, err := m.all(ctx, user, before)
	ids = slices.DeleteFunc(ids, func(id hash) bool { return spared[id] })
	var ended atomic.Int64
	var g errgroup.Group
	g.SetLimit(atOnce)
	for _, id := range ids {
		g.Go(func() error {
			_, err := m.endChain(ctx, id, true, chain, spared)
			if err == nil {
				ended.Add(1)
				m.delist(ctx, user, id)
			}
			return err
		})
	}
	err = errors.Join(err, g.Wait())
	return int(ended.Load()), err
}

// all returns the ids of a user in his list and in the fall-back.
func (m *Manager) all(ctx context.Context, user string, before time.Time) ([]hash, error) {
	if user == "" {
		return nil, nil // guests have no list
	}
	ids, dbErr := m.stored(ctx, user, before)
	list, err := m.roster(ctx, user)
	if err == nil && !before.IsZero() {
		list, err = m.olderThan(ctx, list, before)
	}
	for _, e := range list {
		ids = append(ids, e.id)
	}
	slices.SortFunc(ids, func(a, b hash) int { return slices.Compare(a[:], b[:]) })
	return slices.Compact(ids), errors.Join(dbErr, err)
}

// end revokes an id, and those that have replaced it: a request may log out with the
// id of before. With plant, a tombstone is put where there is no session. What could
// not be done is queued.
func (m *Manager) end(ctx context.Context, id hash, plant bool) (confirmed bool, err error) {
	confirmed, err = m.endChain(ctx, id, plant, chain, nil)
	if err != nil {
		m.queue.add(ctx, errand{id: id})
	}
	return confirmed, err
}

// endChain may be run again from the same id: a tombstone tells what has replaced it.
func (m *Manager) endChain(ctx context.Context, id hash, plant bool, limit int, spared map[hash]bool) (confirmed bool, err error) {
	confirmed = true
	for range limit {
		had, dbErr := m.remove(ctx, id)
		m.memory.forget(id)
		g, err := m.bury(ctx, id, plant || had)
		if err = errors.Join(err, dbErr); err != nil {
			return false, err
		}
		if g.dug {
			m.memory.end(id)
		}
		confirmed = confirmed && g.confirmed
		m.delist(ctx, g.user, id)
		if !g.replaced || spared[g.next] {
			break
		}
		id, plant = g.next, true
	}
	return confirmed, nil
}
