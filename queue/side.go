package queue

import (
	"context"
	"fmt"
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

func (s *side) run(ctx context.Context) error {
	worker := asynq.NewServerFromRedisClient(s.wire, s.server.asynqConfig())
	if err := worker.Start(asynq.HandlerFunc(s.process)); err != nil {
		return fmt.Errorf("queue: start: %w", err)
	}
	s.tend(ctx)
	worker.Shutdown()
	return s.end(ctx)
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

// lastWords is how long a server that stops tries to tell Redis what was finished.
const lastWords = 5 * time.Second

// end settles what asynq could not.
func (s *side) end(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), lastWords)
	defer cancel()
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
