package queue

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/transload/transload/internal/breaker"
	"github.com/transload/transload/internal/budget"
)

const (
	workload = "queue"

	// announceEach is how often a client says that a queue exists, which asynq says
	// once in the life of a process: a Redis that has lost it would never hear of it
	// again, and tools that list the queues would show none.
	announceEach = time.Minute

	allQueues = "asynq:queues"

	// storeLate is how long storing in the outbox may take when the caller's time is
	// over.
	storeLate = time.Second
)

// Options say how a client enqueues. Zero fields mean the default.
type Options struct {
	// Budget is how long Enqueue tries while Redis does not answer, or up to a
	// sixteenth less; its context may end that earlier. The default is 5s, in which
	// Sentinel's usual failover is over.
	Budget time.Duration
	// Confirm is how long a Replicated job waits for a replica, beyond Budget. The
	// default is 500ms.
	Confirm time.Duration
	// Outbox takes the jobs that Redis does not within Budget, or before the caller's
	// deadline, which then may be exceeded by 1s, and those for which it is full: see
	// NewOutbox. The default is none: they are ErrUnavailable, or ErrFull.
	Outbox *Outbox
	// Old is a Redis that is being drained: nothing is enqueued there, jobs with a key
	// that are there are Duplicates, and Pause, Resume and Cancel reach it too. See
	// Drained. The default is none.
	Old redis.UniversalClient
	// Logger takes what a human should look at (Warn). It never gets a payload or a
	// key. The default discards.
	Logger *slog.Logger
}

func (o Options) withDefaults() (Options, error) {
	if o.Budget == 0 {
		o.Budget = 5 * time.Second
	}
	if o.Confirm == 0 {
		o.Confirm = 500 * time.Millisecond
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	var err error
	if o.Budget < time.Millisecond {
		err = fmt.Errorf("%w: Budget: %v is under 1ms", ErrOption, o.Budget)
	}
	if o.Confirm < time.Millisecond {
		err = errors.Join(err, fmt.Errorf("%w: Confirm: %v is under 1ms", ErrOption, o.Confirm))
	}
	return o, err
}

// A Client enqueues jobs, and looks after queues. It is safe for concurrent use.
// Make one a process, with NewClient. There is nothing to close.
type Client struct {
	redis   redis.UniversalClient
	opt     Options
	scripts map[shape]*script
	policy  *policy
	breaker *breaker.Breaker
	meter   *meter

	budget, confirming *budget.Budget // the latter of Replicated jobs

	mu        sync.Mutex
	announced map[string]time.Time // queues, and when
}

// NewClient checks the options and makes a Client on any client: plain in any mode,
// or migrating. It dials nothing. The redis client stays the caller's, who closes it
// after the Client.
func NewClient(c redis.UniversalClient, o Options) (*Client, error) {
	o, err := o.withDefaults()
	if err != nil {
		return nil, err
	}
	if err := usable(c, "NewClient", o.Logger); err != nil {
		return nil, err
	}
	found, err := scripts()
	if err != nil {
		return nil, err
	}
	return &Client{redis: c, opt: o, scripts: found, policy: newPolicy(c, o.Logger), meter: newMeter(),
		budget: budget.New(c, o.Budget), confirming: budget.New(c, o.Budget+o.Confirm),
		breaker: breaker.New("redis", []string{workload}, o.Logger), announced: map[string]time.Time{}}, nil
}

// usable refuses what is no client, and warns of one that waits longer than it is told.
func usable(c redis.UniversalClient, who string, log *slog.Logger) error {
	if budget.Missing(c) {
		return fmt.Errorf("%w: there is no client: give %s what topology.Open returned", ErrOption, who)
	}
	if !budget.New(c, 0).Heeded() {
		log.Warn("the client's reads do not end with a context's deadline, but with its own time-outs: set ContextTimeoutEnabled", "workload", workload, "op", who)
	}
	return nil
}

// enqueue settles entries, in their order.
func (c *Client) enqueue(ctx context.Context, entries []*entry) error {
	if len(entries) == 0 {
		return nil
	}
	began := time.Now()
	err := c.deliver(ctx, entries)
	if c.opt.Outbox != nil && away(err) {
		err = c.store(ctx, entries, err)
	}
	c.meter.enqueued(entries, began)
	return err
}

// away reports whether it is Redis that takes no job, and not this job that it does
// not take.
func away(err error) bool { return errors.Is(err, ErrUnavailable) || errors.Is(err, ErrFull) }

// store puts what Redis has not taken into the outbox.
func (c *Client) store(ctx context.Context, entries []*entry, why error) error {
	left := undone(entries)
	if errors.Is(ctx.Err(), context.DeadlineExceeded) { // the caller wants to know what became of the jobs, and gave less time than Budget
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(context.WithoutCancel(ctx), storeLate)
		defer cancel()
	}
	if err := c.opt.Outbox.add(ctx, c.opt.Outbox.db, left); err != nil {
		return fmt.Errorf("%w; and the outbox: %w", why, err)
	}
	c.opt.Logger.Warn("redis takes no jobs: they were stored in the outbox", "workload", workload, "op", "enqueue", "jobs", len(left), "err", why)
	return nil
}

// announce says that queues exist.
func (c *Client) announce(ctx context.Context, entries []*entry) error {
	now := time.Now()
	var names []any
	c.mu.Lock()
	for _, e := range entries {
		if q := e.queue; now.Sub(c.announced[q]) > announceEach {
			names = append(names, q)
			c.announced[q] = now
		}
	}
	c.mu.Unlock()
	if len(names) == 0 {
		return nil
	}
	err := c.redis.SAdd(ctx, allQueues, names...).Err()
	if err != nil {
		c.mu.Lock()
		defer c.mu.Unlock()
		for _, q := range names {
			delete(c.announced, q.(string))
		}
	}
	return err
}
