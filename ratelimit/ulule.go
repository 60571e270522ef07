package ratelimit

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/redis/go-redis/v9"
	"github.com/ulule/limiter/v3"
)

// maxRates bounds how many rates a Store takes: more of them come from a request, not
// from an app's settings.
const maxRates = 256

// storePolicy is the name of a Store's policy in metrics.
const storePolicy = "ulule"

// A Store is a limiter.Store of ulule/limiter v3, so that its limiters and
// middlewares go on on this package: fixed windows, and what is denied is counted
// too. Where ulule's own store returns an error, which its middlewares answer by a
// panic, this one decides by an Outage. Counters are told apart by rate as well as by
// key, and are not those of ulule's store: a change of stores begins anew.
//
// It is safe for concurrent use.
type Store struct {
	l      *Limiter
	outage Outage

	mu    sync.Mutex
	rules map[limiter.Rate]*rule
}

var _ limiter.Store = (*Store)(nil)

// NewStore makes a Store. It does no I/O. The options are those of New.
func NewStore(c redis.UniversalClient, outage Outage, opts ...Option) (*Store, error) {
	l, err := newLimiter(c, opts)
	if outage > Allow {
		err = errors.Join(err, fmt.Errorf("%w: outage: want LocalShare, Deny or Allow", ErrOption))
	}
	if err != nil {
		return nil, fmt.Errorf("ratelimit: store: %w", err)
	}
	l.rules = []*rule{newRule(Policy{Name: storePolicy, Limit: 1, Per: time.Second, OnOutage: outage}, "")} // of the metrics
	return &Store{l: l, outage: outage, rules: map[limiter.Rate]*rule{}}, nil
}

// Get takes a unit.
func (s *Store) Get(ctx context.Context, key string, rate limiter.Rate) (limiter.Context, error) {
	return s.Increment(ctx, key, 1, rate)
}

// Increment takes count units.
func (s *Store) Increment(ctx context.Context, key string, count int64, rate limiter.Rate) (limiter.Context, error) {
	q, err := s.query(key, rate, count)
	if err != nil {
		return limiter.Context{}, fmt.Errorf("ratelimit: increment: %w", err)
	}
	d, err := s.l.take(ctx, q)
	return inContext(d, rate, !d.Allowed), err
}

// Peek takes nothing.
func (s *Store) Peek(ctx context.Context, key string, rate limiter.Rate) (limiter.Context, error) {
	q, err := s.query(key, rate, 1)
	if err != nil {
		return limiter.Context{}, fmt.Errorf("ratelimit: peek: %w", err)
	}
	q.cost = 0 // at the limit nothing was denied yet
	d, err := s.l.peek(ctx, q)
	return inContext(d, rate, !d.Allowed), err
}

// Reset gives everything back.
func (s *Store) Reset(ctx context.Context, key string, rate limiter.Rate) (limiter.Context, error) {
	q, err := s.query(key, rate, 2*maxLimit)
	if err == nil {
		if err = s.l.giveBack(ctx, q, true); err == nil {
			s.l.memory.forget(q)
		}
	}
	if err != nil {
		return limiter.Context{}, fmt.Errorf("ratelimit: reset: %w", err)
	}
	return inContext(Decision{Status: Status{Remaining: rate.Limit}}, rate, false), nil
}

// Metrics is Limiter.Metrics, with one policy, "ulule", for all rates.
func (s *Store) Metrics() prometheus.Collector { return s.l.Metrics() }

// Close is Limiter.Close.
func (s *Store) Close(ctx context.Context) error { return s.l.Close(ctx) }

func (s *Store) query(key string, rate limiter.Rate, cost int64) (*query, error) {
	if key == "" {
		return nil, ErrSubject
	}
	if cost < 1 {
		return nil, fmt.Errorf("%w: %d is under 1", ErrCost, cost)
	}
	cost = min(cost, 2*maxLimit) // more than any rate has, and far from what Redis can count
	r, err := s.rule(rate)
	if err != nil {
		return nil, err
	}
	q := &query{rules: []*rule{r}, cost: cost, always: true}
	s.l.address(q, key)
	return q, nil
}

// rule returns the rule of a rate, which is made if it is new.
func (s *Store) rule(rate limiter.Rate) (*rule, error) {
	rate.Formatted = ""
	s.mu.Lock()
	defer s.mu.Unlock()
	if r := s.rules[rate]; r != nil {
		return r, nil
	}
	p := Policy{Name: storePolicy, Limit: rate.Limit, Per: rate.Period, OnOutage: s.outage}
	if err := p.Validate(); err != nil {
		return nil, err
	}
	if len(s.rules) == maxRates {
		return nil, fmt.Errorf("%w: more than %d rates; make a Store for each set of them", ErrPolicy, maxRates)
	}
	r := newRule(p, ":"+storePolicy+"-"+strconv.FormatInt(rate.Limit, 10)+"-"+rate.Period.String())
	r.counts = s.l.rules[0].counts
	s.rules[rate] = r
	return r, nil
}

// inContext says it in ulule's words: Reset is a moment, in seconds since 1970.
func inContext(d Decision, rate limiter.Rate, reached bool) limiter.Context {
	reset := d.ResetAfter
	if reset == 0 {
		reset = rate.Period
	}
	return limiter.Context{Limit: rate.Limit, Remaining: d.Remaining, Reset: time.Now().Add(reset).Unix(), Reached: reached}
}
