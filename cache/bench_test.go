package cache

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	rediscache "github.com/go-redis/cache/v9"
	"github.com/redis/go-redis/v9"

	"github.com/transload/transload/internal/redistest"
)

// A manifest is of usual size.
type manifest struct {
	ID    string
	Items []string
	Notes string
}

// BenchmarkHit gets what is there: from Redis, beside a plain GET whose reply is
// decoded and go-redis/cache, and from memory.
func BenchmarkHit(b *testing.B) {
	const n = 1000
	c := redistest.Client(b, redistest.SharedStandalone(b), func(o *redis.Options) { o.ContextTimeoutEnabled = true })
	v := manifest{ID: "7", Items: []string{"pallet", "crate", "container"}, Notes: strings.Repeat("fragile ", 25)}
	load := func(context.Context) (manifest, error) { return v, nil }
	ids := make([]string, n)
	theirs := rediscache.New(&rediscache.Options{Redis: c})
	codec := JSON[manifest]{}
	for i := range n {
		ids[i] = fmt.Sprint(i)
		raw, _ := codec.Encode(v)
		c.Set(b.Context(), "cache:{plain:"+ids[i]+"}", raw, time.Hour)
		if err := theirs.Set(&rediscache.Item{Key: "cache:{other:" + ids[i] + "}", Value: v, TTL: time.Hour}); err != nil {
			b.Fatal(err)
		}
	}
	ours := func(o Options) func(context.Context, string) (manifest, error) {
		s := storeOn(b, c, o)
		manifests, err := New(s, "manifest", Config[manifest]{TTL: time.Hour})
		if err != nil {
			b.Fatal(err)
		}
		get := func(ctx context.Context, id string) (manifest, error) {
			m, _, err := manifests.Get(ctx, id, load)
			return m, err
		}
		if o.Memory >= 0 {
			tracked(b, s)
		}
		for range 2 {
			for _, id := range ids {
				if _, err := get(b.Context(), id); err != nil {
					b.Fatal(err)
				}
			}
		}
		return get
	}
	g := guardOf(b, Limit{PerSecond: 100_000})
	for _, way := range []struct {
		name string
		get  func(context.Context, string) (manifest, error)
	}{
		{"plain GET and decode", func(ctx context.Context, id string) (manifest, error) {
			raw, err := c.Get(ctx, "cache:{plain:"+id+"}").Bytes()
			if err != nil {
				return manifest{}, err
			}
			return codec.Decode(raw)
		}},
		{"go-redis cache", func(ctx context.Context, id string) (m manifest, err error) {
			err = theirs.Get(ctx, "cache:{other:"+id+"}", &m)
			return m, err
		}},
		{"ours, from Redis", ours(Options{Memory: -1, Guard: g})},
		{"ours, from memory", ours(Options{Guard: g})},
	} {
		b.Run(way.name, func(b *testing.B) {
			b.ReportAllocs()
			b.SetParallelism(8)
			b.RunParallel(func(pb *testing.PB) {
				for i := 0; pb.Next(); i++ {
					if m, err := way.get(b.Context(), ids[i%n]); err != nil || m.ID != v.ID {
						b.Errorf("got %+v, %v", m, err)
						return
					}
				}
			})
		})
	}
}
