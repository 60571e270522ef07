package ratelimit

import (
	"context"
	"fmt"
	"time"

	"github.com/transload/transload/internal/budget"
)

// Take takes units (Cost; by default 1) of a subject (a user, an address, a key of an
// API) from every policy, or from none if one of them denies. It is one round trip,
// and takes no longer than the budget (WithBudget). While Redis does not answer,
// Policy.OnOutage decides, Decision.Source says so, and there is no error.
//
// An error means that there is no decision, and the zero Decision denies: ErrSubject,
// ErrCost and ErrUnknownPolicy are mistakes of the call's, else ctx was over.
func (l *Limiter) Take(ctx context.Context, subject string, opts ...TakeOption) (Decision, error) {
	q, err := l.query(subject, opts)
	if err != nil {
		return Decision{}, fmt.Errorf("ratelimit: take: %w", err)
	}
	return l.take(ctx, q)
}

// Peek says what Take would, and takes nothing.
func (l *Limiter) Peek(ctx context.Context, subject string, opts ...TakeOption) (Decision, error) {
	q, err := l.query(subject, opts)
	if err != nil {
		return Decision{}, fmt.Errorf("ratelimit: peek: %w", err)
	}
	return l.peek(ctx, q)
}

// Reset gives all units back, of all policies or those of Only; a Window begins anew.
// An error means that Redis did not say that it has. Other instances may deny for a
// second more; after an outage that begins before they have asked again, until their
// window ends.
func (l *Limiter) Reset(ctx context.Context, subject string, opts ...TakeOption) error {
	q, err := l.query(subject, opts)
	if err == nil {
		// Cost more than anything could have: what is left is nothing.
		q.cost, q.request = 2*maxLimit, ""
		if err = l.giveBack(ctx, q, true); err == nil {
			l.memory.forget(q)
		}
	}
	if err != nil {
		return fmt.Errorf("ratelimit: reset: %w", err)
	}
	return nil
}

// Refund gives units (Cost) back that were taken, down to none used: of a request
// that failed, or a log-in that succeeded. With the ReqID with which they were taken
// they are given back once, and only if they were taken less than a minute ago. An
// error means that Redis did not say that it has.
func (l *Limiter) Refund(ctx context.Context, subject string, opts ...TakeOption) error {
	q, err := l.query(subject, opts)
	if err == nil {
		if err = l.giveBack(ctx, q, q.request != ""); err == nil {
			l.memory.refund(q)
		}
	}
	if err != nil {
		return fmt.Errorf("ratelimit: refund: %w", err)
	}
	return nil
}

func (l *Limiter) giveBack(ctx context.Context, q *query, again bool) error {
	args := append(q.keys(make([]any, 2, 8+4*len(q.rules))), q.cost)
	for _, r := range q.rules {
		args = append(args, r.args[0], r.args[1], r.args[2])
	}
	_, err := l.run(ctx, &call{script: refundScript, circuit: q.circuit, again: again, args: args, want: 1})
	return err
}

func (l *Limiter) take(ctx context.Context, q *query) (Decision, error) {
	if err := over(ctx); err != nil {
		return Decision{}, err
	}
	began := l.now()
	l.keepBeating(ctx, began)
	known := l.recall(q, began)
	if known.denied != nil {
		return l.tell(q, decided(FromMemory, known.denied), 0), nil
	}
	reply, err := l.settleAndAsk(ctx, q, known)
	now := l.now()
	if err == nil {
		if reply[1] >= 0 {
			q.until = 0
		} else {
			reply[1] = max(q.until-now, 0) / int64(time.Millisecond)
		}
		d := l.learn(q, reply, began, now)
		if l.memory.any.Load() {
			l.settleSoon(ctx)
		}
		return l.tell(q, d, now-began), nil
	}
	if err := over(ctx); err != nil {
		return Decision{}, err
	}
	return l.tell(q, l.decide(q, uncounted(err)), now-began), nil
}

func (l *Limiter) peek(ctx context.Context, q *query) (Decision, error) {
	if err := over(ctx); err != nil {
		return Decision{}, err
	}
	q.request = "" // nothing is taken
	reply, err := l.ask(ctx, q, 0, recollection{})
	if err == nil {
		return decided(FromRedis, q.each(reply, true)), nil
	}
	if err := over(ctx); err != nil {
		return Decision{}, err
	}
	return l.foresee(q), nil
}

// settleAndAsk tells Redis what was granted here without it before it asks, so that
// its answer is not trusted too early.
func (l *Limiter) settleAndAsk(ctx context.Context, q *query, known recollection) ([]int64, error) {
	if known.owes {
		ctx = l.budget.Within(ctx) // for both
		if err := l.settle(ctx, q.id); err != nil {
			return nil, fmt.Errorf("%w: %w", errUnasked, err)
		}
	}
	return l.ask(ctx, q, q.cost, known)
}

// over is the error of a call whose context is, else nil.
func over(ctx context.Context) error {
	if err := budget.Ended(ctx); err != nil {
		return fmt.Errorf("ratelimit: the call is over: %w", err)
	}
	return nil
}

