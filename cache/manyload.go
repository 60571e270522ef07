package cache

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
)

// together loads what is missing in one call, of which there is one for those who
// miss the same. Where it fails, stale values are better than none.
func (m *many) together(ctx context.Context, ids []string, redis bool) error {
	if len(ids) == 0 {
		return nil
	}
	done := m.k.s.flights.DoChan(m.flight(ids, redis), func() (any, error) {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), m.k.lease()+m.k.loadWithin)
		defer cancel()
		return m.obtain(ctx, ids, redis)
	})
	select {
	case r := <-done:
		all, _ := r.Val.(map[string]answer)
		return m.settle(ids, all, r.Err)
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// flight is the name of what is missing: another one when any of it has changed.
func (m *many) flight(ids []string, redis bool) string {
	var changes uint64
	for _, id := range ids {
		changes += m.k.s.memory.mark(entryKey(m.k.name, id), nil).sum
	}
	return fmt.Sprint("many ", redis, m.k.name, " ", changes, " ", strings.Join(ids, "{"))
}

// settle takes what was obtained, and what is stale for the rest. err is nobody's
// concern if nothing is left then.
func (m *many) settle(ids []string, all map[string]answer, err error) error {
	left := 0
	for _, id := range ids {
		held := m.k.held(m.query(id))
		a, ok := all[id]
		switch {
		case ok:
			m.put(id, a)
		case held != nil && m.k.remains(held):
			m.put(id, m.k.answer(&held.entry, FromMemory, true))
		default:
			m.k.meter.requests.answered(answer{}, err).Inc()
			left++
		}
	}
	if left == 0 {
		return nil
	}
	return err
}

// A part is one id of those that are missing.
type part struct {
	id    string
	q     query
	token string
	mark  mark
	asked int64
	ours  bool // to load
	alone bool // for this process alone
}

// obtain loads what nobody else loads in one call, fills it, and waits for the others
// only then: who waits holds up nobody.
func (m *many) obtain(ctx context.Context, ids []string, redis bool) (map[string]answer, error) {
	parts := make([]part, len(ids))
	_ = each(parts, func(i int) error { parts[i] = m.claim(ctx, ids[i], redis); return nil })
	all, err := m.loadParts(ctx, parts)
	var mu sync.Mutex
	waited := each(parts, func(i int) error {
		p := parts[i]
		if p.ours {
			return nil
		}
		a, err := m.k.miss(ctx, p.q, "", m.k.held(p.q))
		if err != nil {
			return err
		}
		mu.Lock()
		defer mu.Unlock()
		all[p.id] = a
		return nil
	})
	return all, errors.Join(err, waited)
}

// each runs f for each of a list, some beside each other, and returns the first error.
func each[T any](list []T, f func(i int) error) error {
	var g errgroup.Group
	g.SetLimit(atOnce)
	for i := range list {
		g.Go(func() error { return f(i) })
	}
	return g.Wait()
}

// claim finds out who loads an id. Where Redis does not say, everybody does.
func (m *many) claim(ctx context.Context, id string, redis bool) part {
	k := m.k
	p := part{id: id, q: m.query(id), token: newToken(), ours: true, alone: !redis}
	p.mark, p.asked = k.s.memory.mark(p.q.key, nil), k.s.memory.clock()
	if p.alone || k.s.pending.settle(ctx, p.q.key, nil) != nil {
		p.alone = true
		return p
	}
	state, _, err := k.s.redis.claim(ctx, p.q.key, p.token, "", k.lease())
	p.ours, p.alone = err != nil || state == ours, err != nil
	return p
}

// loadParts asks the loader once for all that is ours, and keeps what it finds.
func (m *many) loadParts(ctx context.Context, parts []part) (map[string]answer, error) {
	all := map[string]answer{}
	var ids []string
	for _, p := range parts {
		if p.ours {
			ids = append(ids, p.id)
		}
	}
	if len(ids) == 0 {
		return all, nil
	}
	values, err := m.ask(ctx, ids)
	var mu sync.Mutex
	_ = each(parts, func(i int) error { // none fails
		p := parts[i]
		if !p.ours {
			return nil
		}
		if err != nil {
			m.giveUp(ctx, p)
			return nil
		}
		a := m.store(ctx, p, values)
		mu.Lock()
		defer mu.Unlock()
		all[p.id] = a
		return nil
	})
	return all, err
}

// ask calls the loader.
func (m *many) ask(ctx context.Context, ids []string) (values map[string][]byte, err error) {
	k := m.k
	leave, err := k.s.opt.Guard.enter(ctx)
	if err != nil {
		k.meter.loads.loaded(err).Inc()
		return nil, err
	}
	defer leave()
	began := time.Now()
	within, cancel := context.WithTimeout(ctx, k.loadWithin)
	defer cancel()
	_, err = guarded(within, func(ctx context.Context) (_ []byte, err error) {
		values, err = m.load(ctx, ids)
		return nil, err
	})
	k.meter.seconds.Observe(time.Since(began).Seconds())
	k.meter.loads.loaded(err).Inc()
	return values, err
}

func (m *many) giveUp(ctx context.Context, p part) {
	if !p.alone {
		m.k.s.redis.release(ctx, p.q.key, p.token)
	}
}

// store fills what was loaded for an id.
func (m *many) store(ctx context.Context, p part, values map[string][]byte) answer {
	k := m.k
	e := entry{kind: kindValue, version: k.version, token: p.token, stamp: k.s.redis.now(), value: values[p.id]}
	if _, ok := values[p.id]; !ok {
		e.kind = kindNone
	}
	switch {
	case !k.keeps(&e):
		m.giveUp(ctx, p)
	case p.alone:
		k.keep(p.q, e, e.raw(), p.mark, p.asked)
	default:
		return k.store(ctx, p.q, e, p.token, nil, p.mark, p.asked)
	}
	return k.answer(&e, FromLoader, false)
}
