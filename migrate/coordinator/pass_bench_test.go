package coordinator

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/transload/transload/internal/redistest"
	"github.com/transload/transload/topology"
)

// BenchmarkBackfill tells the first sync pass of sessions, in keys a second, and
// that of a bare loop of SCAN, DUMP and RESTORE beside it.
func BenchmarkBackfill(b *testing.B) {
	const n = 100_000
	src, dst := redistest.Standalone(b, redistest.Options{}), redistest.Standalone(b, redistest.Options{})
	ctx := b.Context()
	c := redistest.Client(b, src)
	p := c.Pipeline()
	for i := range n {
		fields := make([]any, 0, 20)
		for f := range 10 {
			fields = append(fields, fmt.Sprint("field", f), fmt.Sprintf("%032d", i*f))
		}
		key := fmt.Sprintf("sess:{%d}", i)
		p.HSet(ctx, key, fields...)
		p.Expire(ctx, key, 24*time.Hour)
		if i%1000 == 999 {
			if _, err := p.Exec(ctx); err != nil {
				b.Fatal(err)
			}
		}
	}
	env := redistest.Getenv(redistest.Merge(src.Env("A"), dst.Env("B")))
	var o Options
	var err error
	if o.Source, err = topology.FromEnv("A", env); err != nil {
		b.Fatal(err)
	}
	if o.Target, err = topology.FromEnv("B", env); err != nil {
		b.Fatal(err)
	}
	o.NoMembers = true
	for b.Loop() {
		b.StopTimer()
		redistest.Client(b, dst).FlushAll(ctx)
		b.StartTimer()
		began := time.Now()
		bare(b, c, redistest.Client(b, dst))
		b.ReportMetric(n/time.Since(began).Seconds(), "bare-keys/s")
		b.StopTimer()
		redistest.Client(b, dst).FlushAll(ctx)
		redistest.Client(b, src).Del(ctx, "transload:{default}:control")
		b.StartTimer()
		co, err := Open(o)
		if err != nil {
			b.Fatal(err)
		}
		within, cancel := context.WithCancel(ctx)
		began = time.Now()
		err = co.leading(within, "shadow", func(ctx context.Context, t *term) error {
			if err := t.load(ctx, true); err != nil {
				return err
			}
			t.keep(ctx)
			for !t.syncer.passed() {
				pause(ctx, time.Millisecond)
			}
			b.ReportMetric(n/time.Since(began).Seconds(), "keys/s")
			err := t.waitPassed(ctx, 0)
			b.ReportMetric(time.Since(began).Seconds(), "s-until-equal")
			return err
		})
		cancel()
		if err != nil {
			b.Fatal(err)
		}
		_ = co.Close()
	}
}

// bare is the loop that a script would make.
func bare(b *testing.B, src, dst *redis.Client) {
	b.Helper()
	ctx := b.Context()
	work := make(chan []string)
	done := make(chan error, 4)
	for range 4 {
		go func() {
			for keys := range work {
				p := src.Pipeline()
				dumps, ttls := make([]*redis.StringCmd, len(keys)), make([]*redis.DurationCmd, len(keys))
				for i, k := range keys {
					dumps[i], ttls[i] = p.Dump(ctx, k), p.PTTL(ctx, k)
				}
				_, _ = p.Exec(ctx)
				q := dst.Pipeline()
				for i, k := range keys {
					q.RestoreReplace(ctx, k, max(0, ttls[i].Val()), dumps[i].Val())
				}
				if _, err := q.Exec(ctx); err != nil {
					done <- err
					return
				}
			}
			done <- nil
		}()
	}
	for cursor := uint64(0); ; {
		keys, next, err := src.Scan(ctx, cursor, "", 1000).Result()
		if err != nil {
			b.Fatal(err)
		}
		for len(keys) > 0 {
			n := min(200, len(keys))
			work <- keys[:n]
			keys = keys[n:]
		}
		if cursor = next; next == 0 {
			break
		}
	}
	close(work)
	for range 4 {
		if err := <-done; err != nil {
			b.Fatal(err)
		}
	}
}
