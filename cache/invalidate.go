package cache

import (
	"context"
	"fmt"
	"slices"
)

// atOnce is how many commands a call that concerns many ids sends beside each other.
const atOnce = 16

// Invalidate says that what is behind ids has changed. Call it when the change is in
// the database. When it returns nil, no process fills Redis any more with what it
// loaded before, and none answers with it, save from memory within MemoryAge where
// servers do not tell of changes, or at most 2s where the connection that tells has
// died without a word.
//
// ErrUnavailable: Redis gave no answer. The invalidation holds in this process, and is
// sent again until Redis takes it, or the Store is closed.
func (c *Cache[T]) Invalidate(ctx context.Context, ids ...string) error {
	chores := make([]chore, len(ids))
	for i, id := range ids {
		if err := checkID("id", id); err != nil {
			return fmt.Errorf("invalidate: %w", err)
		}
		chores[i] = chore{key: entryKey(c.kind.name, id), life: c.kind.ttl + slack}
	}
	return c.kind.s.drop(ctx, chores)
}

// InvalidateTag says that what all entries with one of tags were made of has changed,
// in whichever cache they are. It costs one command a tag, however many entries there
// are. Otherwise it is as Cache.Invalidate.
func (s *Store) InvalidateTag(ctx context.Context, tags ...string) error {
	chores := make([]chore, len(tags))
	for i, tag := range tags {
		if err := checkID("tag", tag); err != nil {
			return fmt.Errorf("invalidate: %w", err)
		}
		chores[i] = chore{tag: tag}
	}
	return s.drop(ctx, chores)
}

// drop does chores, and keeps what could not be done. It goes through all of them.
func (s *Store) drop(ctx context.Context, chores []chore) error {
	errs := make([]error, len(chores))
	_ = each(chores, func(i int) error { errs[i] = s.dropOne(ctx, chores[i]); return nil })
	errs = slices.DeleteFunc(errs, func(err error) bool { return err == nil })
	if len(errs) == 0 {
		return nil
	}
	return fmt.Errorf("invalidate: %d of %d: %w", len(errs), len(chores), errs[0])
}

// dropOne does a chore, or keeps it. What is in memory counts as changed when Redis
// has been told, or cannot be: a reading that began before has an older mark.
func (s *Store) dropOne(ctx context.Context, c chore) error {
	err := s.perform(ctx, c)
	s.meter.invalidations.told(err).Inc()
	if err == nil {
		return nil
	}
	kept := s.pending.add(ctx, c)
	s.memory.Add(c.name())
	if !kept {
		s.opt.Logger.Warn("an invalidation is dropped: too many wait for Redis", "workload", workload, "op", "invalidate")
		return fmt.Errorf("%w: dropped, since %d wait already: %w", ErrUnavailable, pendingLimit, err)
	}
	return fmt.Errorf("kept until Redis answers: %w", err)
}

// perform does a chore.
func (s *Store) perform(ctx context.Context, c chore) (err error) {
	if c.tag != "" {
		err = s.redis.bump(ctx, c.tag)
	} else {
		err = s.redis.invalidate(ctx, c.key, c.life)
	}
	if err == nil {
		s.memory.Add(c.name())
		s.failures.clear(c.name())
	}
	return err
}
