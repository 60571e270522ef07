package queue

import (
	"context"
	"fmt"
	"time"

	"github.com/hibiken/asynq"
)

// probeFor bounds a probe whose context has no end.
const probeFor = 30 * time.Second

// Probe enqueues a job of its own, in a queue of its own, runs it, sees that it is
// gone, and removes the queue, as an operator would to know that all is well after a
// migration. It logs how long that took, which is also in the error, if there is one.
func (c *Client) Probe(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, probeFor)
	defer cancel()
	began := time.Now()
	name := "transload-probe-" + newNonce()
	err := c.probe(ctx, name)
	c.remove(ctx, name)
	took := time.Since(began).Round(time.Microsecond)
	if err != nil {
		return fmt.Errorf("queue: probe, after %v: %w", took, err)
	}
	c.opt.Logger.Info("probe passed: a job was enqueued, run and finished", "workload", workload, "op", "probe", "took", took)
	return nil
}

func (c *Client) probe(ctx context.Context, name string) error {
	job := Define[string]("transload.probe", In(name), MaxAttempts(1))
	server, err := NewServer(c.redis, Config{Queues: map[string]int{name: 1}, Concurrency: 1, Stop: time.Second, Poll: 10 * time.Millisecond, Logger: c.opt.Logger})
	if err != nil {
		return err
	}
	ran := make(chan string, 1)
	if err := job.Handle(server, func(_ context.Context, v string, _ Meta) error { ran <- v; return nil }); err != nil {
		return err
	}
	e, err := job.entry(name, nil)
	if err == nil {
		err = c.relay(ctx, e) // not into an outbox, from where it would come when nobody runs it
	}
	if err != nil {
		return err
	}
	serving, stop := context.WithCancel(ctx)
	ended := make(chan error, 1)
	go func() { ended <- server.Run(serving) }()
	err = c.watch(ctx, name, e.id, ran)
	stop()
	if ended := <-ended; err == nil {
		err = ended
	}
	return err
}

// watch waits until the job has been run and is gone.
func (c *Client) watch(ctx context.Context, name, id string, ran <-chan string) error {
	select {
	case <-ctx.Done():
		return fmt.Errorf("the job was not run: %w", context.Cause(ctx))
	case got := <-ran:
		if got != name {
			return fmt.Errorf("%w: another payload was run than was enqueued", ErrPayload)
		}
	}
	for {
		n, err := c.redis.Exists(ctx, taskKey(name, id)).Result()
		if err == nil && n == 0 {
			return nil
		}
		if !sleep(ctx, 10*time.Millisecond) {
			return fmt.Errorf("the job was run, and is still there: %w", context.Cause(ctx))
		}
	}
}

// remove deletes a probe's queue, as far as Redis answers.
func (c *Client) remove(ctx context.Context, name string) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), tryFor)
	defer cancel()
	_ = c.inspect(ctx, c.redis, func(i *asynq.Inspector) error { return i.DeleteQueue(name, true) })
	keys := statsKeys(name) // asynq leaves the counts
	_ = c.redis.Del(ctx, keys...).Err()
}
