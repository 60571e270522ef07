package topology_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
	"github.com/redis/go-redis/v9"

	"github.com/transload/transload/internal/redistest"
	"github.com/transload/transload/topology"
)

// liveSessions is how many the plan wants to be alive at a time.
const liveSessions = 15_000

// callers is how many goroutines a core runs, so that the servers are never idle.
const callers = 8

// BenchmarkModes compares a single server, Sentinel and Cluster, with reads from
// the primary and from replicas, all in one run: GET, SET and HGETALL of sessions
// while 15,000 are alive. The plan expects three times the reads of three servers;
// where all of them share the cores of one machine with the client, as here, what
// is seen is what reading from replicas costs.
func BenchmarkModes(b *testing.B) {
	single := redistest.Standalone(b, redistest.Options{})
	sentinel := redistest.Sentinel(b, redistest.Options{})
	cluster := redistest.Cluster(b, redistest.Options{})
	for _, m := range []struct {
		name string
		env  map[string]string
		from string
	}{
		{"single", single.Env("REDIS"), "primary"},
		{"sentinel", sentinel.Env("REDIS"), "primary"},
		{"sentinel-replicas", sentinel.Env("REDIS"), "replica"},
		{"cluster", cluster.Env("REDIS"), "primary"},
		{"cluster-replicas", cluster.Env("REDIS"), "replica"},
	} {
		b.Run(m.name, func(b *testing.B) {
			c := benchClient(b, m.env, m.from)
			fill(b, benchClient(b, m.env, "primary"))
			for _, op := range operations(c) {
				b.Run(op.name, func(b *testing.B) { measure(b, op.do) })
			}
		})
	}
}

func benchClient(b *testing.B, env map[string]string, from string) *topology.Client {
	b.Helper()
	env = redistest.Merge(env)
	if from != "primary" {
		env["REDIS_READ_FROM"] = from
	}
	cfg, err := topology.FromEnv("REDIS", redistest.Getenv(env))
	if err != nil {
		b.Fatal(err)
	}
	c, err := topology.Open(cfg)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { c.Close() })
	return c
}

// session is what one holds: some 500 bytes, as the plan reckons.
func session() []any {
	var fields []any
	for i := range 10 {
		fields = append(fields, fmt.Sprintf("field-%d", i), strings.Repeat("x", 40))
	}
	return fields
}

// fill makes the sessions, and a token for each.
func fill(b *testing.B, c *topology.Client) {
	b.Helper()
	for from := 0; from < liveSessions; from += 500 {
		_, err := c.Pipelined(b.Context(), func(p redis.Pipeliner) error {
			for i := from; i < from+500; i++ {
				p.HSet(b.Context(), key("sess", i), session()...)
				p.Expire(b.Context(), key("sess", i), time.Hour)
				p.Set(b.Context(), key("token", i), strings.Repeat("t", 64), time.Hour)
			}
			return nil
		})
		if err != nil {
			b.Fatal(err)
		}
	}
}

func key(kind string, i int) string { return fmt.Sprintf("%s:{%d}", kind, i) }

type operation struct {
	name string
	do   func(ctx context.Context, i int) error
}

func operations(c *topology.Client) []operation {
	value := strings.Repeat("v", 256)
	return []operation{
		{"GET", func(ctx context.Context, i int) error { return c.Get(ctx, key("token", i)).Err() }},
		{"HGETALL", func(ctx context.Context, i int) error { return c.HGetAll(ctx, key("sess", i)).Err() }},
		{"SET", func(ctx context.Context, i int) error { return c.Set(ctx, key("cache", i), value, time.Hour).Err() }},
	}
}

// measure runs one operation on keys at random, from many goroutines, and reports
// throughput and latency.
func measure(b *testing.B, do func(context.Context, int) error) {
	var mu sync.Mutex
	all := hdrhistogram.New(1, time.Minute.Microseconds(), 3)
	b.SetParallelism(callers)
	b.RunParallel(func(pb *testing.PB) {
		mine := hdrhistogram.New(1, time.Minute.Microseconds(), 3)
		for pb.Next() {
			began := time.Now()
			if err := do(b.Context(), rand.IntN(liveSessions)); err != nil {
				b.Error(err)
				return
			}
			_ = mine.RecordValue(max(time.Since(began).Microseconds(), 1)) // a minute is beyond every time-out
		}
		mu.Lock()
		defer mu.Unlock()
		all.Merge(mine)
	})
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "ops/s")
	b.ReportMetric(float64(all.ValueAtQuantile(50))/1000, "p50-ms")
	b.ReportMetric(float64(all.ValueAtQuantile(99))/1000, "p99-ms")
}
