package migrate

import (
	"context"
	"errors"
	"math"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/transload/transload/internal/command"
	"github.com/transload/transload/internal/lastminute"
	"github.com/transload/transload/internal/protocol"
)

const (
	// shadowRoom is how many reads may wait to be repeated, and shadowWorkers how
	// many are repeated at a time. What finds no room is not repeated.
	shadowRoom    = 512
	shadowWorkers = 2

	// A read that differs is run again before it counts: other members' writes of
	// a moment ago are still on their way. The last look comes after shadowPatience.
	shadowTries    = 3
	shadowPatience = 500 * time.Millisecond

	// shadowBound bounds one repeated read.
	shadowBound = 5 * time.Second

	// shadowExamples is how many of the keys that differed are remembered.
	shadowExamples = 5
)

// A shadow repeats a sample of the app's reads on both sides, off the caller's
// path, and compares results, latency and hit rate. It says nothing about a key
// that has just been written: the mirror is a moment late by design.
type shadow struct {
	m         *member
	threshold uint32 // of a random number
	queue     chan shadowRead
	again     chan shadowRead
	latency   *latencies
	by        []shadowCounts // by workload

	mu       sync.Mutex
	examples []string // workloads and hashes of keys, newest last
}

type shadowCounts struct {
	compared, different, failed, skipped atomic.Int64
	recent                               lastminute.Counter // differences
	reads, hits                          [3]lastminute.Counter
}

type shadowRead struct {
	args     []any
	shape    shape
	workload uint8
	keys     []string
	tries    int
	due      time.Time
}

func newShadow(m *member, share float64) *shadow {
	s := &shadow{
		m: m, queue: make(chan shadowRead, shadowRoom), again: make(chan shadowRead, shadowRoom),
		latency: newLatencies(len(m.plan.names)), by: make([]shadowCounts, len(m.plan.names)),
	}
	if share > 0 {
		s.threshold = uint32(min(share*math.MaxUint32, math.MaxUint32))
	}
	return s
}

// read takes a read that the app has had answered, and repeats it later if it is
// drawn. It keeps nothing of cmd.
func (s *shadow) read(p pass, cmd redis.Cmder, units []unit) {
	if s.threshold == 0 || !p.view.leased || len(units) == 0 || rand.Uint32() > s.threshold {
		return
	}
	shape, ok := shapes[cmd.Name()]
	if !ok || s.m.plan.cold[units[0].workload] {
		return
	}
	k, ok := command.Lookup(cmd.Args())
	if !ok {
		return
	}
	keys, err := k.AppendKeys(nil, cmd.Args())
	if err != nil {
		return
	}
	job := shadowRead{args: slices.Clone(cmd.Args()), shape: shape, workload: units[0].workload, keys: keys}
	select {
	case s.queue <- job:
	default:
		s.by[job.workload].skipped.Add(1)
	}
}

// run repeats reads until ctx is done.
func (s *shadow) run(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case job := <-s.queue:
			s.look(ctx, job)
		}
	}
}

// runAgain looks once more at what differed, when its time has come. All wait
// for equally long, so that first come is first due.
func (s *shadow) runAgain(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case job := <-s.again:
			if !pause(ctx, time.Until(job.due)) {
				return
			}
			s.look(ctx, job)
		}
	}
}

// look runs a read on both sides and compares.
func (s *shadow) look(ctx context.Context, job shadowRead) {
	counts := &s.by[job.workload]
	pools, ok := s.pools(job.keys)
	if !ok || s.pending(job.keys) {
		counts.skipped.Add(1)
		return
	}
	ctx, cancel := context.WithTimeout(ctx, shadowBound)
	defer cancel()
	mirror, err := s.ask(ctx, pools[1], job)
	if ours(err) {
		counts.skipped.Add(1)
		return
	}
	if err != nil {
		counts.failed.Add(1)
		return
	}
	authority, err := s.ask(ctx, pools[0], job)
	if err != nil {
		counts.skipped.Add(1)
		return
	}
	if same(authority, mirror, job.shape) {
		counts.compared.Add(1)
		return
	}
	if job.tries++; job.tries < shadowTries {
		job.due = time.Now().Add(shadowPatience)
		select {
		case s.again <- job:
		default:
			counts.skipped.Add(1)
		}
		return
	}
	s.settle(ctx, pools, job, authority)
}

// settle decides whether a read that has differed each time is a difference: the
// authority must answer as before, and the key must not have been written since.
func (s *shadow) settle(ctx context.Context, pools [2]*pool, job shadowRead, before any) {
	counts := &s.by[job.workload]
	mirror, err1 := s.ask(ctx, pools[1], job)
	after, err2 := s.ask(ctx, pools[0], job)
	now, ok := s.pools(job.keys)
	switch {
	case err1 != nil, err2 != nil, !ok, now != pools, s.pending(job.keys), !same(before, after, job.shape):
		counts.skipped.Add(1) // it changes all the time: nothing can be said
		return
	case same(after, mirror, job.shape):
		counts.compared.Add(1)
		return
	}
	counts.compared.Add(1)
	counts.different.Add(1)
	counts.recent.Add(1)
	s.mu.Lock()
	defer s.mu.Unlock()
	if name := s.m.plan.names[job.workload] + " #" + HashKey(job.keys[0]); !slices.Contains(s.examples, name) {
		s.examples = append(s.examples, name)
		s.examples = s.examples[max(0, len(s.examples)-shadowExamples):]
	}
}

// pools returns the pool of the side that serves all the keys, and the other's,
// if both may be used and nothing moves.
func (s *shadow) pools(keys []string) (both [2]*pool, ok bool) {
	v := s.m.view.Load()
	units := s.m.plan.units(nil, keys)
	side, moving, split := v.place(units, false)
	if !v.leased || side == protocol.None || moving || split {
		return both, false
	}
	both = [2]*pool{v.pools[side], v.pools[side.Other()]}
	now := s.m.now()
	return both, both[0] != nil && both[1] != nil && both[0].valid(now) && both[1].valid(now)
}

func (s *shadow) pending(keys []string) bool { return slices.ContainsFunc(keys, s.m.mirror.pending) }

// ask runs a read on one side and measures it. A missing key is nil, no error.
func (s *shadow) ask(ctx context.Context, p *pool, job shadowRead) (any, error) {
	cmd := redis.NewCmd(ctx, job.args...)
	began := time.Now()
	err := p.client.Process(ctx, cmd)
	took := time.Since(began)
	miss := errors.Is(err, redis.Nil)
	if err != nil && !miss {
		return nil, err
	}
	s.latency.by[p.side][job.workload].Record(took)
	if job.shape == single {
		counts := &s.by[job.workload]
		counts.reads[p.side].Add(1)
		if !miss {
			counts.hits[p.side].Add(1)
		}
	}
	return cmd.Val(), nil
}

func (s *shadow) names() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.examples)
}
