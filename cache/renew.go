package cache

import (
	"context"
	"maps"
	"slices"
)

const (
	// followRoom is how many changed entries may wait to be read again, and followBatch
	// how many are read together. What finds no room is read when it is asked for.
	followRoom  = 4096
	followBatch = 100
)

// renew has an entry that is due loaded anew behind the caller's back.
func (k *kind) renew(ctx context.Context, q query, e *entry) {
	if k.due(e) && !k.s.outages.away() {
		k.renewNow(ctx, q, e.token)
	}
}

// renewNow loads an entry anew, unless the guard is full, this was tried within the
// last second, or another process does it or has done it. refused is the token of the
// entry that there is.
func (k *kind) renewNow(ctx context.Context, q query, refused string) {
	if !k.s.resting.take(q.key) {
		return
	}
	leave, ok := k.s.opt.Guard.try()
	if !ok {
		return
	}
	run := func(ctx context.Context) {
		defer leave()
		ctx, cancel := context.WithTimeout(ctx, k.lease())
		defer cancel()
		k.replace(ctx, q, refused)
	}
	if !k.s.behind(ctx, run) {
		leave()
	}
}

// replace loads an entry anew, or takes what another process has loaded.
func (k *kind) replace(ctx context.Context, q query, refused string) {
	token := newToken()
	now, asked := k.s.memory.mark(q.key, q.tags), k.s.memory.clock()
	state, raw, err := k.s.redis.claim(ctx, q.key, token, refused, k.lease())
	if err != nil || state == others {
		return
	}
	if state == needless {
		_, _, _ = k.take(ctx, q, raw, now, asked)
		return
	}
	versions, err := k.s.redis.stand(ctx, q.tags, k.ttl)
	if err != nil {
		return // the right ends with its lease
	}
	e, err := k.loadNow(ctx, q)
	if err != nil || !k.keeps(&e) {
		k.s.redis.release(ctx, q.key, token)
		return
	}
	k.store(ctx, q, e, token, versions, now, asked)
}

// follow has an entry that is in use and has changed read again, so that memory has
// what Redis has, be it that Redis is gone the next moment.
func (s *Store) follow(o *memo) {
	if len(o.of) > 0 {
		return
	}
	select {
	case s.works <- o:
	default:
	}
}

// followAll reads what follow was told of.
func (s *Store) followAll(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case o := <-s.works:
			s.readAgain(ctx, s.batch(o))
		}
	}
}

// batch takes what else is waiting, each entry once.
func (s *Store) batch(first *memo) []*memo {
	all := map[string]*memo{first.key: first}
	for len(all) < followBatch {
		select {
		case o := <-s.works:
			all[o.key] = o
		default:
			return slices.Collect(maps.Values(all))
		}
	}
	return slices.Collect(maps.Values(all))
}

// readAgain reads entries and keeps those that are good.
func (s *Store) readAgain(ctx context.Context, list []*memo) {
	keys, marks := make([]string, len(list)), make([]mark, len(list))
	for i, o := range list {
		keys[i], marks[i] = o.key, s.memory.mark(o.key, nil)
	}
	asked := s.memory.clock()
	raws, err := s.redis.readAll(ctx, keys)
	if err != nil {
		return
	}
	for i, o := range list {
		q := query{key: o.key}
		if e, ok := parse(raws[i], o.kind.version); ok && o.kind.usable(q, &e, nil) {
			s.memory.keep(o.kind.memo(q, e, raws[i], marks[i], asked)) // once more only if it is used until then
		}
	}
}
