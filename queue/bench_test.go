package queue

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"

	"github.com/transload/transload/internal/redistest"
)

func benchClient(b *testing.B) redis.UniversalClient {
	return redistest.Client(b, redistest.SharedStandalone(b), func(o *redis.Options) { o.ContextTimeoutEnabled, o.PoolSize = true, 64 })
}

// The same jobs, enqueued by asynq's client and by ours, one by one and many at once.
func BenchmarkEnqueue(b *testing.B) {
	r := benchClient(b)
	c := clientOn(b, r, patient())
	plain := asynq.NewClientFromRedisClient(r)
	name := func() string { return "bench-" + newNonce()[:8] }
	b.Run("asynq", func(b *testing.B) {
		queue := name()
		b.ReportAllocs()
		b.SetParallelism(8)
		b.RunParallel(func(pb *testing.PB) {
			for pb.Next() {
				if _, err := plain.EnqueueContext(b.Context(), asynq.NewTask("freight.haul", []byte(`{"N":7}`)), asynq.Queue(queue)); err != nil {
					b.Error(err)
					return
				}
			}
		})
	})
	b.Run("ours", func(b *testing.B) {
		queue := name()
		b.ReportAllocs()
		b.SetParallelism(8)
		b.RunParallel(func(pb *testing.PB) {
			for pb.Next() {
				if _, err := haul.Enqueue(b.Context(), c, freight{7}, In(queue)); err != nil {
					b.Error(err)
					return
				}
			}
		})
	})
	b.Run("ours/batch of 100", func(b *testing.B) {
		queue := name()
		b.ReportAllocs()
		for n := 0; n < b.N; n += 100 {
			if _, err := haul.EnqueueAll(b.Context(), c, make([]freight, min(100, b.N-n)), In(queue)); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// The same jobs, run by asynq's server and by ours.
func BenchmarkProcess(b *testing.B) {
	r := benchClient(b)
	c := clientOn(b, r, patient())
	const concurrency = 16
	b.Run("asynq", func(b *testing.B) {
		queue := filled(b, c)
		done := make(chan struct{})
		var left atomic.Int64
		left.Store(int64(b.N))
		s := asynq.NewServerFromRedisClient(r, asynq.Config{Concurrency: concurrency, Queues: map[string]int{queue: 1}, LogLevel: asynq.FatalLevel})
		b.ResetTimer()
		if err := s.Start(asynq.HandlerFunc(func(_ context.Context, task *asynq.Task) error {
			_, err := decode[freight](task.Payload(), defaultPayload)
			if left.Add(-1) == 0 {
				close(done)
			}
			return err
		})); err != nil {
			b.Fatal(err)
		}
		<-done
		b.StopTimer()
		s.Shutdown()
	})
	b.Run("ours", func(b *testing.B) {
		queue := filled(b, c)
		done := make(chan struct{})
		var left atomic.Int64
		left.Store(int64(b.N))
		s := serverOn(b, r, Config{Concurrency: concurrency, Queues: map[string]int{queue: 1}})
		handled(b, s, haul, func(context.Context, freight, Meta) error {
			if left.Add(-1) == 0 {
				close(done)
			}
			return nil
		})
		b.ResetTimer()
		stop := run(b, s)
		<-done
		b.StopTimer()
		if err := stop(); err != nil {
			b.Error(err)
		}
	})
}

// filled makes a queue of b.N jobs.
func filled(b *testing.B, c *Client) string {
	b.Helper()
	queue := fmt.Sprint("bench-", time.Now().UnixNano())
	for n := 0; n < b.N; n += 1000 {
		if _, err := haul.EnqueueAll(b.Context(), c, make([]freight, min(1000, b.N-n)), In(queue)); err != nil {
			b.Fatal(err)
		}
	}
	return queue
}
