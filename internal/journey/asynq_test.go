package journey

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/hibiken/asynq"

	"github.com/transload/transload/internal/redistest"
	"github.com/transload/transload/migrate"
)

// ledger counts how often each task was handled.
type ledger struct {
	mu   sync.Mutex
	runs map[string]int
}

func (l *ledger) ProcessTask(_ context.Context, task *asynq.Task) error {
	time.Sleep(20 * time.Millisecond) // so that tasks are in flight whenever a move begins
	l.mu.Lock()
	defer l.mu.Unlock()
	l.runs[string(task.Payload())]++
	return nil
}

func (l *ledger) count(task string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.runs[task]
}

// TestAsynq moves the queues of asynq's own client and server, back, and again:
// no task is lost, and none is run twice by a move.
func TestAsynq(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("needs real servers")
	}
	for name, target := range targets {
		t.Run(name, func(t *testing.T) {
			t.Parallel() // a migration waits more than it works
			j := begin(t, 2, target(t))
			done := &ledger{runs: map[string]int{}}
			serve(t, j.members[0], done)
			stop := enqueue(t, j.members[1])
			j.shadow(t)
			j.cutover(t, 10, 50, 100)
			j.rollback(t)
			j.cutover(t, 100)
			j.finish(t)
			sent := stop()
			if len(sent) < 50 {
				t.Fatalf("only %d tasks were enqueued; want more to judge by", len(sent))
			}
			redistest.Eventually(t, 60*time.Second, func() error {
				for _, task := range sent {
					if done.count(task) == 0 {
						return fmt.Errorf("task %s was accepted and has not been run", task)
					}
				}
				return nil
			})
			for _, task := range sent {
				if n := done.count(task); n != 1 {
					t.Errorf("task %s was run %d times; want once", task, n)
				}
			}
			t.Logf("%d tasks, each run once", len(sent))
		})
	}
}

func serve(t *testing.T, c *migrate.Client, h asynq.Handler) {
	t.Helper()
	srv := asynq.NewServerFromRedisClient(c, asynq.Config{
		Concurrency: 8, LogLevel: asynq.ErrorLevel, TaskCheckInterval: 200 * time.Millisecond,
		Queues: map[string]int{"mail": 1, "sms": 1, "distance": 1},
	})
	if err := srv.Start(h); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(srv.Shutdown)
}

// enqueue sends tasks to three queues, some of them for later, until it is
// stopped, and returns those that were accepted.
func enqueue(t *testing.T, c *migrate.Client) (stop func() []string) {
	t.Helper()
	client := asynq.NewClientFromRedisClient(c)
	ctx, cancel := context.WithCancel(t.Context())
	var sent []string
	var wg sync.WaitGroup
	wg.Go(func() {
		for i := 0; ctx.Err() == nil; i++ {
			id := fmt.Sprintf("task-%d", i)
			opts := []asynq.Option{asynq.Queue([]string{"mail", "sms", "distance"}[i%3]), asynq.TaskID(id), asynq.Retention(time.Hour)}
			if i%5 == 0 {
				opts = append(opts, asynq.ProcessIn(time.Second))
			}
			_, err := client.EnqueueContext(context.WithoutCancel(ctx), asynq.NewTask("work", []byte(id)), opts...)
			if err != nil && !errors.Is(err, asynq.ErrTaskIDConflict) {
				t.Errorf("enqueue %s: %v", id, err)
				continue
			}
			sent = append(sent, id)
			time.Sleep(20 * time.Millisecond)
		}
	})
	stop = sync.OnceValue(func() []string {
		cancel()
		wg.Wait()
		return sent
	})
	t.Cleanup(func() { stop() })
	return stop
}