// tell counts a decision, which took so many ns.
func (l *Limiter) tell(q *query, d Decision, took int64) Decision {
	for i, r := range q.rules {
		r.counts.add(d.Source, d.Each[i].Denied)
	}
	if d.Source != FromMemory {
		l.meter.took.Observe(time.Duration(took).Seconds())
	}
	return d
}

func (r *rule) status(used int64, reset, retry time.Duration, denied bool) Status {
	return Status{Policy: r.Name, Limit: r.most, Per: r.Per, Remaining: max(r.most-used, 0), ResetAfter: reset, RetryAfter: retry, Denied: denied}
}

// ask sends take.lua, or for what most calls are something shorter.
func (l *Limiter) ask(ctx context.Context, q *query, cost int64, known recollection) ([]int64, error) {
	if q.short() && cost > 0 && !known.always() {
		if q.counts() {
			return l.count(ctx, q)
		}
		if !q.always {
			return l.askOne(ctx, q, 0, known.floors)
		}
	}
	args := q.all(q.keys(make([]any, 2, 8+9*len(q.rules))), cost, known.floors)
	return l.run(ctx, &call{script: takeScript, circuit: q.circuit, again: q.request != "" || cost == 0, args: args, want: 3 * len(q.rules)})
}

// askOne asks one policy. counted is in how many ms the window ends in which the units
// were counted already, 0 if they were not.
func (l *Limiter) askOne(ctx context.Context, q *query, counted int64, floors []floor) ([]int64, error) {
	r := q.rules[0]
	args := append(append(q.keys(make([]any, 2, 10)), q.cost), r.short...)
	if r.Algorithm == Window {
		var f floor
		if floors != nil {
			f = floors[0]
		}
		args = append(args, counted, f.used, f.ms)
	}
	return l.run(ctx, &call{script: r.alone, circuit: q.circuit, args: args, want: 3})
}

// count counts in a window that is known, without a script, which costs a server five
// times as much. What is too much is given back afterwards. That two who are both too
// late see each other's unit meanwhile harms nobody, as each wants one: it would keep
// who wants less than another from what is left. Where it cannot be given back Redis's
// word holds all the same: nobody is granted a share by who knows that all is used.
func (l *Limiter) count(ctx context.Context, q *query) ([]int64, error) {
	ctx = l.budget.Within(ctx) // for both calls
	reply, err := l.run(ctx, &call{circuit: q.circuit, args: []any{"zadd", q.first, "xx", "incr", q.cost, "n"}})
	if err != nil || len(reply) > 0 && reply[0] <= q.rules[0].most {
		return reply, err
	}
	left := max(q.until-l.now(), 0)/int64(time.Millisecond) + 1
	switch {
	case len(reply) == 0: // the window is over, or the server has lost it
		q.until = 0
		return l.ask(ctx, q, q.cost, l.lost(q))
	case q.always:
	default:
		used := floor{used: reply[0], ms: left} // if the server loses it right now
		if back, err := l.askOne(ctx, q, left, []floor{used}); err == nil {
			return back, nil
		}
		reply[0] = q.rules[0].most // if the unit stays counted it is nobody's
	}
	reply[2] = left
	return reply, nil
}

// all appends everything that take.lua may want to know.
func (q *query) all(args []any, cost int64, floors []floor) []any {
	keep := int64(0)
	if q.request != "" {
		keep = remember.Milliseconds()
	}
	args = append(args, cost, keep, digit(q.always))
	for i, r := range q.rules {
		args = append(args, r.args[:]...)
		if floors == nil {
			args = append(args, 0, 0, 0)
		} else {
			args = append(args, floors[i].used, floors[i].ms, digit(floors[i].always))
		}
	}
	return args
}

// digit is how scripts are told.
func digit(b bool) int {
	if b {
		return 1
	}
	return 0
}

// each reads take.lua's reply. Where it has only looked, it does not know what was
// wanted.
func (q *query) each(reply []int64, looked bool) []Status {
	each := make([]Status, len(q.rules))
	for i, r := range q.rules {
		used, reset, retry := reply[3*i], millis(reply[3*i+1]), millis(reply[3*i+2])
		if more := used + q.cost - r.most; looked && more > 0 {
			if retry = max(reset, time.Millisecond); r.Algorithm == GCRA {
				retry = time.Duration(float64(more) * r.step)
			}
		}
		each[i] = r.status(used, reset, retry, retry > 0)
	}
	return each
}

// learn remembers what Redis has said, and makes a decision of it.
func (l *Limiter) learn(q *query, reply []int64, asked, now int64) Decision {
	d := decided(FromRedis, q.each(reply, false))
	s := l.memory.of(q.id)
	s.mu.Lock()
	defer s.mu.Unlock()
	x := l.memory.find(s, q, now)
	if x == nil {
		return d // Redis has it
	}
	for i, r := range q.rules {
		t := x.track(r)
		reset, sure := now+int64(d.Each[i].ResetAfter), true
		if q.until > 0 { // a count that has gone back is of another window, or refunded
			reset, sure = q.until, reply[3*i]-q.cost >= t.used
		}
		t.learn(reply[3*i], reset, asked)
		t.sure = sure
		if d.Each[i].Denied {
			t.deny(now, q.cost, d.Each[i].RetryAfter)
		} else if t.deniedCost <= q.cost {
			t.deniedUntil = 0
		}
	}
	return d
}
