package figures

import (
	"context"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"golang.org/x/sync/errgroup"

	"github.com/transload/transload/internal/load"
	"github.com/transload/transload/internal/redistest"
	"github.com/transload/transload/migrate/coordinator"
	"github.com/transload/transload/topology"
)

const (
	passKeys    = 200_000
	bareWorkers = 4
	bareBatch   = 200
)

// BenchmarkPass tells how fast the first sync pass copies, and how fast verify
// compares, beside bare loops that do no more than SCAN, DUMP, PTTL and RESTORE on
// the same data. "copied" is until every key is there; until all that was copied has
// been compared as well, since the target's feed has named it, is told apart.
func BenchmarkPass(b *testing.B) {
	for _, target := range []struct {
		mode  string
		start func() topology.Config
	}{
		{"standalone", func() topology.Config { return config(b, redistest.Standalone(b, redistest.Options{})) }},
		{"cluster", func() topology.Config { return config(b, redistest.Cluster(b, redistest.Options{})) }},
	} {
		b.Run(target.mode, func(b *testing.B) {
			for b.Loop() {
				pass(b, target.start())
			}
		})
	}
}

func pass(b *testing.B, target topology.Config) {
	b.Helper()
	m := &migration{source: config(b, redistest.Standalone(b, redistest.Options{})), target: target}
	for _, cfg := range []*topology.Config{&m.source, &m.target} {
		cfg.ReadTimeout = 10 * time.Second // the bare loop must not fail where ours would try again
	}
	src, dst := open(b, m.source), open(b, m.target)
	if err := load.Stock(b.Context(), src, passKeys, func(int) {}); err != nil {
		b.Fatal(err)
	}
	source, err := src.MasterFor(b.Context(), "any")
	if err != nil {
		b.Fatal(err)
	}
	bareCopy := rate(b, func() error { return bare(b.Context(), source, copyTo(dst)) })
	bareVerify := rate(b, func() error { return bare(b.Context(), source, compareWith(dst)) })
	flush := func(ctx context.Context, _ string, node *redis.Client) error { return node.FlushAll(ctx).Err() }
	if err := dst.EachMaster(b.Context(), flush); err != nil {
		b.Fatal(err)
	}
	ask := m.coordinator(b, nil)
	there := make(chan float64, 1)
	go func() { // ends once all are there
		began := time.Now()
		if err := filled(b.Context(), dst); err != nil {
			b.Error(err)
		}
		there <- passKeys / time.Since(began).Seconds()
	}()
	equal := rate(b, func() error { m.shadow(b); return nil })
	copies := <-there
	verifies := rate(b, func() error {
		_, err := ask.Verify(b.Context(), coordinator.VerifyRequest{})
		return err
	})
	b.ReportMetric(bareCopy, "bare-copied/s")
	b.ReportMetric(copies, "copied/s")
	b.ReportMetric(copies/bareCopy, "copy-of-bare")
	b.ReportMetric(equal, "copied-and-compared/s")
	b.ReportMetric(bareVerify, "bare-compared/s")
	b.ReportMetric(verifies, "compared/s")
	b.ReportMetric(verifies/bareVerify, "verify-of-bare")
	b.ReportMetric(0, "ns/op")
}

// filled returns once a side has all keys.
func filled(ctx context.Context, c *topology.Client) error {
	for ctx.Err() == nil {
		var n atomic.Int64
		err := c.EachMaster(ctx, func(ctx context.Context, _ string, node *redis.Client) error {
			size, err := node.DBSize(ctx).Result()
			n.Add(size)
			return err
		})
		if err != nil || n.Load() >= passKeys {
			return err
		}
		time.Sleep(20 * time.Millisecond)
	}
	return ctx.Err()
}

// rate is how many keys a second one pass over all of them takes.
func rate(b *testing.B, pass func() error) float64 {
	b.Helper()
	began := time.Now()
	if err := pass(); err != nil {
		b.Fatal(err)
	}
	return passKeys / time.Since(began).Seconds()
}

// bare walks a server as a script would, and gives batches of keys, with their
// dumps and times left, to some workers.
func bare(ctx context.Context, src *redis.Client, do func(ctx context.Context, keys []string, dumps []*redis.StringCmd, left []*redis.DurationCmd) error) error {
	g, ctx := errgroup.WithContext(ctx)
	work := make(chan []string)
	for range bareWorkers {
		g.Go(func() error {
			for keys := range work {
				p := src.Pipeline()
				dumps, left := read(ctx, p, keys)
				if _, err := p.Exec(ctx); err != nil {
					return err
				}
				if err := do(ctx, keys, dumps, left); err != nil {
					return err
				}
			}
			return nil
		})
	}
	g.Go(func() error {
		defer close(work)
		for cursor := uint64(0); ; {
			keys, next, err := src.Scan(ctx, cursor, "", 1000).Result()
			if err != nil {
				return err
			}
			for len(keys) > 0 {
				n := min(bareBatch, len(keys))
				select {
				case work <- keys[:n]:
				case <-ctx.Done():
					return ctx.Err()
				}
				keys = keys[n:]
			}
			if cursor = next; next == 0 {
				return nil
			}
		}
	})
	return g.Wait()
}

func read(ctx context.Context, p redis.Pipeliner, keys []string) (dumps []*redis.StringCmd, left []*redis.DurationCmd) {
	for _, key := range keys {
		dumps, left = append(dumps, p.Dump(ctx, key)), append(left, p.PTTL(ctx, key))
	}
	return dumps, left
}

func copyTo(dst redis.UniversalClient) func(context.Context, []string, []*redis.StringCmd, []*redis.DurationCmd) error {
	return func(ctx context.Context, keys []string, dumps []*redis.StringCmd, left []*redis.DurationCmd) error {
		p := dst.Pipeline()
		for i, key := range keys {
			p.RestoreReplace(ctx, key, max(0, left[i].Val()), dumps[i].Val())
		}
		_, err := p.Exec(ctx)
		return err
	}
}

func compareWith(dst redis.UniversalClient) func(context.Context, []string, []*redis.StringCmd, []*redis.DurationCmd) error {
	return func(ctx context.Context, keys []string, dumps []*redis.StringCmd, left []*redis.DurationCmd) error {
		p := dst.Pipeline()
		others, times := read(ctx, p, keys)
		if _, err := p.Exec(ctx); err != nil {
			return err
		}
		for i, key := range keys {
			// Dumps of equal sets and streams may differ: a script would look closer.
			if plain := strings.HasPrefix(key, "sess:") || strings.HasPrefix(key, "cache:"); plain && others[i].Val() != dumps[i].Val() {
				return fmt.Errorf("%s differs", key)
			}
			if (times[i].Val() > 0) != (left[i].Val() > 0) {
				return fmt.Errorf("the expiry of %s differs", key)
			}
		}
		return nil
	}
}
