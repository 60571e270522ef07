package sessions

import (
	"context"
	"fmt"
	"strings"
	"sync"

	"github.com/redis/go-redis/v9"
)

// scanCount is how many keys a server looks at in one step of a walk: few enough
// that it holds up nobody.
const scanCount = 500

// keys returns the hashes of all scs sessions.
func (s *SCS) keys(ctx context.Context) ([]hash, error) {
	var mu sync.Mutex
	var all []hash
	err := eachMaster(ctx, s.m.redis.c, func(ctx context.Context, c scanner) error {
		var cursor uint64
		for {
			keys, next, err := c.Scan(ctx, cursor, scsPrefix+"*", scanCount).Result()
			if err != nil {
				return err
			}
			mu.Lock()
			for _, key := range keys {
				if id, ok := parseHandle(strings.TrimSuffix(strings.TrimPrefix(key, scsPrefix), "}")); ok {
					all = append(all, id)
				}
			}
			mu.Unlock()
			if cursor = next; cursor == 0 {
				return nil
			}
		}
	})
	if err != nil {
		return nil, fmt.Errorf("%w: scan: %w", ErrUnavailable, err)
	}
	return all, nil
}

type scanner interface {
	Scan(ctx context.Context, cursor uint64, match string, count int64) *redis.ScanCmd
}

// eachMaster calls f for every master of a cluster, once for any other client: a
// migrating one walks over a whole side by itself.
func eachMaster(ctx context.Context, c client, f func(context.Context, scanner) error) error {
	switch c := c.(type) {
	case interface { // go-redis's cluster client
		ForEachMaster(context.Context, func(context.Context, *redis.Client) error) error
	}:
		return c.ForEachMaster(ctx, func(ctx context.Context, node *redis.Client) error { return f(ctx, node) })
	case interface { // package topology's
		EachMaster(context.Context, func(context.Context, string, *redis.Client) error) error
	}:
		return c.EachMaster(ctx, func(ctx context.Context, _ string, node *redis.Client) error { return f(ctx, node) })
	}
	return f(ctx, c)
}
