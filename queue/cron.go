package queue

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"
	"github.com/robfig/cron/v3"
)

const (
	// cronBudget is how long a job of a cron entry is tried to be enqueued.
	cronBudget = 30 * time.Second

	// cronSkew is how far the clocks of two servers may be apart that have the same
	// entries. Specs have minutes, so that it is half of one.
	cronSkew = 30 * time.Second
)

// A cronEntry is a job that is enqueued again and again.
type cronEntry struct {
	id, spec, queue, name string
	payload               []byte
	schedule              cron.Schedule
	enqueue               func(ctx context.Context, c *Client, tick string) (Receipt, error)
}

// Cron has s enqueue a job by a cron spec of five fields, "@hourly" or "@every 90s",
// in Config.Location. Every process may have the same entries: each tick becomes one
// job, since its time is the job's key. A tick while no server runs is left out.
func (j *Job[T]) Cron(s *Server, spec string, v T, opts ...Option) error {
	schedule, err := cron.ParseStandard(spec)
	if err != nil {
		return fmt.Errorf("%w: Cron: %q: %w", ErrOption, spec, err)
	}
	opts = append(opts[:len(opts):len(opts)], ticks)
	e, err := j.entry(v, append(opts, Key(spec))) // as each tick has one
	if err != nil {
		return err
	}
	entry := &cronEntry{id: newNonce(), spec: spec, queue: e.queue, name: j.name, payload: e.payload, schedule: schedule,
		enqueue: func(ctx context.Context, c *Client, tick string) (Receipt, error) {
			key := strings.Join([]string{"cron", spec, tick, string(e.payload)}, "\x00")
			return j.Enqueue(ctx, c, v, append(opts[:len(opts):len(opts)], Key(key))...)
		}}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.begun {
		return ErrBegun
	}
	s.crons = append(s.crons, entry)
	return nil
}

// ticks sees that a tick's key is a job's id, and that the job is kept until every
// process has come to the tick.
func ticks(s *settings) error {
	if s.id != "" {
		return fmt.Errorf("%w: WithID: each tick is a job of its own", ErrOption)
	}
	if s.retainSet {
		s.retain = max(s.retain, 2*cronSkew)
	}
	return nil
}

// tick names the time for which an entry is enqueued, the same in every process.
func (e *cronEntry) tick(now time.Time) string {
	if every, ok := e.schedule.(cron.ConstantDelaySchedule); ok { // counted from each process's start
		return now.Truncate(every.Delay).UTC().Format(time.RFC3339)
	}
	return e.schedule.Next(now.Add(-cronSkew)).UTC().Format(time.RFC3339)
}

// A metronome is asynq's scheduler, which tells tools of its entries, on a client that
// has us enqueue in its stead: asynq gives each job of each process an id of its own.
type metronome struct {
	redis.UniversalClient
	server    *Server
	client    *Client
	scheduler *asynq.Scheduler
	lasting   context.Context // for commands that asynq gives no end
	end       context.CancelFunc
}

// startCron begins to enqueue, if there are entries.
func (s *Server) startCron(ctx context.Context) (*metronome, error) {
	m := &metronome{server: s}
	if len(s.crons) == 0 {
		return m, nil
	}
	m.lasting, m.end = context.WithCancel(context.WithoutCancel(ctx))
	var err error
	m.UniversalClient = s.sides[0].redis
	if m.client, err = NewClient(m.UniversalClient, Options{Budget: cronBudget, Logger: s.cfg.Logger}); err != nil {
		return nil, err
	}
	// Fatal: what fails we log ourselves.
	m.scheduler = asynq.NewSchedulerFromRedisClient(m, &asynq.SchedulerOpts{Location: s.cfg.Location, LogLevel: asynq.FatalLevel})
	for _, e := range s.crons {
		task := asynq.NewTaskWithHeaders(e.name, e.payload, map[string]string{header: e.id})
		if _, err := m.scheduler.Register(e.spec, task, asynq.Queue(e.queue)); err != nil {
			return nil, fmt.Errorf("%w: Cron: %q: %w", ErrOption, e.spec, err)
		}
	}
	if err := m.scheduler.Start(); err != nil {
		return nil, fmt.Errorf("queue: cron: %w", err)
	}
	return m, nil
}

// stop waits for a job that is being enqueued, and has asynq say that its entries are
// gone, within lastWords.
func (m *metronome) stop() {
	if m.scheduler == nil {
		return
	}
	defer m.end()
	until, cancel := context.WithTimeout(context.WithoutCancel(m.lasting), lastWords)
	defer cancel()
	time.AfterFunc(lastWords-lastLook, m.end)
	ends(until, m.scheduler.Shutdown)
}

// Del removes what was told of the entries.
func (m *metronome) Del(_ context.Context, keys ...string) *redis.IntCmd {
	return m.UniversalClient.Del(m.lasting, keys...)
}

// ZRem takes this process off the list of those that have entries.
func (m *metronome) ZRem(_ context.Context, key string, members ...any) *redis.IntCmd {
	return m.UniversalClient.ZRem(m.lasting, key, members...)
}

// EvalSha is the scheduler's: to enqueue a job, or to tell of its entries.
func (m *metronome) EvalSha(ctx context.Context, sha string, keys []string, args ...any) *redis.Cmd {
	entry := m.entryOf(keys, args)
	if entry == nil {
		return m.UniversalClient.EvalSha(m.lasting, sha, keys, args...)
	}
	cmd := redis.NewCmd(ctx)
	receipt, err := entry.enqueue(m.lasting, m.client, entry.tick(time.Now()))
	switch {
	case err != nil:
		m.server.cfg.Logger.Warn("a job of a cron entry could not be enqueued", "workload", workload, "op", "cron", "job", entry.name, "spec", entry.spec, "err", err)
		cmd.SetErr(err)
	case receipt.State == New:
		cmd.SetVal(int64(1))
	default:
		cmd.SetVal(int64(0)) // another process was faster
	}
	return cmd
}

// entryOf finds the entry of a job by the mark in its header.
func (m *metronome) entryOf(keys []string, args []any) *cronEntry {
	if len(keys) == 0 || len(args) == 0 || !strings.Contains(keys[0], "}:t:") {
		return nil
	}
	message, _ := args[0].([]byte)
	for _, e := range m.server.crons {
		if bytes.Contains(message, []byte(e.id)) {
			return e
		}
	}
	return nil
}
