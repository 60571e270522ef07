package cache

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/redis/go-redis/v9"
	"golang.org/x/sync/singleflight"

	"github.com/transload/transload/internal/breaker"
	"github.com/transload/transload/internal/budget"
	"github.com/transload/transload/internal/feed"
)

// A Store is what the caches of one process share: Redis, memory, and the bound on the
// database's load. It is safe for concurrent use.
type Store struct {
	opt     Options
	redis   *server
	side    feed.Side // nil: no server tells of changes
	memory  *memory
	outages *outages
	pending *pending
	meter   *meter

	flights  singleflight.Group
	failures failures
	resting  rests // refreshes that are under way, or were just in vain

	begun sync.Once
	works chan *memo     // whose entries have changed and are to be read again
	wg    sync.WaitGroup // of what runs beside the callers

	mu     sync.Mutex
	kinds  map[string]bool // names of caches
	stops  map[uint64]context.CancelFunc
	ran    uint64
	closed bool
}

// Open makes a Store. It dials nothing and asks nothing. The client stays the caller's;
// one of go-redis's own should have ContextTimeoutEnabled.
func Open(c redis.UniversalClient, o Options) (*Store, error) {
	o, err := o.withDefaults()
	if budget.Missing(c) {
		err = errors.Join(err, bad(true, "client: it is nil: give what topology.Open returned, after a look at its error"))
	}
	if err != nil {
		return nil, err
	}
	s := &Store{opt: o, side: sideOf(c), outages: &outages{ramp: o.Guard.ramp}, works: make(chan *memo, followRoom), kinds: map[string]bool{}, stops: map[uint64]context.CancelFunc{}}
	s.redis = &server{c: c, budget: budget.New(c, o.Budget), outages: s.outages,
		breaker: breaker.New("redis", []string{workload}, o.Logger)}
	if s.memory, err = newMemory(o.Memory, o.MemoryAge); err != nil {
		return nil, fmt.Errorf("cache: memory: %w", err)
	}
	s.memory.follow = s.follow
	s.pending = newPending(s)
	s.meter = newMeter(s)
	if !s.redis.budget.Heeded() {
		o.Logger.Warn("the client's reads do not end with a context's deadline: calls that are over budget are left to its own time-outs; set ContextTimeoutEnabled",
			"workload", workload)
	}
	return s, nil
}

// begin starts what runs beside the callers, at the first use.
func (s *Store) begin(ctx context.Context) {
	s.begun.Do(func() {
		if s.side != nil && s.memory.held != nil {
			s.behind(ctx, func(ctx context.Context) { s.track(ctx, s.side) })
			s.behind(ctx, s.followAll)
		}
	})
}

// behind runs f beside the callers, in a context that ends with the Store and not with
// ctx, unless the Store is closed.
func (s *Store) behind(ctx context.Context, f func(context.Context)) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return false
	}
	ctx, stop := context.WithCancel(context.WithoutCancel(ctx))
	s.ran++
	id := s.ran
	s.stops[id] = stop
	s.wg.Go(func() {
		defer func() {
			stop()
			s.mu.Lock()
			defer s.mu.Unlock()
			delete(s.stops, id)
		}()
		f(ctx)
	})
	return true
}

// Close ends what the Store has running, and waits for it. Invalidations that Redis
// has not heard of are lost with it; the error says how many. What is asked of the
// Store afterwards is answered, without help from behind. It may be called twice.
func (s *Store) Close() error {
	s.mu.Lock()
	s.closed = true
	for _, stop := range s.stops {
		stop()
	}
	s.mu.Unlock()
	s.wg.Wait()
	if lost := s.pending.len(); lost > 0 {
		return fmt.Errorf("%w: close: invalidations that Redis has not heard of: %d", ErrUnavailable, lost)
	}
	return nil
}

// name takes a name for a cache.
func (s *Store) name(name string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.kinds[name] {
		return bad(true, "name: there is a cache %q already", name)
	}
	s.kinds[name] = true
	return nil
}
