package queue

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"
)

// A Config says how a server runs jobs. Zero fields mean the default.
type Config struct {
	// Queues are those that are served, with their weights: of two queues that both
	// have jobs, one of weight 6 gets six turns for one of weight 1. The default is
	// "default" alone.
	Queues map[string]int
	// Strict serves a queue only while those of larger weight are empty. The default
	// is false.
	Strict bool
	// Concurrency is how many jobs are run at a time. The default is 10.
	Concurrency int
	// Stop is how long jobs that run may go on once Run is to end; then they go back
	// into their queue, for which there are 5s. The default is 20s.
	Stop time.Duration
	// Poll is how often an idle server asks for jobs, give or take a half. The default
	// is 200ms.
	Poll time.Duration
	// Grace is how long after the end of its lease of 30s a job is put back, on the
	// server's clock: its worker's clock may be wrong by that much more than 25s. The
	// default is 15s.
	Grace time.Duration
	// Lost is how often a job may be put back since its worker was gone. One more, and
	// it goes to the archive: it may be what kills the workers. The default is 10.
	Lost int
	// Old is a Redis that is being drained: its jobs are run too, as many at a time,
	// and it may evict. See Drained. The default is none.
	Old redis.UniversalClient
	// Location is where cron entries keep time. The default is UTC.
	Location *time.Location
	// Logger takes what a human should look at (Warn), and starts and stops (Info). It
	// never gets a payload. The default discards.
	Logger *slog.Logger
}

func (c Config) withDefaults() (Config, error) {
	c.Queues = maps.Clone(c.Queues)
	if len(c.Queues) == 0 {
		c.Queues = map[string]int{"default": 1}
	}
	c.Concurrency = cmp.Or(c.Concurrency, 10)
	c.Stop = cmp.Or(c.Stop, 20*time.Second)
	c.Poll = cmp.Or(c.Poll, 200*time.Millisecond)
	c.Grace = cmp.Or(c.Grace, 15*time.Second)
	c.Lost = cmp.Or(c.Lost, 10)
	if c.Location == nil {
		c.Location = time.UTC
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	return c, c.validate()
}

// validate reports every fault at once.
func (c Config) validate() (err error) {
	bad := func(when bool, format string, args ...any) {
		if when {
			err = errors.Join(err, fmt.Errorf("%w: "+format, append([]any{ErrOption}, args...)...))
		}
	}
	for _, name := range slices.Sorted(maps.Keys(c.Queues)) {
		err = errors.Join(err, checkName("Queues", name))
		bad(c.Queues[name] < 1, "Queues: %s: a weight of %d is under 1", name, c.Queues[name])
	}
	bad(c.Concurrency < 1, "Concurrency: %d is under 1", c.Concurrency)
	bad(c.Stop < time.Millisecond, "Stop: %v is under 1ms", c.Stop)
	bad(c.Poll < time.Millisecond, "Poll: %v is under 1ms", c.Poll)
	bad(c.Grace < time.Second, "Grace: %v is under 1s", c.Grace)
	bad(c.Lost < 1, "Lost: %d is under 1", c.Lost)
	return err
}

// A Server runs jobs. Give it handlers, with Handle, and cron entries, with Cron; then
// Run it, once.
type Server struct {
	cfg   Config
	sides []*side // the Redis, and the one that is drained, if any
	meter *meter
	names []string

	mu       sync.Mutex
	handlers map[string]handler
	crons    []*cronEntry
	begun    bool
}

// ErrBegun means that a server runs, or has run: it takes nothing more.
var ErrBegun = errors.New("queue: the server has begun already: make another")

// NewServer checks the config and makes a Server on any client: plain in any mode, or
// migrating. It dials nothing. The redis client stays the caller's, who closes it
// after Run has returned.
func NewServer(c redis.UniversalClient, cfg Config) (*Server, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	if err := usable(c, "NewServer", cfg.Logger); err != nil {
		return nil, err
	}
	if _, err := scripts(); err != nil {
		return nil, err
	}
	s := &Server{cfg: cfg, meter: newMeter(), names: slices.Sorted(maps.Keys(cfg.Queues)), handlers: map[string]handler{}}
	s.sides = append(s.sides, newSide(s, c))
	if cfg.Old != nil {
		s.sides = append(s.sides, newSide(s, cfg.Old))
	}
	s.meter.unsettled = func() (n int) {
		for _, side := range s.sides {
			n += side.finished.size()
		}
		return n
	}
	return s, nil
}

// Run runs jobs until ctx is done, and then lets those that run end, within
// Config.Stop. It waits for Redis to be there. It returns ErrEvicts at once for a
// Redis that evicts; and after a stop an error only if jobs were finished of which
// Redis could not be told. It has returned 5s after Config.Stop, even if Redis is away;
// then connections may be left that end by the client's own time-outs.
func (s *Server) Run(ctx context.Context) error {
	if err := s.begin(); err != nil {
		return err
	}
	if err := s.ready(ctx); err != nil {
		return err
	}
	cron, err := s.startCron(ctx)
	if err != nil {
		return err
	}
	s.cfg.Logger.Info("jobs are run", "workload", workload, "queues", s.names, "concurrency", s.cfg.Concurrency)
	ctx, cancel := context.WithCancel(ctx) // one side that cannot run ends all
	defer cancel()
	errs := make([]error, len(s.sides))
	var wg sync.WaitGroup
	for i, side := range s.sides {
		wg.Go(func() { defer cancel(); errs[i] = side.run(ctx) })
	}
	wg.Go(func() { <-ctx.Done(); cron.stop() })
	wg.Wait()
	s.cfg.Logger.Info("jobs are run no more", "workload", workload, "queues", s.names)
	return errors.Join(errs...)
}

func (s *Server) begin() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.begun {
		return ErrBegun
	}
	s.begun = true
	return nil
}

// ready waits until Redis answers, and does not evict. A ctx that is done meanwhile
// is no error. The Redis that is left may evict: that may be why.
func (s *Server) ready(ctx context.Context) error {
	for told := false; ctx.Err() == nil; sleep(ctx, time.Second) {
		bounded, cancel := context.WithTimeout(ctx, tryFor)
		err := s.sides[0].policy.allows(bounded)
		cancel()
		if err == nil || errors.Is(err, ErrEvicts) {
			return err
		}
		if !told && ctx.Err() == nil {
			told = true
			s.cfg.Logger.Warn("redis does not answer: no jobs are run until it does", "workload", workload, "op", "start", "err", err)
		}
	}
	return nil
}

func (s *Server) asynqConfig() asynq.Config {
	return asynq.Config{
		Concurrency: s.cfg.Concurrency, Queues: s.cfg.Queues, StrictPriority: s.cfg.Strict,
		TaskCheckInterval: s.cfg.Poll, DelayedTaskCheckInterval: time.Second, ShutdownTimeout: s.cfg.Stop,
		IsFailure: counts, RetryDelayFunc: s.delay,
		Logger: asynqLog{s.cfg.Logger}, LogLevel: asynq.WarnLevel, // lower levels log payloads
	}
}
