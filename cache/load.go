package cache

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"
)

const (
	// firstLook and lastLook are the waits between looks whether another process has
	// filled an entry: from a round trip to a fraction of a usual load.
	firstLook = 2 * time.Millisecond
	lastLook  = 50 * time.Millisecond

	// patience is how long who has a stale value waits for a better one.
	patience = 100 * time.Millisecond
)

// errBusy means that another process is still loading.
var errBusy = errors.New("another process is loading it")

// miss gets what neither memory nor Redis has. Of those who miss the same at the same
// time one acts; what was invalidated since is another thing. refused is the token of
// an entry in Redis that will not do.
func (k *kind) miss(ctx context.Context, q query, refused string, held *memo) (answer, error) {
	return k.fly(ctx, "", q, held, func(ctx context.Context) (answer, error) {
		return k.obtain(ctx, q, refused, held != nil)
	})
}

// without answers without Redis: from memory what was good when it was last heard of,
// and else from the loader.
func (k *kind) without(ctx context.Context, q query, held *memo) (answer, error) {
	if held != nil && held.mark.sum == k.s.memory.mark(q.key, q.tags).sum && k.remains(held) {
		return k.answer(&held.entry, FromMemory, true), nil
	}
	return k.fly(ctx, "away ", q, held, func(ctx context.Context) (answer, error) { return k.alone(ctx, q) })
}

// fly has one of those who ask the same run f, with a context that ends with none of
// them. Where it fails, a stale value is better than none.
func (k *kind) fly(ctx context.Context, way string, q query, held *memo, f func(context.Context) (answer, error)) (answer, error) {
	now := k.s.memory.mark(q.key, q.tags)
	flight := fmt.Sprint(way, q.key, " ", now.sum)
	done := k.s.flights.DoChan(flight, func() (any, error) {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), k.lease()+k.loadWithin)
		defer cancel()
		return f(ctx)
	})
	select {
	case r := <-done:
		if r.Err == nil {
			return r.Val.(answer), nil
		}
		if held != nil && k.remains(held) {
			return k.answer(&held.entry, FromMemory, true), nil
		}
		return answer{}, r.Err
	case <-ctx.Done():
		return answer{}, context.Cause(ctx)
	}
}

// remains reports whether what is held may be answered for want of a better one.
func (k *kind) remains(held *memo) bool {
	return k.age(&held.entry) < k.life(&held.entry)+k.maxStale
}

// lease is how long the right to fill lasts: the wait for the guard, the load, and
// two calls of Redis.
func (k *kind) lease() time.Duration {
	return max(k.s.opt.Guard.limit.Wait, 0) + k.loadWithin + 2*k.s.opt.Budget + time.Second
}

// obtain loads an entry and fills it, or waits until another process has.
func (k *kind) obtain(ctx context.Context, q query, refused string, stale bool) (answer, error) {
	if err := k.s.pending.settle(ctx, q.key, q.tags); err != nil {
		return k.alone(ctx, q)
	}
	token, began := newToken(), time.Now()
	for look := firstLook; ; look = min(look*3/2, lastLook) {
		now, asked := k.s.memory.mark(q.key, q.tags), k.s.memory.clock()
		state, raw, err := k.s.redis.claim(ctx, q.key, token, refused, k.lease())
		switch {
		case err != nil && ctx.Err() != nil:
			return answer{}, err
		case err != nil:
			return k.alone(ctx, q)
		case state == ours:
			return k.loadAndFill(ctx, q, token, now, asked)
		case state == needless:
			a, bad, ok := k.take(ctx, q, raw, now, asked)
			if ok {
				return a, nil
			}
			refused = bad
		case stale && time.Since(began) > patience:
			return answer{}, errBusy
		}
		if err := sleep(ctx, look/2+rand.N(look)); err != nil {
			return answer{}, fmt.Errorf("%w: %w", errBusy, err)
		}
	}
}

