package cache

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// A Source is where an answer was found.
type Source uint8

// The sources.
const (
	FromMemory Source = iota + 1 // of this process
	FromRedis
	FromLoader
)

// String returns "memory", "redis" or "loader".
func (s Source) String() string {
	return [...]string{"none", "memory", "redis", "loader"}[min(s, FromLoader)]
}

// A Meta tells of an answer.
type Meta struct {
	Source Source
	// Stale means that there may be a newer value, and why does not matter: Redis could
	// not be asked, the loader failed, or a value that Redis has lost is being loaded.
	Stale bool
	// Age is the time since the value was loaded, on Redis's clock.
	Age time.Duration
}

// A Cache keeps values of one type. It is safe for concurrent use. Each answer is a
// value of its own, which the caller may change.
type Cache[T any] struct {
	kind  *kind
	codec Codec[T]
}

// New makes a Cache. Its name is a part of its keys: the same in every process, and
// another for each cache of a Store. Letters, digits, - and _.
func New[T any](s *Store, name string, c Config[T]) (*Cache[T], error) {
	c, err := c.withDefaults()
	if err = errors.Join(err, checkName(name)); err == nil {
		err = s.name(name)
	}
	if err != nil {
		return nil, fmt.Errorf("cache: %w", err)
	}
	k := &kind{s: s, name: name, ttl: c.TTL, soft: c.Soft, negative: c.Negative, maxStale: max(c.MaxStale, 0),
		maxSize: c.MaxSize, loadWithin: c.LoadWithin, version: c.Version, meter: s.meter.of(name)}
	return &Cache[T]{kind: k, codec: c.Codec}, nil
}

// Get returns the value of an id: from memory, else from Redis, else from load, which
// one caller in all processes runs while the others wait for what it finds. load says
// ErrNotFound if there is no such thing, and so does Get then. load gets a context of
// its own, which does not end with the caller's and ends after LoadWithin.
//
// An entry may have up to 16 tags, the same at each call for its id; InvalidateTag
// makes misses of all that have one. A value made of others is best a list of their
// ids, with tags, and the others got by GetMany.
//
// ErrShed: not in memory, not in Redis, and the Guard is full. Any other error is
// load's own, or ctx's; a value that is older than it should be comes before an error.
func (c *Cache[T]) Get(ctx context.Context, id string, load func(context.Context) (T, error), tags ...string) (T, Meta, error) {
	q, err := c.query(id, tags)
	if err != nil {
		var none T
		return none, Meta{}, fmt.Errorf("cache: get: %w", err)
	}
	q.load = func(ctx context.Context) ([]byte, error) {
		v, err := load(ctx)
		if err != nil {
			return nil, err
		}
		return c.encode(v)
	}
	a, err := c.kind.get(ctx, q)
	return c.finish(ctx, q, a, err)
}

// query checks what is asked for.
func (c *Cache[T]) query(id string, tags []string) (query, error) {
	err := checkID("id", id)
	for _, tag := range tags {
		err = errors.Join(err, checkID("tag", tag))
	}
	if len(tags) > maxTags {
		err = errors.Join(err, fmt.Errorf("%w: %d tags: give at most %d", ErrID, len(tags), maxTags))
	}
	return query{key: entryKey(c.kind.name, id), tags: tags}, err
}

func (c *Cache[T]) encode(v T) ([]byte, error) {
	data, err := c.codec.Encode(v)
	if err != nil {
		return nil, fmt.Errorf("encode: %w", err)
	}
	return data, nil
}

// finish makes a value of an answer. What cannot be decoded was written by something
// else, or by another version of the app: it is loaded anew, once.
func (c *Cache[T]) finish(ctx context.Context, q query, a answer, err error) (v T, _ Meta, _ error) {
	for try := 1; err == nil; try++ {
		if a.kind == kindNone {
			return v, a.meta, ErrNotFound
		}
		var value T
		if value, err = c.codec.Decode(a.value); err == nil {
			return value, a.meta, nil
		}
		c.kind.meter.undecoded.Inc()
		if try == 2 {
			err = fmt.Errorf("decode: %w", err)
			break
		}
		a, err = c.kind.miss(ctx, q, a.token, nil)
	}
	if errors.Is(err, ErrShed) || errors.Is(err, ErrNotFound) {
		return v, Meta{}, err
	}
	return v, Meta{}, fmt.Errorf("cache: get: %w", err)
}
