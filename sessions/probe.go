package sessions

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/transload/transload/internal/eviction"
)

// Probe begins a session of its own, loads it, saves it, gives it a new id, revokes
// that, sees that both are gone, and removes what it left, as an operator would to know
// that all is well after a migration. It logs how long that took, which is also in the error, if there is one,
// and in the metric transload_sessions_seconds. A server that may evict sessions is no
// error, but a warning in the log.
func (m *Manager) Probe(ctx context.Context) (err error) {
	began := time.Now()
	defer m.meter.done(opProbe, began, &err)
	if ctx == nil {
		return errNoContext
	}
	_, id := newToken(m.opt.Name)
	_, next := newToken(m.opt.Name)
	user := "transload-probe-" + newNonce()
	err = m.probe(ctx, id, next, user)
	m.cleanUp(ctx, id.key(), next.key(), m.listKey(user))
	took := time.Since(began).Round(time.Microsecond)
	if err != nil {
		return fmt.Errorf("sessions: probe, after %v: %w", took, err)
	}
	m.opt.Logger.Info("probe passed: a session was begun, loaded, saved, renewed and revoked", "workload", workload, "op", "probe", "took", took)
	policy, err := call(ctx, m.redis, m.redis.budget, func(ctx context.Context) (string, error) { return eviction.Policy(ctx, m.redis.c) })
	if err == nil && policy != "" && policy != eviction.None {
		m.opt.Logger.Warn("the server may evict sessions, which logs users out: set maxmemory-policy noeviction", "workload", workload, "op", "probe", "policy", policy)
	}
	return nil
}

func (m *Manager) probe(ctx context.Context, id, next hash, user string) error {
	data := []byte(`{"probe":true}`)
	if _, _, err := m.begin(ctx, id, record{user: user, data: data, version: 1}, newborn(2*time.Minute)); err != nil {
		return fmt.Errorf("begin: %w", err)
	}
	rec, err := m.load(ctx, id, true)
	if err != nil {
		return fmt.Errorf("load: %w", err)
	}
	if rec.user != user || string(rec.data) != string(data) {
		return errors.New("load: another session than was begun: does something else write the keys sess:?")
	}
	s := rec.session(id)
	if err := m.Save(ctx, s, s.Data); err != nil {
		return fmt.Errorf("save: %w", err)
	}
	guest := *rec
	guest.user = "" // in no list: the old id alone leads to it, and one is not too many for PerUser
	if _, _, err := m.begin(ctx, next, guest, as(rec)); err != nil {
		return fmt.Errorf("begin again: %w", err)
	}
	if _, err := m.retire(ctx, id, next, strconv.FormatInt(s.version, 10)); err != nil {
		return fmt.Errorf("renew: %w", err)
	}
	return m.probeEnd(ctx, user, id, next)
}

// probeEnd revokes the session of a probe's user, and by that the one that has replaced
// it.
func (m *Manager) probeEnd(ctx context.Context, user string, ids ...hash) error {
	if n, err := m.endAll(ctx, user, nil, time.Time{}); err != nil || n != 1 {
		return errors.Join(err, fmt.Errorf("revoke: %d sessions of the user were ended; want 1", n))
	}
	for _, id := range ids {
		if _, err := m.load(ctx, id, false); !errors.Is(err, ErrNotFound) {
			return errors.Join(errors.New("revoke: the session can still be loaded"), err)
		}
	}
	return nil
}

// cleanUp deletes keys, as far as Redis answers: they expire by themselves.
func (m *Manager) cleanUp(ctx context.Context, keys ...string) {
	ctx = context.WithoutCancel(ctx) // bounded by the budget
	for _, key := range keys {
		_ = m.redis.process(ctx, redis.NewIntCmd(ctx, "del", key))
	}
}
