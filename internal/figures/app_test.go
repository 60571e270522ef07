package figures

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/transload/transload/internal/redisproc"
	"github.com/transload/transload/internal/redistest"
	"github.com/transload/transload/migrate"
	"github.com/transload/transload/migrate/coordinator"
	"github.com/transload/transload/topology"
)

const (
	appWorkers = 32
	appKeys    = 10_000
	turns      = 4               // of each of the two that are compared
	turn       = 2 * time.Second // how long one of them works
)

// BenchmarkApp tells what an app gets of its Redis in each phase of a migration,
// beside the same app on a source alone: half reads, half writes, as fast as it
// can. The two take turns, so that a machine that is slow for a while is so for both.
func BenchmarkApp(b *testing.B) {
	server := redistest.Standalone(b, redistest.Options{})
	alone := open(b, config(b, server))
	m := begin(b)
	fill(b, alone)
	fill(b, m.member)
	for _, phase := range []struct {
		name string
		to   func(*testing.B)
	}{
		{"off", func(*testing.B) {}},
		{"shadow", m.shadow},
		{"cutover-50", func(b *testing.B) { m.cutover(b, 50) }},
		{"soak", func(b *testing.B) { m.cutover(b, 100) }},
		{"done", m.finish},
	} {
		phase.to(b)
		b.Run(phase.name, func(b *testing.B) {
			for b.Loop() {
				compare(b, app{alone, []*redisproc.Server{server}}, app{m.member, m.servers})
			}
		})
	}
}

// An app is a client and the servers behind it.
type app struct {
	client  redis.UniversalClient
	servers []*redisproc.Server
}

// compare has both work in turns. Where the cores are full, the processor time of
// one operation, in this process and in the servers, says the same as the rate, and
// says it on a machine that others share too.
func compare(b *testing.B, alone, moving app) {
	b.Helper()
	var took [2][]time.Duration
	var cpu [2]time.Duration
	for range turns {
		for i, a := range []app{alone, moving} {
			before := redistest.Spent(b, a.servers...)
			took[i] = append(took[i], work(b, a.client)...)
			cpu[i] += redistest.Spent(b, a.servers...) - before
		}
	}
	rate := func(i int) float64 { return float64(len(took[i])) / (turns * turn).Seconds() }
	for i, who := range []string{"alone", "here"} {
		slices.Sort(took[i])
		b.ReportMetric(rate(i), who+"-ops/s")
		b.ReportMetric(ms(took[i][len(took[i])/2]), who+"-p50-ms")
		b.ReportMetric(ms(took[i][len(took[i])*99/100]), who+"-p99-ms")
	}
	each := func(i int) float64 { return float64(cpu[i]) / 1e3 / float64(len(took[i])) }
	b.ReportMetric(each(0), "alone-cpu-µs")
	b.ReportMetric(each(1), "here-cpu-µs")
	b.ReportMetric(rate(1)/rate(0), "of-alone")
	b.ReportMetric(each(0)/each(1), "of-alone-by-cpu")
	b.ReportMetric(0, "ns/op") // of a turn: it says nothing
}

func ms(d time.Duration) float64 { return float64(d) / 1e6 }

// work is one turn of the app.
func work(b *testing.B, c redis.UniversalClient) (took []time.Duration) {
	b.Helper()
	ctx, cancel := context.WithTimeout(b.Context(), turn)
	defer cancel()
	var mu sync.Mutex
	var wg sync.WaitGroup
	for range appWorkers {
		wg.Go(func() {
			var own []time.Duration
			for ctx.Err() == nil {
				began := time.Now()
				if err := operation(context.WithoutCancel(ctx), c); err != nil {
					b.Error(err)
					return
				}
				own = append(own, time.Since(began))
			}
			mu.Lock()
			defer mu.Unlock()
			took = append(took, own...)
		})
	}
	wg.Wait()
	return took
}

var value = fmt.Sprintf("%0256d", 7)

func operation(ctx context.Context, c redis.UniversalClient) error {
	key := fmt.Sprintf("sess:{%d}", rand.IntN(appKeys))
	if rand.IntN(2) == 0 {
		return c.Set(ctx, key, value, 0).Err()
	}
	return c.Get(ctx, key).Err()
}

func fill(b *testing.B, c redis.UniversalClient) {
	b.Helper()
	for from := 0; from < appKeys; from += 500 {
		p := c.Pipeline()
		for i := from; i < from+500; i++ {
			p.Set(b.Context(), fmt.Sprintf("sess:{%d}", i), value, 0)
		}
		if _, err := p.Exec(b.Context()); err != nil {
			b.Fatal(err)
		}
	}
}

// A migration is one from a standalone server to another. More servers than there
// are cores would be measured instead of it.
type migration struct {
	servers        []*redisproc.Server
	source, target topology.Config
	member         *migrate.Client
	ask            *coordinator.Coordinator
}

func begin(b *testing.B) *migration {
	b.Helper()
	m := &migration{servers: []*redisproc.Server{redistest.Standalone(b, redistest.Options{}), redistest.Standalone(b, redistest.Options{})}}
	m.source, m.target = config(b, m.servers[0]), config(b, m.servers[1])
	var err error
	if m.member, err = migrate.Open(b.Context(), migrate.Options{Source: m.source, Target: m.target}); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = m.member.Close() })
	if err := m.member.Ready(b.Context()); err != nil {
		b.Fatal(err)
	}
	m.ask = m.coordinator(b, nil)
	return m
}

func (m *migration) coordinator(b *testing.B, progress func(coordinator.Progress)) *coordinator.Coordinator {
	b.Helper()
	// The gates judge a machine that is used for nothing else.
	c, err := coordinator.Open(coordinator.Options{Source: m.source, Target: m.target, Progress: progress, NoMembers: m.member == nil, Hold: 2 * time.Second,
		Limits: coordinator.Limits{P99: time.Minute, HitRate: -1, MirrorFails: 1e9, ReadsDiffer: 1e9, Lag: time.Minute, MinShadow: -1}})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = c.Close() })
	return c
}

// shadow runs the coordinator from here to the end of the benchmark.
func (m *migration) shadow(b *testing.B) {
	b.Helper()
	equal := make(chan struct{})
	var once sync.Once
	lead := m.coordinator(b, func(p coordinator.Progress) {
		if p.Equal {
			once.Do(func() { close(equal) })
		}
	})
	ctx, cancel := context.WithCancel(context.WithoutCancel(b.Context()))
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := lead.Shadow(ctx); err != nil && !errors.Is(err, context.Canceled) {
			b.Error(err)
		}
	})
	b.Cleanup(func() { cancel(); wg.Wait() })
	select {
	case <-equal:
	case <-time.After(2 * time.Minute):
		b.Fatal("the sides were not equal within two minutes")
	}
}

func (m *migration) cutover(b *testing.B, percent int) {
	b.Helper()
	if _, err := m.ask.Cutover(b.Context(), coordinator.CutoverRequest{To: []int{percent}}); err != nil {
		b.Fatal(err)
	}
}

func (m *migration) finish(b *testing.B) {
	b.Helper()
	if _, err := m.ask.Finish(b.Context(), coordinator.FinishRequest{MinSoak: -1}); err != nil {
		b.Fatal(err)
	}
}
