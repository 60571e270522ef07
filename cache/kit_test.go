package cache

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/redis/go-redis/v9"

	"github.com/transload/transload/internal/redistest"
	"github.com/transload/transload/topology"
)

// within is how long anything may take on a busy machine.
const within = time.Minute

// patient are options for a machine that does other things as well.
func patient() Options {
	g, err := NewGuard(Limit{AtOnce: 64, PerSecond: 10_000, Wait: within, Ramp: -1})
	if err != nil {
		panic(err)
	}
	return Options{Budget: 20 * time.Second, Guard: g}
}

// A truck is what these tests keep.
type truck struct {
	ID    string
	Miles int
}

// mini is a store on a server inside the process.
func mini(t testing.TB, o Options) (*Store, *miniredis.Miniredis) {
	t.Helper()
	s := miniredis.RunT(t)
	s.ClockTTL(true)
	return storeOn(t, miniClient(t, s), o), s
}

func miniClient(t testing.TB, s *miniredis.Miniredis) *redis.Client {
	t.Helper()
	c := redis.NewClient(&redis.Options{Addr: s.Addr(), ContextTimeoutEnabled: true, DialerRetries: 1, MaxRetries: -1, DisableIdentity: true})
	t.Cleanup(func() { _ = c.Close() })
	return c
}

func storeOn(t testing.TB, c redis.UniversalClient, o Options) *Store {
	t.Helper()
	s, err := Open(c, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func trucksOn(t testing.TB, s *Store, c Config[truck]) *Cache[truck] {
	t.Helper()
	trucks, err := New(s, "truck", c)
	if err != nil {
		t.Fatal(err)
	}
	return trucks
}

func guardOf(t testing.TB, l Limit) *Guard {
	t.Helper()
	g, err := NewGuard(l)
	if err != nil {
		t.Fatal(err)
	}
	return g
}

// open is the client that an app has.
func open(t testing.TB, s interface {
	Env(string) map[string]string
}) *topology.Client {
	t.Helper()
	cfg, err := topology.FromEnv("REDIS", redistest.Getenv(s.Env("REDIS")))
	if err != nil {
		t.Fatal(err)
	}
	c, err := topology.Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// A database is what a cache shields. It counts what it is asked.
type database struct {
	mu     sync.Mutex
	trucks map[string]truck
	err    error
	delay  time.Duration
	calls  atomic.Int64
}

func newDatabase(n int) *database {
	d := &database{trucks: map[string]truck{}}
	for i := range n {
		d.put(fmt.Sprint(i), i)
	}
	return d
}

func (d *database) put(id string, miles int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.trucks[id] = truck{id, miles}
}

func (d *database) fail(err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.err = err
}

// load is the loader of an id.
func (d *database) load(id string) func(context.Context) (truck, error) {
	return func(ctx context.Context) (truck, error) {
		d.calls.Add(1)
		d.mu.Lock()
		v, ok := d.trucks[id]
		err := d.err
		d.mu.Unlock()
		if d.delay > 0 {
			err = errors.Join(err, sleep(ctx, d.delay))
		}
		if err == nil && !ok {
			return v, fmt.Errorf("no row: %w", ErrNotFound)
		}
		return v, err
	}
}

func (d *database) loadMany(_ context.Context, ids []string) (map[string]truck, error) {
	d.calls.Add(1)
	d.mu.Lock()
	defer d.mu.Unlock()
	out := map[string]truck{}
	for _, id := range ids {
		if v, ok := d.trucks[id]; ok {
			out[id] = v
		}
	}
	return out, d.err
}

// asked fails the test unless the database was asked that often.
func (d *database) asked(t testing.TB, want int64) {
	t.Helper()
	if got := d.calls.Load(); got != want {
		t.Errorf("the database was asked %d times; want %d", got, want)
	}
}

// gets fails the test unless an id has miles.
func gets(t testing.TB, c *Cache[truck], d *database, id string, miles int) Meta {
	t.Helper()
	v, meta, err := c.Get(t.Context(), id, d.load(id))
	if err != nil || v.Miles != miles {
		t.Fatalf("got %+v, %+v, %v; want %d miles", v, meta, err, miles)
	}
	return meta
}

// is fails the test unless an answer is of a source, and stale or not.
func is(t testing.TB, m Meta, from Source, stale bool) {
	t.Helper()
	if m.Source != from || m.Stale != stale {
		t.Errorf("got an answer from %v, stale %v; want %v, %v", m.Source, m.Stale, from, stale)
	}
}

// tracked waits until servers tell a store of changes.
func tracked(t testing.TB, list ...*Store) {
	t.Helper()
	for _, s := range list {
		s.begin(t.Context())
		redistest.Eventually(t, within, func() error {
			if !s.memory.tracked() {
				return errors.New("no server tells of changes")
			}
			return nil
		})
	}
}

// heardAll waits until the servers have told a store of all that was written before.
func heardAll(t testing.TB, s *Store) {
	t.Helper()
	now := s.memory.clock()
	redistest.Eventually(t, within, func() error {
		if s.memory.until.Load() < now+int64(vouchFor) {
			return errors.New("the servers have not vouched since")
		}
		return nil
	})
}

// counted returns a metric of a store's trucks.
func counted(c *Cache[truck], requests string) float64 {
	return testutil.ToFloat64(c.kind.meter.requests[requests])
}
