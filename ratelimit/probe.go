package ratelimit

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/transload/transload/internal/budget"
	"github.com/transload/transload/internal/eviction"
)

// ErrProbe means that Redis answered a Probe, but not as it must.
var ErrProbe = errors.New("the counting is wrong")

// Probe does the real thing on a subject of its own: it takes a unit of every policy,
// takes it again as the same request, which must not count, gives it back, and cleans
// up. It asks Redis alone, within the budget for each of its five calls, and returns
// nil if all was as it must be; else the error says what was not. How long it took is
// logged (Info, "took") and part of the error. A server that may evict counters is no
// error, but a warning in the log.
func (l *Limiter) Probe(ctx context.Context) error {
	if err := over(ctx); err != nil {
		return err
	}
	began := time.Now()
	err := l.probe(ctx)
	took := time.Since(began)
	if err != nil {
		return fmt.Errorf("ratelimit: probe, after %v: %w", took.Round(time.Microsecond), err)
	}
	l.log.Info("probe passed", "workload", workload, "took", took)
	policy, err := budget.Do(ctx, l.budget, func(ctx context.Context) (string, error) { return eviction.Policy(ctx, l.redis) })
	if err == nil && policy != "" && policy != eviction.None {
		l.log.Warn("the server may evict counters, which frees who was over a limit: set maxmemory-policy noeviction", "workload", workload, "policy", policy)
	}
	return nil
}

func (l *Limiter) probe(ctx context.Context) (err error) {
	name := "probe " + newName()
	q, err := l.query(name, []TakeOption{ReqID(name)})
	if err != nil {
		return err
	}
	defer func() {
		all := *q
		all.cost, all.request = 2*maxLimit, ""
		err = errors.Join(err, l.giveBack(context.WithoutCancel(ctx), &all, true)) // bounded by the budget
	}()
	steps := []struct {
		name string
		cost int64
		give bool
		used int64
	}{{"take", 1, false, 1}, {"take again", 1, false, 1}, {"refund", 1, true, 0}, {"look", 0, false, 0}}
	for _, step := range steps {
		if step.give {
			err = l.giveBack(ctx, q, true)
		} else {
			err = l.probeAsk(ctx, q, step.cost, step.used)
		}
		if err != nil {
			return fmt.Errorf("%s: %w", step.name, err)
		}
	}
	return nil
}

// probeAsk asks, and looks at what is used.
func (l *Limiter) probeAsk(ctx context.Context, q *query, cost, used int64) error {
	reply, err := l.ask(ctx, q, cost, recollection{})
	if err != nil {
		return err
	}
	for i, r := range q.rules {
		// GCRA may have freed the unit by now.
		if got := reply[3*i]; got != used && (r.Algorithm == Window || got > used) {
			return fmt.Errorf("%w: policy %q has %d units used; want %d", ErrProbe, r.Name, got, used)
		}
	}
	return nil
}