// take answers with what another process has filled. If that does not do, it returns
// its token.
func (k *kind) take(ctx context.Context, q query, raw []byte, now mark, asked int64) (_ answer, refused string, ok bool) {
	r := reading{raw: raw}
	if len(q.tags) > 0 {
		var err error
		if r, err = k.s.redis.read(ctx, q.key, q.tags); err != nil {
			return answer{}, "", false
		}
	}
	e, ok := parse(r.raw, k.version)
	if !ok || !k.usable(q, &e, r.tags) {
		return answer{}, e.token, false
	}
	k.keep(q, e, r.raw, now, asked)
	return k.answer(&e, FromRedis, false), "", true
}

// loadAndFill loads an entry under the right to fill it. The versions of its tags are
// read before: what changes while it is loaded is newer than they are.
func (k *kind) loadAndFill(ctx context.Context, q query, token string, now mark, asked int64) (answer, error) {
	versions, err := k.s.redis.stand(ctx, q.tags, k.ttl)
	if err != nil {
		return k.alone(ctx, q)
	}
	e, err := k.load(ctx, q)
	if err != nil || !k.keeps(&e) {
		k.s.redis.release(ctx, q.key, token)
		return k.answer(&e, FromLoader, false), err
	}
	return k.store(ctx, q, e, token, versions, now, asked), nil
}

// store fills an entry that was loaded.
func (k *kind) store(ctx context.Context, q query, e entry, token string, versions []int64, now mark, asked int64) answer {
	e.token, e.tags = token, versions
	filled, err := k.s.redis.fill(ctx, q.key, &e, k.life(&e))
	if err == nil && !filled {
		k.meter.fenced.Inc() // what was loaded may be older than an invalidation: it is nobody else's
		return k.answer(&e, FromLoader, false)
	}
	k.keep(q, e, e.raw(), now, asked)
	return k.answer(&e, FromLoader, false)
}

// alone loads an entry for this process alone.
func (k *kind) alone(ctx context.Context, q query) (answer, error) {
	now, asked := k.s.memory.mark(q.key, q.tags), k.s.memory.clock()
	e, err := k.load(ctx, q)
	if err != nil {
		return answer{}, err
	}
	if e.token = newToken(); k.keeps(&e) {
		k.keep(q, e, e.raw(), now, asked)
	}
	return k.answer(&e, FromLoader, false), nil
}

// keeps reports whether an entry is to be kept.
func (k *kind) keeps(e *entry) bool {
	if len(e.value) > k.maxSize {
		k.meter.oversized.Inc()
		k.s.opt.Logger.Warn("a value is not kept: it is larger than MaxSize", "workload", workload, "op", "fill", "cache", k.name, "bytes", len(e.value))
		return false
	}
	return k.life(e) > 0
}

// load asks the loader, if the guard lets it, and if it has not failed just now.
func (k *kind) load(ctx context.Context, q query) (entry, error) {
	if err := k.s.failures.recent(q.key); err != nil {
		return entry{}, err
	}
	leave, err := k.s.opt.Guard.enter(ctx)
	if err != nil {
		k.meter.loads.loaded(err).Inc()
		return entry{}, err
	}
	defer leave()
	return k.loadNow(ctx, q)
}

// loadNow asks the loader.
func (k *kind) loadNow(ctx context.Context, q query) (entry, error) {
	e := entry{kind: kindValue, version: k.version, stamp: k.s.redis.now()}
	began := time.Now()
	within, cancel := context.WithTimeout(ctx, k.loadWithin)
	defer cancel()
	var err error
	e.value, err = guarded(within, q.load)
	k.meter.seconds.Observe(time.Since(began).Seconds())
	k.meter.loads.loaded(err).Inc()
	switch {
	case errors.Is(err, ErrNotFound):
		e.kind, e.value, err = kindNone, nil, nil
	case err != nil:
		k.s.failures.note(q.key, err)
	}
	return e, err
}

// guarded makes an error of a loader's panic: it runs on a goroutine of ours, where
// nobody could recover from it.
func guarded(ctx context.Context, load func(context.Context) ([]byte, error)) (data []byte, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("the loader has panicked: %v", p)
		}
	}()
	return load(ctx)
}
