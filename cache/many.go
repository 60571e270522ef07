package cache

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
)

// GetMany returns the values of ids: what memory and Redis have, in one round trip,
// and the rest from one call of load, which gets the ids that are missing and leaves
// out of its result what does not exist. What other processes are loading already is
// waited for, and not loaded twice. Ids may repeat.
//
// With an error the map has what could be got; without one, an id that is not in it
// does not exist. The errors are those of Get. One call of load counts as one load
// with the Guard, however many ids it is for.
func (c *Cache[T]) GetMany(ctx context.Context, ids []string, load func(ctx context.Context, missing []string) (map[string]T, error)) (map[string]T, error) {
	ids = slices.Compact(slices.Sorted(slices.Values(ids)))
	for _, id := range ids {
		if err := checkID("id", id); err != nil {
			return nil, fmt.Errorf("cache: get many: %w", err)
		}
	}
	m := &many{k: c.kind, ids: ids, got: map[string]answer{}}
	m.load = func(ctx context.Context, missing []string) (map[string][]byte, error) {
		values, err := load(ctx, missing)
		if err != nil {
			return nil, err
		}
		return c.encodeAll(values)
	}
	err := m.run(ctx)
	out := make(map[string]T, len(m.got))
	for id, a := range m.got {
		v, _, bad := c.finish(ctx, m.query(id), a, nil)
		if bad == nil {
			out[id] = v
		} else if !errors.Is(bad, ErrNotFound) {
			err = errors.Join(err, bad)
		}
	}
	if err != nil {
		return out, fmt.Errorf("cache: get many: %w", err)
	}
	return out, nil
}

func (c *Cache[T]) encodeAll(values map[string]T) (map[string][]byte, error) {
	out := make(map[string][]byte, len(values))
	for id, v := range values {
		data, err := c.encode(v)
		if err != nil {
			return nil, err
		}
		out[id] = data
	}
	return out, nil
}

// A many is one call of GetMany.
type many struct {
	k    *kind
	ids  []string
	load func(context.Context, []string) (map[string][]byte, error)

	mu  sync.Mutex
	got map[string]answer
}

// query is that of one id alone.
func (m *many) query(id string) query {
	return query{key: entryKey(m.k.name, id), load: func(ctx context.Context) ([]byte, error) {
		values, err := m.load(ctx, []string{id})
		if err != nil {
			return nil, err
		}
		if data, ok := values[id]; ok {
			return data, nil
		}
		return nil, ErrNotFound
	}}
}

func (m *many) put(id string, a answer) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.got[id] = a
	m.k.meter.requests.answered(a, nil).Inc()
}

// run answers what it can from memory and from Redis, and loads the rest.
func (m *many) run(ctx context.Context) error {
	m.k.s.begin(ctx)
	rest := m.remembered(ctx)
	if len(rest) == 0 {
		return nil
	}
	missing, err := m.read(ctx, rest)
	switch {
	case err == nil:
		return m.together(ctx, missing, true)
	case ctx.Err() != nil:
		return err
	}
	return m.together(ctx, m.withoutRedis(rest), false)
}

// remembered answers from memory, and returns what is not there.
func (m *many) remembered(ctx context.Context) (rest []string) {
	k := m.k
	for _, id := range m.ids {
		q := m.query(id)
		held := k.held(q)
		if held == nil || !k.s.memory.fresh(held, k.s.memory.mark(q.key, nil)) || k.over(&held.entry) {
			rest = append(rest, id)
			continue
		}
		held.used.Store(true)
		k.renew(ctx, q, &held.entry)
		m.put(id, k.answer(&held.entry, FromMemory, false))
	}
	return rest
}

// read answers from Redis, and returns what is not there.
func (m *many) read(ctx context.Context, ids []string) (missing []string, err error) {
	k := m.k
	keys, marks := make([]string, len(ids)), make([]mark, len(ids))
	for i, id := range ids {
		keys[i] = entryKey(k.name, id)
		marks[i] = k.s.memory.mark(keys[i], nil)
	}
	asked := k.s.memory.clock()
	raws, err := k.s.redis.readAll(ctx, keys)
	if err != nil {
		return nil, err
	}
	lost := 0
	for i, id := range ids {
		q := m.query(id)
		e, ok := parse(raws[i], k.version)
		held := k.held(q)
		switch {
		case ok && k.usable(q, &e, nil):
			k.keep(q, e, raws[i], marks[i], asked)
			k.renew(ctx, q, &e)
			m.put(id, k.answer(&e, FromRedis, false))
		case raws[i] == nil && held != nil && held.mark.sum == marks[i].sum && !k.over(&held.entry):
			a, err := k.bringBack(ctx, q, held, marks[i], asked)
			if err != nil {
				return nil, err
			}
			m.put(id, a)
		default:
			missing = append(missing, id)
		}
		lost += missingOf(raws[i])
	}
	k.s.outages.looked(len(ids), lost)
	return missing, nil
}

// withoutRedis answers from memory what was good when it was last heard of.
func (m *many) withoutRedis(ids []string) (missing []string) {
	k := m.k
	for _, id := range ids {
		q := m.query(id)
		held := k.held(q)
		if held == nil || held.mark.sum != k.s.memory.mark(q.key, nil).sum || !k.remains(held) {
			missing = append(missing, id)
			continue
		}
		m.put(id, k.answer(&held.entry, FromMemory, true))
	}
	return missing
}
