package queue

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"

	"github.com/transload/transload/internal/front"
)

// A Stage is where a job is in its life.
type Stage string

const (
	Pending   Stage = "pending"
	Active    Stage = "active"
	Scheduled Stage = "scheduled"
	Retry     Stage = "retry"
	Archived  Stage = "archived"
	Completed Stage = "completed"
)

// A JobInfo is a job as it is in its queue.
type JobInfo struct {
	ID, Queue, Name string
	Stage           Stage
	Attempts        int // that have failed
	MaxAttempts     int
	LastError       string // without what was in the payload
	Next            time.Time
	Payload         Secret
}

// A Secret is a payload that does not get into logs by mistake: printed, it says its
// length.
type Secret []byte

// String tells the length.
func (s Secret) String() string { return fmt.Sprintf("[%d bytes]", len(s)) }

// GoString does too.
func (s Secret) GoString() string { return s.String() }

// LogValue does too.
func (s Secret) LogValue() slog.Value { return slog.StringValue(s.String()) }

// MarshalText does too, for encoding/json, by which some logs are written.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// maxPage is how many jobs List returns at most.
const maxPage = 1000

// List returns up to n jobs of a queue in a stage, those that come next first.
func (c *Client) List(ctx context.Context, queue string, stage Stage, n int) (jobs []JobInfo, err error) {
	err = c.inspect(ctx, c.redis, func(i *asynq.Inspector) error {
		list := map[Stage]func(string, ...asynq.ListOption) ([]*asynq.TaskInfo, error){
			Pending: i.ListPendingTasks, Active: i.ListActiveTasks, Scheduled: i.ListScheduledTasks,
			Retry: i.ListRetryTasks, Archived: i.ListArchivedTasks, Completed: i.ListCompletedTasks,
		}[stage]
		if list == nil {
			return fmt.Errorf("%w: List: there is no stage %q", ErrOption, stage)
		}
		tasks, err := list(queue, asynq.PageSize(min(max(n, 1), maxPage)))
		for _, t := range tasks {
			jobs = append(jobs, infoOf(t))
		}
		return err
	})
	return jobs, err
}

// Find returns one job.
func (c *Client) Find(ctx context.Context, queue, id string) (job JobInfo, err error) {
	err = c.inspect(ctx, c.redis, func(i *asynq.Inspector) error {
		t, err := i.GetTaskInfo(queue, id)
		if err == nil {
			job = infoOf(t)
		}
		return err
	})
	return job, err
}

func infoOf(t *asynq.TaskInfo) JobInfo {
	return JobInfo{ID: t.ID, Queue: t.Queue, Name: t.Type, Stage: Stage(t.State.String()), Attempts: t.Retried,
		MaxAttempts: t.MaxRetry + 1, LastError: t.LastErr, Next: t.NextProcessAt, Payload: t.Payload}
}

// Rerun lets a job run now that is archived, or waits for its time or next attempt.
// ErrState means that it waits for a worker, or has one.
func (c *Client) Rerun(ctx context.Context, queue, id string) error {
	return c.inspect(ctx, c.redis, func(i *asynq.Inspector) error { return i.RunTask(queue, id) })
}

// RerunArchived lets all archived jobs of a queue run now, and says how many.
func (c *Client) RerunArchived(ctx context.Context, queue string) (n int, err error) {
	err = c.inspect(ctx, c.redis, func(i *asynq.Inspector) (err error) {
		n, err = i.RunAllArchivedTasks(queue)
		return err
	})
	return n, err
}

// Delete removes a job that is not run at the moment; one that is, is ErrState.
func (c *Client) Delete(ctx context.Context, queue, id string) error {
	return c.inspect(ctx, c.redis, func(i *asynq.Inspector) error { return i.DeleteTask(queue, id) })
}

// Pause has no job of a queue begun until Resume; those that run go on. It is no
// error if the queue is paused already. On a drained Redis it is paused too.
func (c *Client) Pause(ctx context.Context, queue string) error {
	return c.both(ctx, func(side redis.UniversalClient) error {
		return side.SetNX(ctx, queueKey(queue, "paused"), time.Now().Unix(), 0).Err()
	})
}

// Resume ends Pause.
func (c *Client) Resume(ctx context.Context, queue string) error {
	return c.both(ctx, func(side redis.UniversalClient) error { return side.Del(ctx, queueKey(queue, "paused")).Err() })
}

// Cancel ends the context of a job that is run, wherever it is. Its handler returns,
// as a rule with an error, which is an attempt. There is no telling whether anybody
// has heard.
func (c *Client) Cancel(ctx context.Context, id string) error {
	return c.both(ctx, func(side redis.UniversalClient) error { return side.Publish(ctx, cancelChannel, id).Err() })
}

const cancelChannel = "asynq:cancel"

// both does something on the Redis, and on the one that is drained.
func (c *Client) both(ctx context.Context, do func(redis.UniversalClient) error) error {
	err := do(c.redis)
	if c.opt.Old != nil {
		err = errors.Join(err, do(c.opt.Old))
	}
	if err != nil {
		return fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	return nil
}

// inspect lends asynq's Inspector, which knows no contexts, a client that does.
func (c *Client) inspect(ctx context.Context, to redis.UniversalClient, do func(*asynq.Inspector) error) error {
	f := &forward{ctx: ctx, to: to}
	client := front.New(f)
	defer func() { _ = client.Close() }()
	err := do(asynq.NewInspectorFromRedisClient(client))
	switch {
	case err == nil || errors.Is(err, ErrOption):
		return err
	case f.silent != nil:
		return fmt.Errorf("%w: %w", ErrUnavailable, f.silent)
	case errors.Is(err, asynq.ErrQueueNotFound), errors.Is(err, asynq.ErrTaskNotFound):
		return ErrNotFound
	}
	return fmt.Errorf("%w: %w", ErrState, err)
}

// A forward sends what comes to a front on to a client, with a context of its own.
type forward struct {
	ctx    context.Context // of the one call for which this is made
	to     redis.UniversalClient
	silent error // why a command was not answered
}

func (f *forward) DialHook(next redis.DialHook) redis.DialHook { return next }

func (f *forward) ProcessHook(redis.ProcessHook) redis.ProcessHook {
	return func(_ context.Context, cmd redis.Cmder) error { return f.note(f.to.Process(f.ctx, cmd)) }
}

func (f *forward) ProcessPipelineHook(redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(_ context.Context, cmds []redis.Cmder) error { return f.note(front.Pipeline(f.ctx, f.to, cmds)) }
}

func (f *forward) note(err error) error {
	if err != nil && !errors.Is(err, redis.Nil) && !answered(err) && !redis.HasErrorPrefix(err, "NOSCRIPT") {
		f.silent = err
	}
	return err
}
