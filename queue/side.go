package queue

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"
)

// A side is a Redis whose jobs a server runs.
type side struct {
	server   *Server
	redis    redis.UniversalClient
	wire     *wire
	finished *finished
	policy   *policy
}

func newSide(s *Server, c redis.UniversalClient) *side {
	x := &side{server: s, redis: c, finished: newFinished(), policy: newPolicy(c, s.cfg.Logger)}
	x.wire = &wire{UniversalClient: c, finished: x.finished, meter: s.meter}
	return x
}

// run runs jobs until ctx is done, and has returned Config.Stop and lastWords later,
// whether Redis answers or not.
func (s *side) run(ctx context.Context) error {
	lasting, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	looking, stopLooking := context.WithCancel(lasting)
	s.wire.looking, s.wire.lasting = looking, lasting
	worker := asynq.NewServerFromRedisClient(s.wire, s.server.asynqConfig())
	if err := worker.Start(asynq.HandlerFunc(s.process)); err != nil {
		stopLooking()
		return fmt.Errorf("queue: start: %w", err)
	}
	var tending sync.WaitGroup
	tending.Go(func() { s.tend(ctx) })
	<-ctx.Done()
	bound := s.server.cfg.Stop + lastWords
	until, cancel := context.WithTimeout(context.WithoutCancel(ctx), bound)
	defer cancel()
	time.AfterFunc(lookOn, stopLooking)
	time.AfterFunc(bound-lastLook, stop)
	if !ends(until, func() { worker.Shutdown(); tending.Wait() }) {
		s.server.cfg.Logger.Warn("connections to a redis that does not answer are still waited for: they end by the client's time-outs", "workload", workload, "op", "stop")
	}
	return s.end(until)
}

// ends runs f, and reports whether it has ended before ctx did. If not it goes on: what
// it waits for is a client's read, which no context ends.
func ends(ctx context.Context, f func()) bool {
	done := make(chan struct{})
	go func() { defer close(done); f() }()
	select {
	case <-done:
		return true
	case <-ctx.Done():
		return false
	}
}

// process is asynq's handler.
func (s *side) process(ctx context.Context, task *asynq.Task) error {
	m, finish := metaOf(ctx, task)
	ref := jobRef{m.Queue, m.ID}
	if s.finished.has(ref, finish.nonce) {
		return nil // run before, and put back while Redis could not be told
	}
	began := time.Now()
	err := s.server.perform(ctx, task.Payload(), m)
	s.server.meter.ran(m, began, err)
	if err == nil {
		s.finished.add(ref, finish)
		return nil
	}
	if err = s.server.failed(ctx, m, err, task.Payload()); !counts(err) {
		s.wire.later.Store(ref, began.Add(s.server.delay(0, err, task)))
	}
	return err
}

const (
	// lookOn is how long a server that stops waits for whether it was given a job:
	// one that it did not hear of would wait for the end of its lease.
	lookOn = 2 * time.Second

	// lastWords is how long a server that stops tries, after Config.Stop, to tell Redis
	// what was finished and what is given back. The last second of it, lastLook, is for
	// what asynq could not tell.
	lastWords = 5 * time.Second
	lastLook  = time.Second
)

// end settles what asynq could not.
func (s *side) end(ctx context.Context) error {
	var err error
	for s.finished.size() > 0 {
		if err = s.finished.flush(ctx, s.redis, true); err != nil && !sleep(ctx, 200*time.Millisecond) {
			break
		}
	}
	if left := s.finished.ids(); len(left) > 0 {
		return fmt.Errorf("%w: %d jobs were finished that redis does not know of, and will run again: %v: %w", ErrUnavailable, len(left), left, err)
	}
	return nil
}
