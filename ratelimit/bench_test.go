package ratelimit

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-redis/redis_rate/v10"
	"github.com/redis/go-redis/v9"
	"github.com/ulule/limiter/v3"
	ululeredis "github.com/ulule/limiter/v3/drivers/store/redis"

	"github.com/transload/transload/internal/redistest"
)

// benchLimit is never reached.
const benchLimit = 1_000_000_000

// peers are what decides, for one client: ours, and the others with the same rates.
func peers(b *testing.B, c redis.UniversalClient) map[string]func(context.Context, string) error {
	ours := func(p Policy) func(context.Context, string) error {
		l, err := New(c, []Policy{p}, WithBudget(time.Minute))
		if err != nil {
			b.Fatal(err)
		}
		b.Cleanup(func() { _ = l.Close(context.Background()) })
		return func(ctx context.Context, key string) error {
			_, err := l.Take(ctx, key)
			return err
		}
	}
	store, err := ululeredis.NewStore(c)
	if err != nil {
		b.Fatal(err)
	}
	ulule := limiter.New(store, limiter.Rate{Limit: benchLimit, Period: time.Hour})
	rate := redis_rate.NewLimiter(c)
	return map[string]func(context.Context, string) error{
		"window": ours(Policy{Name: "window", Limit: benchLimit, Per: time.Hour}),
		"gcra":   ours(Policy{Name: "gcra", Limit: 100_000, Per: time.Second, Burst: benchLimit, Algorithm: GCRA}),
		"ulule": func(ctx context.Context, key string) error {
			_, err := ulule.Get(ctx, key)
			return err
		},
		"redis_rate": func(ctx context.Context, key string) error {
			_, err := rate.Allow(ctx, key, redis_rate.Limit{Rate: 100_000, Period: time.Second, Burst: benchLimit})
			return err
		},
	}
}

func benchClient(b *testing.B) redis.UniversalClient {
	c := redis.NewClient(&redis.Options{Addr: redistest.SharedStandalone(b).Addr(), ContextTimeoutEnabled: true})
	b.Cleanup(func() { _ = c.Close() })
	return c
}

// BenchmarkDecision tells time and allocations of one decision after the other.
func BenchmarkDecision(b *testing.B) {
	for name, decide := range peers(b, benchClient(b)) {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if err := decide(b.Context(), "carrier-7"); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

const (
	benchTurns   = 10
	benchTurn    = 500 * time.Millisecond
	benchWorkers = 32
)

// BenchmarkDecisions has each of ours and its peer decide in turns, for many subjects
// at a time, so that a machine that is slow for a while is so for both. Where the
// cores are full, the processor time of a decision, here and in the server, says the
// same as the rate, and says it on a machine that others share too.
func BenchmarkDecisions(b *testing.B) {
	all, server := peers(b, benchClient(b)), redistest.SharedStandalone(b)
	for _, pair := range [][2]string{{"window", "ulule"}, {"gcra", "redis_rate"}} {
		b.Run(pair[0]+" of "+pair[1], func(b *testing.B) {
			for b.Loop() {
				var n [2]int64
				var cpu [2]time.Duration
				for range benchTurns {
					for i, name := range pair {
						before := redistest.Spent(b, server)
						n[i] += turn(b, all[name])
						cpu[i] += redistest.Spent(b, server) - before
					}
				}
				each := func(i int) float64 { return float64(cpu[i]) / 1e3 / float64(n[i]) }
				b.ReportMetric(float64(n[0])/(benchTurns*benchTurn).Seconds(), "ours/s")
				b.ReportMetric(float64(n[1])/(benchTurns*benchTurn).Seconds(), "theirs/s")
				b.ReportMetric(float64(n[0])/float64(n[1]), "ratio")
				b.ReportMetric(each(0), "our-cpu-µs")
				b.ReportMetric(each(1), "their-cpu-µs")
				b.ReportMetric(each(1)/each(0), "ratio-by-cpu")
				b.ReportMetric(0, "ns/op") // of all turns: it says nothing
			}
		})
	}
}

func turn(b *testing.B, decide func(context.Context, string) error) int64 {
	b.Helper()
	ctx, cancel := context.WithTimeout(b.Context(), benchTurn)
	defer cancel()
	var n atomic.Int64
	var wg sync.WaitGroup
	for w := range benchWorkers {
		wg.Go(func() {
			for i := 0; ctx.Err() == nil; i++ {
				if err := decide(context.WithoutCancel(ctx), fmt.Sprint("subject ", w, i%100)); err != nil {
					b.Error(err)
					return
				}
				n.Add(1)
			}
		})
	}
	wg.Wait()
	return n.Load()
}
