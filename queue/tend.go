package queue

import (
	"context"
	_ "embed"
	"time"

	"github.com/redis/go-redis/v9"
)

//go:embed sweep.lua
var sweepLua string

var sweepScript = redis.NewScript(sweepLua)

const (
	// tendEach is how often a server settles what asynq could not.
	tendEach = 500 * time.Millisecond

	// sweepEach is how often it looks for jobs whose worker is gone.
	sweepEach = 5 * time.Second

	// tryFor bounds each of these looks.
	tryFor = 5 * time.Second

	// unbroken is how long Redis must have answered before jobs are put back. After an
	// outage every lease is over, and workers first tell what they have finished.
	unbroken = 10 * time.Second

	// leaseFor is asynq's lease, which is renewed every 5s.
	leaseFor = 30 * time.Second

	// sweepMost bounds the jobs that one sweep of a queue puts back.
	sweepMost = 200
)

// tend looks after the queues until ctx is done: it settles what was finished, puts
// back what was lost, and keeps the queues' names known.
func (s *side) tend(ctx context.Context) {
	since, swept := time.Time{}, time.Now()
	for sleep(ctx, tendEach) {
		now := time.Now()
		if err := s.contact(ctx); err != nil {
			since = time.Time{}
			continue
		}
		if since.IsZero() {
			since = now
		}
		if now.Sub(since) >= unbroken && now.Sub(swept) >= sweepEach {
			swept = now
			s.sweepAll(ctx)
		}
	}
}

// contact settles what is waiting, which also says whether Redis answers.
func (s *side) contact(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, tryFor)
	defer cancel()
	if err := s.finished.flush(ctx, s.redis, false); err != nil {
		return err
	}
	return s.redis.Exists(ctx, queueKey(s.server.names[0], "paused")).Err()
}

func (s *side) sweepAll(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, tryFor)
	defer cancel()
	warn := func(op string, err error) {
		if err != nil && ctx.Err() == nil {
			s.server.cfg.Logger.Warn("queues could not be looked after: it is tried again", "workload", workload, "op", op, "err", err)
		}
	}
	warn("policy", s.policy.allows(ctx))
	names := make([]any, len(s.server.names))
	for i, q := range s.server.names {
		names[i] = q
		warn("sweep", s.sweep(ctx, q))
	}
	warn("announce", s.redis.SAdd(ctx, allQueues, names...).Err())
}

// sweep puts back the jobs of a queue whose worker is gone.
func (s *side) sweep(ctx context.Context, queue string) error {
	keys := []string{queueKey(queue, "active"), queueKey(queue, "lease"), queueKey(queue, "pending"), queueKey(queue, "archived")}
	reply, err := sweepScript.Run(ctx, s.redis, keys, taskKey(queue, ""), int(s.server.cfg.Grace.Seconds()), int(leaseFor.Seconds()), s.server.cfg.Lost, sweepMost).Slice()
	if err != nil || len(reply) != 5 {
		return err
	}
	n := func(i int) int64 { v, _ := reply[i].(int64); return v }
	s.server.meter.swept(n(0), n(1), n(2))
	if n(0)+n(1)+n(3) > 0 {
		s.server.cfg.Logger.Info("jobs were put back whose worker is gone", "workload", workload, "op", "sweep", "queue", queue,
			"back", n(0), "without_lease", n(1), "without_job", n(3))
	}
	if n(2) > 0 {
		s.server.cfg.Logger.Warn("jobs went to the archive: their workers were gone too often, perhaps because of them",
			"workload", workload, "op", "sweep", "queue", queue, "jobs", reply[4], "times", s.server.cfg.Lost)
	}
	return nil
}
