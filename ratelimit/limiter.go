package ratelimit

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/transload/transload/internal/breaker"
	"github.com/transload/transload/internal/budget"
	"github.com/transload/transload/internal/command"
)

const workload = "ratelimit"

// circuits is how many breakers there are. Each stands for an equal range of hash
// slots, as the masters of a cluster have them: one that is dead must not keep
// subjects of the others from being asked for.
const circuits = 16

var circuitNames = func() (names []string) {
	for i := range circuits {
		names = append(names, strconv.Itoa(i))
	}
	return names
}()

// A Limiter says who may go on. It is safe for concurrent use. Make one a process and
// set of policies, with New.
type Limiter struct {
	settings
	redis   processor
	budget  *budget.Budget
	rules   []*rule
	base    time.Time
	memory  *memory
	breaker *breaker.Breaker
	faults  [circuits]atomic.Int64 // when something last went wrong
	quiet   atomic.Int64           // until when a refusal is not logged again
	fleet   fleet
	meter   *meter

	mu     sync.Mutex // guards closed, and that wg is not added to after it
	closed bool
	wg     sync.WaitGroup
}

// New makes a limiter of policies, which are all asked by Take unless Only says
// otherwise. The client may be of any mode, or a migrating one; it is not closed by
// the Limiter. New does no I/O and needs no Redis; it returns ErrPolicy or ErrOption
// with every fault at once.
func New(c redis.UniversalClient, policies []Policy, opts ...Option) (*Limiter, error) {
	l, err := newLimiter(c, opts)
	if len(policies) == 0 {
		err = errors.Join(err, fmt.Errorf("%w: there is none", ErrPolicy))
	}
	names := map[string]bool{}
	for _, p := range policies {
		err = errors.Join(err, p.Validate())
		if names[p.Name] {
			err = errors.Join(err, fmt.Errorf("%w %q: Name: it is given twice", ErrPolicy, p.Name))
		}
		names[p.Name] = true
	}
	if err != nil {
		return nil, fmt.Errorf("ratelimit: %w", err)
	}
	for _, p := range policies {
		l.rules = append(l.rules, newRule(p, ":"+p.Name))
	}
	return l, nil
}

func newLimiter(c redis.UniversalClient, opts []Option) (*Limiter, error) {
	s, err := newSettings(opts)
	if budget.Missing(c) {
		err = errors.Join(err, fmt.Errorf("%w: there is no client: give New what topology.Open returned", ErrOption))
	}
	if err != nil {
		return nil, err
	}
	l := &Limiter{
		settings: s, redis: c, budget: budget.New(c, s.budget), base: time.Now(),
		memory: newMemory(s.memory), meter: newMeter(),
		breaker: breaker.New("redis", circuitNames, s.log.With("workload", workload)),
	}
	l.fleet.name, l.fleet.key = newName(), "rl:{"+l.inNamespace("fleet")+"}:live"
	l.fleet.circuit = circuitOf(l.fleet.key)
	if !l.budget.Heeded() {
		s.log.Warn("the client's reads do not end with a context's deadline: decisions that are over budget leave them to its own time-outs; set ContextTimeoutEnabled", "workload", workload)
	}
	return l, nil
}

// now is the limiter's clock: ns since it was made, and never 0, which means never.
func (l *Limiter) now() int64 { return int64(time.Since(l.base)) + 1 }

func (l *Limiter) inNamespace(name string) string {
	if l.namespace == "" {
		return name
	}
	return l.namespace + ":" + name
}

func circuitOf(key string) int { return int(command.Slot(key)) * circuits / command.Slots }

// background runs f unless the limiter was closed. Close waits for it.
func (l *Limiter) background(ctx context.Context, f func(context.Context)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return
	}
	ctx = context.WithoutCancel(ctx) // it outlives its caller, by its own bounds
	l.wg.Go(func() { f(ctx) })
}

// Close waits for what runs in the background, tells Redis what it has not heard yet
// of what was granted without it, and takes the instance off the fleet, so that the
// others' shares grow at once; without Close they do after 15s. It takes two budgets
// at most where Redis does not answer, and returns that it did not. Later calls do
// nothing.
func (l *Limiter) Close(ctx context.Context) error {
	if ctx == nil {
		return over(ctx)
	}
	l.mu.Lock()
	first := !l.closed
	l.closed = true
	l.mu.Unlock()
	l.wg.Wait()
	if !first {
		return nil
	}
	err := l.settleAll(ctx)
	if err = errors.Join(err, l.beat(ctx, 0)); err != nil {
		return fmt.Errorf("ratelimit: close: %w", err)
	}
	return nil
}
