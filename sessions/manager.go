package sessions

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/transload/transload/internal/budget"
)

// A Manager makes, finds and ends sessions. It is safe for concurrent use. Make one
// a process, with New, and end it with Close.
type Manager struct {
	opt    Options
	keys   [][]byte
	redis  *server
	memory *memory
	queue  *queue
	meter  *meter
}

// New checks the options and makes a Manager on any client: plain in any mode, or
// migrating. It dials nothing. The client stays the caller's, who closes it after
// the Manager.
func New(c redis.UniversalClient, o Options) (*Manager, error) {
	o, err := o.withDefaults()
	if err != nil {
		return nil, err
	}
	if budget.Missing(c) {
		return nil, fmt.Errorf("%w: there is no client: give New what topology.Open returned", ErrOption)
	}
	m := &Manager{opt: o, redis: newServer(c, o.Budget, o.Confirm, o.Logger), memory: newMemory(o.Memory)}
	for _, k := range o.Keys {
		m.keys = append(m.keys, slices.Clone(k))
	}
	m.meter = newMeter(m)
	m.queue = newQueue(m)
	if !m.redis.budget.Heeded() {
		o.Logger.Warn("the client's reads do not end with a context's deadline: calls that are over budget are left to its own time-outs; set ContextTimeoutEnabled",
			"workload", workload)
	}
	return m, nil
}

// Find returns the session of a request and its state. The error is ErrUnavailable
// when nobody can say: then the request is neither anonymous nor anybody's.
func (m *Manager) Find(r *http.Request) (*Session, State, error) {
	s, state, _, err := m.find(r)
	return s, state, err
}

func (m *Manager) find(r *http.Request) (*Session, State, *record, error) {
	id, ok := m.presented(r)
	if !ok {
		m.meter.found(fromNobody)
		return nil, Anonymous, nil, nil
	}
	began := time.Now()
	rec, err := m.recent(r.Context(), id)
	m.meter.took(opLoad, began)
	switch {
	case err == nil && !m.queue.denies(id, rec):
		m.meter.found(fromRedis)
		return rec.session(id), Live, rec, nil
	case err == nil || errors.Is(err, ErrNotFound):
		m.meter.found(fromNobody)
		return nil, Anonymous, nil, nil
	}
	return m.without(r, id, err)
}

// recent asks Redis, and what has lost nothing of late.
func (m *Manager) recent(ctx context.Context, id hash) (*record, error) {
	now := time.Now()
	touch := m.opt.Idle < m.opt.Lifetime && now.Sub(m.memory.touched(id)) >= m.touchEach()
	rec, err := m.load(ctx, id, touch)
	if m.opt.Fallback != nil && missing(err) {
		rec, err = m.restore(ctx, id)
	}
	switch {
	case errors.Is(err, errGone):
		m.memory.end(id)
	case errors.Is(err, ErrNotFound):
		m.memory.forget(id)
	}
	if err != nil {
		return nil, err
	}
	m.memory.keep(id, rec, now, touch)
	if touch {
		m.prolong(ctx, id)
	}
	return rec, nil
}

// touchEach is how often a process notes that a session is used.
func (m *Manager) touchEach() time.Duration { return min(m.opt.Idle/20, time.Minute) }

// without answers while Redis does not: from memory, the fall-back, or the
// request's envelope, none of which may be older than Outage.
func (m *Manager) without(r *http.Request, id hash, why error) (*Session, State, *record, error) {
	rec, at := m.memory.recall(id)
	if rec == ended {
		m.meter.found(fromNobody)
		return nil, Anonymous, nil, nil
	}
	retired := rec != nil && rec.retired // an envelope does not know that
	from := fromMemory
	if rec == nil || !m.fresh(rec, at) {
		rec, from = nil, fromFallback
		if m.opt.Fallback != nil && m.opt.Outage > 0 {
			found, _, err := m.opt.Fallback.row(r.Context(), id)
			if errors.Is(err, ErrNotFound) { // ended, or begun without the database: nobody can say
				m.meter.found(fromNowhere)
				return nil, 0, nil, why
			}
			rec = found
		}
	}
	if rec == nil && !retired {
		if rec, at = m.unseal(r, id); rec != nil && !m.fresh(rec, at) {
			rec = nil
		}
		from = fromEnvelope
	}
	if rec == nil {
		m.meter.found(fromNowhere)
		return nil, 0, nil, why
	}
	if m.queue.denies(id, rec) {
		m.meter.found(fromNobody)
		return nil, Anonymous, nil, nil
	}
	m.meter.found(from)
	s := rec.session(id)
	s.degraded = true
	return s, Degraded, rec, nil
}

