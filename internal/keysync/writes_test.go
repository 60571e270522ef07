package keysync

import (
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
)

// TestTolerance: expiries within it are equal, and left alone.
func TestTolerance(t *testing.T) {
	b := benches["dump"](t)
	at := time.Now().Add(time.Hour).UnixMilli()
	for _, key := range []string{"k", "l"} {
		do(t, b.ca, "SET", key, "v", "PXAT", at)
		do(t, b.cb, "SET", key, "v", "PXAT", at+40)
	}
	for limit, want := range map[time.Duration]Diff{0: ExpiryDiffers, 39 * time.Millisecond: ExpiryDiffers, 40 * time.Millisecond: Equal} {
		for _, large := range []int64{0, 1} {
			if got := b.compare(t, "k", Options{Tolerance: limit, Large: large}); got != want {
				t.Errorf("within %v: got %v; want %v", limit, got, want)
			}
		}
	}
}

// TestUnderWrites copies keys while they change. Afterwards, with nobody
// writing, one more Sync must leave them equal.
func TestUnderWrites(t *testing.T) {
	t.Parallel()
	for _, what := range []string{"dump", "typed", "fake to fake"} {
		for _, large := range []int64{0, 1} {
			t.Run(fmt.Sprintf("%s, large %d", what, large), func(t *testing.T) {
				t.Parallel()
				b := benches[what](t)
				opts := b.options()
				opts.Large = large
				keys := []string{"str", "hash", "set", "zset", "list", "stream"}
				var wg sync.WaitGroup
				stop := make(chan struct{})
				wg.Go(func() { scribble(t, b.ca, stop) })
				for range 25 {
					results, _ := Sync(t.Context(), b.a, b.b, keys, opts)
					for _, r := range results {
						if r.Err != nil && !errors.Is(r.Err, errChanged) {
							t.Errorf("%s: %v", r.Key, r.Err)
						}
					}
				}
				close(stop)
				wg.Wait()
				if _, err := Sync(t.Context(), b.a, b.b, keys, opts); err != nil {
					t.Fatal(err)
				}
				for _, key := range keys {
					if got := b.compare(t, key, b.options()); got != Equal {
						t.Errorf("%s: got %v; want equal", key, got)
					}
				}
			})
		}
	}
}

func scribble(t *testing.T, c redis.UniversalClient, stop <-chan struct{}) {
	for i := 1; ; i++ {
		select {
		case <-stop:
			return
		default:
		}
		p := c.Pipeline()
		p.Do(t.Context(), "APPEND", "str", i)
		p.Do(t.Context(), "HSET", "hash", i%50, i)
		p.Do(t.Context(), "HDEL", "hash", i%37)
		p.Do(t.Context(), "SADD", "set", i%200)
		p.Do(t.Context(), "SREM", "set", i*7%200)
		p.Do(t.Context(), "ZADD", "zset", i, i%60)
		p.Do(t.Context(), "LPUSH", "list", i)
		p.Do(t.Context(), "RPOP", "list")
		p.Do(t.Context(), "RPUSH", "list", i)
		p.Do(t.Context(), "XADD", "stream", fmt.Sprint(i, "-1"), "f", i)
		if i%5 == 0 {
			p.Do(t.Context(), "XTRIM", "stream", "MAXLEN", 30)
		}
		if i%100 == 0 {
			p.Do(t.Context(), "DEL", "str", "hash", "list", "set")
		}
		if _, err := p.Exec(t.Context()); err != nil {
			t.Error(err)
			return
		}
	}
}
