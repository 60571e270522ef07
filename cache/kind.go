package cache

import (
	"context"
	"slices"
	"time"
)

// slack is by how much a tombstone, or a tag, outlives what it speaks of: clocks
// differ.
const slack = time.Minute

// A kind is a Cache less the type of its values.
type kind struct {
	s                                         *Store
	name                                      string
	ttl, soft, negative, maxStale, loadWithin time.Duration
	maxSize                                   int
	version                                   uint8
	meter                                     *kindMeter
}

// A query is what a caller asks for.
type query struct {
	key  string
	tags []string
	load func(context.Context) ([]byte, error)
}

// An answer is what he gets.
type answer struct {
	entry
	meta Meta
}

// get answers a query. In every branch the mark comes first, then what it vouches for
// is asked.
func (k *kind) get(ctx context.Context, q query) (answer, error) {
	a, err := k.find(ctx, q)
	k.meter.requests.answered(a, err).Inc()
	return a, err
}

func (k *kind) find(ctx context.Context, q query) (answer, error) {
	k.s.begin(ctx)
	now := k.s.memory.mark(q.key, q.tags)
	held := k.held(q)
	if held != nil && k.s.memory.fresh(held, now) && !k.over(&held.entry) {
		if !held.used.Load() { // a write for each reader would make them wait for each other
			held.used.Store(true)
		}
		k.renew(ctx, q, &held.entry)
		return k.answer(&held.entry, FromMemory, false), nil
	}
	asked := k.s.memory.clock()
	r, err := k.s.redis.read(ctx, q.key, q.tags)
	if err != nil {
		if ctx.Err() != nil {
			return answer{}, err
		}
		return k.without(ctx, q, held)
	}
	k.s.outages.looked(1, missingOf(r.raw))
	e, ok := parse(r.raw, k.version)
	switch {
	case ok && k.usable(q, &e, r.tags):
		k.keep(q, e, r.raw, now, asked)
		k.renew(ctx, q, &e)
		return k.answer(&e, FromRedis, false), nil
	case r.raw == nil && held != nil && held.mark.sum == now.sum && !k.over(&held.entry):
		return k.bringBack(ctx, q, held, now, asked)
	}
	return k.miss(ctx, q, e.token, held)
}

func missingOf(raw []byte) int {
	if raw == nil {
		return 1
	}
	return 0
}

// held is what memory has for a query.
func (k *kind) held(q query) *memo {
	held := k.s.memory.find(q.key)
	if held != nil && slices.Equal(held.of, q.tags) {
		return held
	}
	return nil
}

// keep holds an entry in memory that a caller has asked for: when it changes it is read
// again, so that it is there if Redis goes.
func (k *kind) keep(q query, e entry, raw []byte, m mark, asked int64) {
	o := k.memo(q, e, raw, m, asked)
	o.used.Store(true)
	k.s.memory.keep(o)
}

func (k *kind) memo(q query, e entry, raw []byte, m mark, asked int64) *memo {
	return &memo{entry: e, kind: k, key: q.key, of: q.tags, raw: raw, mark: m, at: asked}
}

func (k *kind) answer(e *entry, from Source, stale bool) answer {
	return answer{entry: *e, meta: Meta{Source: from, Stale: stale, Age: k.age(e)}}
}

// bringBack answers with an entry that Redis has no more, nor a tombstone for it: it
// was lost. If it is known that nobody has changed it until then, it is put back, and
// is as good as before. Else it is answered as stale, and loaded behind the caller's
// back, as fast as the guard lets it. A tag's version is lost with the entry, so those
// with tags are never put back.
func (k *kind) bringBack(ctx context.Context, q query, held *memo, now mark, asked int64) (answer, error) {
	if len(q.tags) == 0 && k.s.memory.lost(held, now) {
		left := k.life(&held.entry) - k.age(&held.entry)
		ok, err := k.s.redis.restore(ctx, q.key, held.raw, max(left, time.Millisecond))
		switch {
		case err != nil && ctx.Err() == nil:
			return k.without(ctx, q, held)
		case err != nil:
			return answer{}, err
		case !ok: // somebody has filled it, is about to, or has invalidated it
			return k.miss(ctx, q, "", held)
		}
		k.meter.restored.Inc()
		k.keep(q, held.entry, held.raw, now, asked)
		return k.answer(&held.entry, FromMemory, false), nil
	}
	k.renewNow(ctx, q, "")
	return k.answer(&held.entry, FromMemory, true), nil
}

// usable reports whether an entry of Redis's answers a query; versions are those of
// its tags now.
func (k *kind) usable(q query, e *entry, versions []int64) bool {
	return !k.over(e) && len(e.value) <= k.maxSize && slices.Equal(e.tags, versions) && !k.s.pending.concerns(q.key, q.tags)
}

// age is how old an entry is.
func (k *kind) age(e *entry) time.Duration {
	return time.Duration(max(k.s.redis.now()-e.stamp, 0)) * time.Millisecond
}

// life is how old it may become.
func (k *kind) life(e *entry) time.Duration {
	if e.kind == kindNone {
		return max(k.negative, 0)
	}
	return k.ttl
}

// over reports whether an entry has had its time, wherever it is still to be found.
func (k *kind) over(e *entry) bool { return k.age(e) >= k.life(e) }

// due reports whether an entry should be loaded anew while it is still good. An
// outage does not count: what came due during it comes due when it would have, and
// not at once when it is over.
func (k *kind) due(e *entry) bool {
	age := k.age(e)
	if e.kind != kindValue || age < k.soft-k.soft/4 || age < k.soft-e.early(k.soft) {
		return false
	}
	return age-k.s.outages.during(time.Now().Add(-age)) >= k.soft-e.early(k.soft)
}
