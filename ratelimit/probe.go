package ratelimit

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/transload/transload/internal/budget"
	"github.com/transload/transload/internal/eviction"
)

// ErrProbe means that Redis answered a Probe, but not as it must.
var ErrProbe = errors.New("the counting is wrong")

// Probe does the real thing on a subject of its own, by every way that calls go: it
// takes a unit of all policies, takes it again as the same request, which must not
// count, gives it back, takes from each policy alone, twice from a window, tells what
// was granted without Redis, says that this instance lives, and cleans up. So a
// permission or command that Redis does not give shows here, and not in the middle of
// the next outage. It asks Redis alone, within the budget for each call, and returns
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
	p := &probing{l: l, q: q, began: l.now(), told: ":m:" + newName()}
	defer func() { err = errors.Join(err, p.cleanUp(context.WithoutCancel(ctx))) }() // bounded by the budget
	for _, step := range []struct {
		name string
		do   func(context.Context) error
	}{
		{"take", func(ctx context.Context) error { return p.ask(ctx, q, 1, 1) }},
		{"take again", func(ctx context.Context) error { return p.ask(ctx, q, 1, 1) }},
		{"refund", func(ctx context.Context) error { return l.giveBack(ctx, q, true) }},
		{"look", func(ctx context.Context) error { return p.ask(ctx, q, 0, 0) }},
		{"take of one policy", p.alone},
		{"tell what was granted", p.tell},
		{"say that this instance lives", func(ctx context.Context) error { return l.beat(ctx, beatHolds) }},
	} {
		if err := step.do(ctx); err != nil {
			return fmt.Errorf("%s: %w", step.name, err)
		}
	}
	return nil
}

// A probing is a probe under way.
type probing struct {
	l     *Limiter
	q     *query // of all policies
	began int64
	told  string // the name of what is told, which is a key
}

// ask asks, and looks at what is used.
func (p *probing) ask(ctx context.Context, q *query, cost, used int64) error {
	reply, err := p.l.ask(ctx, q, cost, recollection{})
	if err != nil {
		return err
	}
	for i, r := range q.rules {
		if err := p.holds(r, reply[3*i], min(used, r.most)); err != nil {
			return err
		}
	}
	return nil
}

// holds looks at what is used. It may be free again by now: GCRA frees units one by
// one, and a window may have ended since the probe began.
func (p *probing) holds(r *rule, got, want int64) error {
	freed := r.Algorithm == GCRA || p.l.now()-p.began >= int64(r.Per)
	if got == want || freed && got < want {
		return nil
	}
	return fmt.Errorf("%w: policy %q has %d units used; want %d", ErrProbe, r.Name, got, want)
}

// one is the query of a policy alone, which has ways of its own.
func (p *probing) one(r *rule) *query {
	return &query{id: p.q.id, tag: p.q.tag, first: p.q.tag + r.suffix, circuit: p.q.circuit, rules: []*rule{r}, cost: 1}
}

// alone takes from each policy by the script of its own, and once more from a window
// as who knows when it ends: without a script.
func (p *probing) alone(ctx context.Context) error {
	for _, r := range p.q.rules {
		q := p.one(r)
		if err := p.ask(ctx, q, 1, 1); err != nil {
			return err
		}
		if r.Algorithm != Window {
			continue
		}
		q.until = p.l.now() + int64(r.Per)
		if err := p.ask(ctx, q, 1, 2); err != nil {
			return err
		}
	}
	return nil
}

// tell tells of a unit of each policy, as after an outage.
func (p *probing) tell(ctx context.Context) error {
	d := &debt{name: p.told}
	for _, r := range p.q.rules {
		d.parts = append(d.parts, track{rule: r, owed: 1})
	}
	reply, err := p.l.merge(ctx, p.q.tag, d, p.l.now())
	if err != nil {
		return err
	}
	for i, r := range p.q.rules {
		want := min(2, r.most) + 1 // what is told may be beyond the limit
		if r.Algorithm == GCRA {
			want = min(2, r.most)
		}
		if err := p.holds(r, reply[2*i], want); err != nil {
			return err
		}
	}
	return nil
}

// cleanUp deletes what the probe left: what is given back leaves its window.
func (p *probing) cleanUp(ctx context.Context) error {
	args := []any{"del", p.q.tag + p.q.request, p.q.tag + p.told}
	for _, r := range p.q.rules {
		args = append(args, p.q.tag+r.suffix)
	}
	_, err := budget.Do(ctx, p.l.budget, func(ctx context.Context) (int64, error) {
		cmd := redis.NewIntCmd(ctx, args...)
		err := p.l.redis.Process(ctx, cmd)
		return cmd.Val(), err
	})
	return err
}