// fresh reports whether what Redis said at a time may still be answered without it.
func (m *Manager) fresh(r *record, at time.Time) bool {
	now := time.Now()
	age, most := now.Sub(at), min(m.opt.Outage, m.opt.Idle)
	if r.retired {
		most = min(most, m.opt.Grace)
	}
	return age < most && age > -skew && now.UnixMilli() < r.ends
}

// Reload reads a session again, in one round trip: for what lasts longer than a
// request, such as a WebSocket. It is ErrNotFound once it has ended.
func (m *Manager) Reload(ctx context.Context, s *Session) (*Session, error) {
	if s == nil {
		return nil, errNobody
	}
	rec, err := m.recent(ctx, s.id)
	if err != nil {
		return nil, err
	}
	if m.queue.denies(s.id, rec) {
		return nil, ErrNotFound
	}
	return rec.session(s.id), nil
}

// Save replaces the values of a session by v, as JSON, if nobody has changed them
// since s was read, and brings s up to date. Else it is ErrConflict, and ErrNotFound
// if the session has ended: a logout wins. A Degraded session is not saved:
// ErrUnavailable, which after a call also means that nobody knows whether it was.
func (m *Manager) Save(ctx context.Context, s *Session, v any) (err error) {
	defer m.meter.done(opSave, time.Now(), &err)
	data, err := m.encode(v)
	if err != nil {
		return err
	}
	switch {
	case s == nil:
		return errNobody
	case s.degraded:
		return fmt.Errorf("%w: a degraded session is read-only", ErrUnavailable)
	case s.retired:
		return fmt.Errorf("%w: its id was renewed", ErrConflict)
	}
	reply, err := m.redis.run(ctx, saveScript, s.id.key(), strconv.FormatInt(s.version, 10), newNonce(), data)
	if err != nil {
		return err
	}
	version, err := changed(reply)
	if err != nil {
		return err
	}
	s.version, s.Data = version, data
	rec := &record{user: s.User, data: data, version: version, created: s.Created.UnixMilli(), ends: s.Expires.UnixMilli()}
	m.memory.keep(s.id, rec, time.Now(), false)
	m.keepCopy(ctx, s.id, rec)
	return nil
}

// Update reads a session again, lets change have its values, and saves them; and
// once more if another request was faster, five times at most. On an error of
// change nothing is saved, and it is returned.
func Update[T any](ctx context.Context, m *Manager, s *Session, change func(*T) error) error {
	const tries = 5
	for try := 1; ; try++ {
		now, err := m.Reload(ctx, s)
		if err != nil {
			return err
		}
		var v T
		if err := now.Decode(&v); err != nil {
			return fmt.Errorf("sessions: update: %w", err)
		}
		if err := change(&v); err != nil {
			return err
		}
		if err = m.Save(ctx, now, v); err == nil {
			*s = *now
			return nil
		}
		if try == tries || now.retired || !errors.Is(err, ErrConflict) {
			return err
		}
	}
}

// encode makes JSON of values.
func (m *Manager) encode(v any) ([]byte, error) {
	data, err := json.Marshal(v)
	if err != nil {
		return nil, fmt.Errorf("sessions: values: %w", err)
	}
	if len(data) > m.opt.MaxData {
		return nil, fmt.Errorf("%w: %d bytes of JSON; Options.MaxData is %d", ErrTooLarge, len(data), m.opt.MaxData)
	}
	return data, nil
}
