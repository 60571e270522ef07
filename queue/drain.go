package queue

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/redis/go-redis/v9"
)

// ErrNotDrained means that a Redis still has jobs, or is still given some. The text
// says which queue.
var ErrNotDrained = errors.New("queue: not drained")

// elsewhere looks for jobs with a key or an id on the Redis that is drained: what is
// there is a duplicate, and need not be sent. It is there for certain or not at all,
// since nothing is enqueued there. Jobs that are Unique are not looked for.
func (c *Client) elsewhere(ctx context.Context, entries []*entry) error {
	if c.opt.Old == nil {
		return nil
	}
	var asked []*entry
	var found []*redis.IntCmd
	_, err := c.opt.Old.Pipelined(ctx, func(p redis.Pipeliner) error {
		for _, e := range entries {
			if !e.done && e.id != e.nonce {
				asked = append(asked, e)
				found = append(found, p.Exists(ctx, taskKey(e.queue, e.id)))
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("the redis that is drained: %w", err)
	}
	for i, e := range asked {
		if found[i].Val() > 0 {
			e.done, e.state = true, Duplicate
		}
	}
	return nil
}

// Drained proves that a Redis has nothing to do any more: every queue is empty but
// for what is archived or kept, twice, quiet apart, and nothing was enqueued and run
// in between. Then it may be taken out of Options.Old and Config.Old. quiet must be
// longer than the pauses of whoever may still enqueue there. It returns the figures
// of the queues at the end, and ErrNotDrained if they prove the contrary.
func Drained(ctx context.Context, old redis.UniversalClient, quiet time.Duration) ([]Info, error) {
	before, err := empty(ctx, old)
	if err != nil {
		return before, err
	}
	select {
	case <-ctx.Done():
		return before, fmt.Errorf("%w: %w", ErrNotDrained, context.Cause(ctx))
	case <-time.After(quiet):
	}
	after, err := empty(ctx, old)
	if err != nil {
		return after, err
	}
	for _, q := range after {
		i := slices.IndexFunc(before, func(b Info) bool { return b.Name == q.Name })
		if i < 0 || before[i].Processed != q.Processed || before[i].Archived != q.Archived {
			return after, fmt.Errorf("%w: queue %s was worked on meanwhile: somebody enqueues there", ErrNotDrained, q.Name)
		}
	}
	return after, nil
}

// empty returns the figures of queues of which none has jobs to run.
func empty(ctx context.Context, c redis.UniversalClient) ([]Info, error) {
	infos, err := queues(ctx, c)
	if err != nil {
		return nil, err
	}
	for _, q := range infos {
		if q.Left() > 0 {
			return infos, fmt.Errorf("%w: queue %s has %d pending, %d active, %d scheduled, %d to be tried again, %d aggregating",
				ErrNotDrained, q.Name, q.Pending, q.Active, q.Scheduled, q.Retry, q.Aggregating)
		}
	}
	return infos, nil
}
