package queue

import (
	"cmp"
	"context"
	"fmt"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"

	"github.com/transload/transload/internal/redistest"
)

// perTurn is how many jobs a way of doing it gets before it is another one's turn.
const perTurn = 5000

// A way is one of doing the same. It says how long it took.
type way struct {
	name string
	do   func(b *testing.B) time.Duration
}

// beside has ways take turns, so that whatever else the machine does strikes all of
// them, and reports each: time and allocations of a job, and how often as fast as the
// first it is, the median of the turns.
func beside(b *testing.B, ways ...way) {
	took, allocs := make([][]float64, len(ways)), make([]float64, len(ways))
	for n := 0; b.Loop(); n++ {
		for k := range ways {
			i := (k + n) % len(ways) // none is always the first
			before := mallocs()
			took[i] = append(took[i], float64(ways[i].do(b).Nanoseconds())/perTurn)
			allocs[i] += float64(mallocs() - before)
		}
	}
	b.ReportMetric(0, "ns/op") // a turn of all of them says nothing
	for i, w := range ways {
		b.ReportMetric(median(took[i]), w.name+"-ns/job")
		b.ReportMetric(allocs[i]/perTurn/float64(len(took[i])), w.name+"-allocs/job")
		if i == 0 {
			continue
		}
		var ratios []float64
		for turn, own := range took[i] {
			ratios = append(ratios, took[0][turn]/own)
		}
		b.ReportMetric(median(ratios), w.name+"/"+ways[0].name)
	}
}

func mallocs() uint64 {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.Mallocs
}

func median[T cmp.Ordered](list []T) T { return slices.Sorted(slices.Values(list))[len(list)/2] }

func benchClient(b *testing.B) redis.UniversalClient {
	return redistest.Client(b, redistest.SharedStandalone(b), func(o *redis.Options) { o.ContextTimeoutEnabled, o.PoolSize = true, 64 })
}

// The same jobs, enqueued by asynq's client and by ours, one by one and many at once.
func BenchmarkEnqueue(b *testing.B) {
	r := benchClient(b)
	c := clientOn(b, r, patient())
	plain := asynq.NewClientFromRedisClient(r)
	queue := "bench-" + newNonce()[:8]
	byMany := func(one func() error) func(*testing.B) time.Duration {
		return func(b *testing.B) time.Duration { return enqueued(b, one) }
	}
	beside(b, way{"asynq", byMany(func() error {
		_, err := plain.EnqueueContext(b.Context(), asynq.NewTask("freight.haul", []byte(`{"N":7}`)), asynq.Queue(queue))
		return err
	})}, way{"ours", byMany(func() error {
		_, err := haul.Enqueue(b.Context(), c, freight{7}, In(queue))
		return err
	})}, way{"batches-of-100", func(b *testing.B) time.Duration {
		began := time.Now()
		for range perTurn / 100 {
			if _, err := haul.EnqueueAll(b.Context(), c, make([]freight, 100), In(queue)); err != nil {
				b.Fatal(err)
			}
		}
		return time.Since(began)
	}})
}

// enqueued has 16 goroutines enqueue a turn's jobs, one by one.
func enqueued(b *testing.B, one func() error) time.Duration {
	var left atomic.Int64
	left.Store(perTurn)
	began := time.Now()
	var wg sync.WaitGroup
	for range 16 {
		wg.Go(func() {
			for left.Add(-1) >= 0 {
				if err := one(); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	return time.Since(began)
}

// The same jobs, run by asynq's server and by ours.
func BenchmarkProcess(b *testing.B) {
	r := benchClient(b)
	c := clientOn(b, r, patient())
	const concurrency = 16
	beside(b, way{"asynq", func(b *testing.B) time.Duration {
		queue, n := filled(b, c), newCountdown()
		s := asynq.NewServerFromRedisClient(r, asynq.Config{Concurrency: concurrency, Queues: map[string]int{queue: 1}, LogLevel: asynq.FatalLevel})
		began := time.Now()
		if err := s.Start(asynq.HandlerFunc(func(_ context.Context, task *asynq.Task) error {
			_, err := decode[freight](task.Payload(), defaultPayload)
			n.less()
			return err
		})); err != nil {
			b.Fatal(err)
		}
		<-n.done
		took := time.Since(began)
		s.Shutdown()
		return took
	}}, way{"ours", func(b *testing.B) time.Duration {
		queue, n := filled(b, c), newCountdown()
		s := serverOn(b, r, Config{Concurrency: concurrency, Queues: map[string]int{queue: 1}})
		handled(b, s, haul, func(context.Context, freight, Meta) error { n.less(); return nil })
		began := time.Now()
		stop := run(b, s)
		<-n.done
		took := time.Since(began)
		if err := stop(); err != nil {
			b.Error(err)
		}
		return took
	}})
}

// A countdown is done when a turn's jobs have been run.
type countdown struct {
	left atomic.Int64
	done chan struct{}
}

func newCountdown() *countdown {
	n := &countdown{done: make(chan struct{})}
	n.left.Store(perTurn)
	return n
}

func (n *countdown) less() {
	if n.left.Add(-1) == 0 {
		close(n.done)
	}
}

// filled makes a queue of a turn's jobs.
func filled(b *testing.B, c *Client) string {
	b.Helper()
	queue := fmt.Sprint("bench-", time.Now().UnixNano())
	for range perTurn / 1000 {
		if _, err := haul.EnqueueAll(b.Context(), c, make([]freight, 1000), In(queue)); err != nil {
			b.Fatal(err)
		}
	}
	return queue
}
