package cache

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/transload/transload/internal/contract"
	"github.com/transload/transload/internal/redistest"
	"github.com/transload/transload/migrate"
)

// A fleet is a database whose trucks change all the time, and instances of an app
// that read them. What an invalidation that was acknowledged has ended must not be
// seen any more, save from memory within MemoryAge, or as stale.
type fleet struct {
	t      *testing.T
	caches []*Cache[truck]
	rows   []row
	calls  atomic.Int64
	reads  atomic.Int64
	stale  atomic.Int64
	shed   atomic.Int64
	writes atomic.Int64
	unsure atomic.Int64
	old    atomic.Int64
}

// A row is one truck.
type row struct {
	mu    sync.Mutex
	miles int
	acks  []ack // the last few, oldest first
}

// An ack says that nothing older than so many miles may be seen from then on.
type ack struct {
	miles int
	at    time.Time
}

func newFleet(t *testing.T, n int, m *contract.Migration) *fleet {
	f := &fleet{t: t, rows: make([]row, n)}
	for _, c := range m.Members {
		f.caches = append(f.caches, trucksOn(t, storeOn(t, c, Options{}), Config[truck]{}))
	}
	return f
}

// run has trucks change and be read until stop is called.
func (f *fleet) run() (stop func()) {
	ctx, cancel := context.WithCancel(f.t.Context())
	var wg sync.WaitGroup
	for i, c := range f.caches {
		for range 4 {
			wg.Go(func() {
				for ctx.Err() == nil {
					f.read(ctx, c, rand.IntN(len(f.rows)))
					_ = sleep(ctx, 5*time.Millisecond)
				}
			})
		}
		wg.Go(func() { // each row has one writer
			for ctx.Err() == nil {
				f.write(ctx, c, rand.IntN(len(f.rows)/len(f.caches))*len(f.caches)+i)
				_ = sleep(ctx, 20*time.Millisecond)
			}
		})
	}
	return func() { cancel(); wg.Wait() }
}

func (f *fleet) write(ctx context.Context, c *Cache[truck], i int) {
	r := &f.rows[i]
	r.mu.Lock()
	r.miles++
	miles := r.miles
	r.mu.Unlock()
	f.writes.Add(1)
	if err := c.Invalidate(ctx, fmt.Sprint(i)); err != nil {
		f.unsure.Add(1)
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.acks = append(r.acks, ack{miles, time.Now()}); len(r.acks) > 8 {
		r.acks = r.acks[1:]
	}
}

// floor is what a reading that begins now must not be under.
func (r *row) floor() (miles int) {
	const bound = 1100 * time.Millisecond // MemoryAge, and a tick
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, a := range r.acks {
		if time.Since(a.at) > bound {
			miles = a.miles
		}
	}
	return miles
}

func (f *fleet) read(ctx context.Context, c *Cache[truck], i int) {
	floor := f.rows[i].floor()
	v, m, err := c.Get(ctx, fmt.Sprint(i), func(context.Context) (truck, error) {
		f.calls.Add(1)
		f.rows[i].mu.Lock()
		defer f.rows[i].mu.Unlock()
		return truck{fmt.Sprint(i), f.rows[i].miles}, nil
	})
	f.reads.Add(1)
	switch {
	case errors.Is(err, ErrShed):
		f.shed.Add(1)
	case err != nil && ctx.Err() == nil:
		f.t.Error(err)
	case m.Stale:
		f.stale.Add(1)
	case err == nil && v.Miles < floor:
		f.old.Add(1)
		f.t.Logf("truck %d: got %d miles from %v, of age %v; want %d", i, v.Miles, m.Source, m.Age, floor)
	}
}

func (f *fleet) judge() {
	f.t.Helper()
	f.t.Logf("%d reads, %d of them stale, %d shed; %d changes, %d of them told later; %d database calls; %d reads of what was invalidated",
		f.reads.Load(), f.stale.Load(), f.shed.Load(), f.writes.Load(), f.unsure.Load(), f.calls.Load(), f.old.Load())
	if n := f.old.Load(); n > 0 {
		f.t.Errorf("got %d reads of what was invalidated before; want none", n)
	}
}

// move takes a fleet through a whole migration and back, and there for good.
func move(t *testing.T, rest time.Duration, workloads []migrate.Workload) {
	m := contract.BeginWith(t, workloads, 3, contract.Config(t, redistest.Standalone(t, redistest.Options{})), contract.Config(t, redistest.Sentinel(t, redistest.Options{})))
	f := newFleet(t, 300, m)
	stop := f.run()
	m.Shadow(t)
	for _, percent := range []int{10, 50, 100} {
		m.Cutover(t, percent)
		time.Sleep(rest)
	}
	m.Rollback(t)
	time.Sleep(rest)
	m.Cutover(t, 100)
	m.Finish(t)
	time.Sleep(rest)
	stop()
	f.judge()
}

func loadMigration(t *testing.T) { move(t, 5*time.Second, nil) }

// cold are the default workloads, with a cache that begins empty.
func cold() []migrate.Workload {
	ws := migrate.DefaultWorkloads()
	for i := range ws {
		ws[i].Cold = ws[i].Name == "cache"
	}
	return ws
}

func loadCold(t *testing.T) { move(t, 5*time.Second, cold()) }

// TestCold moves a cache that begins empty.
func TestCold(t *testing.T) {
	t.Parallel()
	move(t, 100*time.Millisecond, cold())
}
