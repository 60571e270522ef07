package cache

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/transload/transload/internal/budget"
	"github.com/transload/transload/internal/eviction"
)

// Probe fills an entry of its own, gets it as another process would, invalidates it,
// and sees that it is gone, as an operator would to know that all is well after a
// migration. It logs how long that took, which is also in the error, if there is one.
// What it leaves expires in two minutes. A server that evicts nothing is no error, but
// logged (Info): when it is full, it takes no entries.
func (s *Store) Probe(ctx context.Context) error {
	began := time.Now()
	key := entryKey("transload-probe", fmt.Sprintf("%x", newToken()))
	err := s.probe(ctx, key)
	took := time.Since(began).Round(time.Microsecond)
	if err != nil {
		return fmt.Errorf("cache: probe, after %v: %w", took, err)
	}
	s.opt.Logger.Info("probe passed: an entry was filled, got and invalidated", "workload", workload, "op", "probe", "took", took)
	policy, err := budget.Do(ctx, s.redis.budget, func(ctx context.Context) (string, error) { return eviction.Policy(ctx, s.redis.c) })
	if err == nil && policy == eviction.None {
		s.opt.Logger.Info("the server evicts nothing: when it is full, it takes no entries. On a Redis of the cache's own set maxmemory-policy allkeys-lru",
			"workload", workload, "op", "probe", "policy", policy)
	}
	return nil
}

func (s *Store) probe(ctx context.Context, key string) error {
	const life = time.Minute
	e := entry{kind: kindValue, token: newToken(), value: []byte("probe")}
	if state, _, err := s.redis.claim(ctx, key, e.token, "", life); err != nil || state != ours {
		return errors.Join(errors.New("claim: the right to fill was not given"), err)
	}
	if filled, err := s.redis.fill(ctx, key, &e, life); err != nil || !filled {
		return errors.Join(errors.New("fill: it was refused"), err)
	}
	raw, err := s.redis.get(ctx, key)
	if err != nil {
		return fmt.Errorf("get: %w", err)
	}
	if got, ok := parse(raw, 0); !ok || got.token != e.token || string(got.value) != "probe" {
		return errors.New("get: another entry than was filled: does something else write the keys cache:{? Does the server evict at once?")
	}
	if err := s.redis.invalidate(ctx, key, life); err != nil {
		return fmt.Errorf("invalidate: %w", err)
	}
	raw, err = s.redis.get(ctx, key)
	if _, ok := parse(raw, 0); ok || err != nil {
		return errors.Join(errors.New("invalidate: the entry can still be got"), err)
	}
	return nil
}
