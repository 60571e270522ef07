package cache

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	rediscache "github.com/go-redis/cache/v9"
	"github.com/redis/go-redis/v9"

	"github.com/transload/transload/internal/redisproc"
	"github.com/transload/transload/internal/redistest"
)

const (
	entities  = 10_000
	instances = 3
	readsEach = 2000 / instances // a second
	ttl       = 5 * time.Minute
	outage    = 10 * time.Second
	window    = 20 * time.Second // of normal running, and after the outage
)

// TestLoad counts what a database is asked while Redis is away and afterwards.
// `make load W=cache` runs it.
func TestLoad(t *testing.T) {
	if os.Getenv("LOAD") == "" {
		t.Skip("a load: LOAD=1 runs it")
	}
	t.Run("stampede", loadStampede)
	t.Run("restart without data", func(t *testing.T) {
		for _, name := range []string{"ours", "go-redis cache with local", "go-redis cache", "no protection", "ours without memory"} {
			t.Run(name, func(t *testing.T) { loadRestart(t, name) })
		}
	})
	t.Run("failover", loadFailover)
	t.Run("migration", loadMigration)
	t.Run("cold migration", loadCold)
}

// An app reads trucks in one of several ways.
type app func(ctx context.Context, id string) (truck, error)

// A crew is the instances of an app, and the database behind them.
type crew struct {
	t      *testing.T
	apps   []app
	guards []*Guard
	calls  tally // of the database
	reads  atomic.Int64
	shed   atomic.Int64
	failed atomic.Int64
	wrong  atomic.Int64
}

// A tally counts by tenths of a second.
type tally struct {
	mu    sync.Mutex
	times []time.Time
}

func (y *tally) add() {
	y.mu.Lock()
	defer y.mu.Unlock()
	y.times = append(y.times, time.Now())
}

// between returns how many there were, and how many at most in one second.
func (y *tally) between(from, to time.Time) (n, busiest int) {
	y.mu.Lock()
	defer y.mu.Unlock()
	list := slices.Clone(y.times)
	slices.SortFunc(list, time.Time.Compare)
	list = slices.DeleteFunc(list, func(x time.Time) bool { return x.Before(from) || x.After(to) })
	j := 0
	for i := range list {
		for j < len(list) && list[j].Sub(list[i]) < time.Second {
			j++
		}
		busiest = max(busiest, j-i)
	}
	return len(list), busiest
}

// query is what a database does for one call.
func (c *crew) query(ctx context.Context, id string) (truck, error) {
	c.calls.add()
	return truck{ID: id, Miles: len(id)}, sleep(ctx, 2*time.Millisecond)
}

// hire makes the instances of an app.
func hire(t *testing.T, how string, clients ...redis.UniversalClient) *crew {
	c := &crew{t: t}
	for _, client := range clients {
		switch how {
		case "ours":
			c.ours(client, Options{})
		case "ours without memory":
			g := guardOf(t, Limit{PerSecond: 100})
			c.guards = append(c.guards, g)
			c.ours(client, Options{Memory: -1, Guard: g})
		case "go-redis cache":
			c.theirs(&rediscache.Options{Redis: client})
		case "go-redis cache with local":
			c.theirs(&rediscache.Options{Redis: client, LocalCache: rediscache.NewTinyLFU(entities, time.Minute)})
		case "no protection":
			c.plain(client)
		}
	}
	return c
}

func (c *crew) ours(client redis.UniversalClient, o Options) *Cache[truck] {
	store := storeOn(c.t, client, o)
	if o.Memory >= 0 {
		tracked(c.t, store) // what is read before is of less use: nobody tells when it changes
	}
	trucks := trucksOn(c.t, store, Config[truck]{TTL: ttl})
	c.apps = append(c.apps, func(ctx context.Context, id string) (truck, error) {
		v, _, err := trucks.Get(ctx, id, func(ctx context.Context) (truck, error) { return c.query(ctx, id) })
		return v, err
	})
	return trucks
}

func (c *crew) theirs(o *rediscache.Options) {
	cache := rediscache.New(o)
	c.apps = append(c.apps, func(ctx context.Context, id string) (v truck, err error) {
		err = cache.Once(&rediscache.Item{Ctx: ctx, Key: "cache:{other:" + id + "}", Value: &v, TTL: ttl,
			Do: func(*rediscache.Item) (any, error) { return c.query(ctx, id) }})
		return v, err
	})
}

func (c *crew) plain(client redis.UniversalClient) {
	codec := JSON[truck]{}
	c.apps = append(c.apps, func(ctx context.Context, id string) (v truck, err error) {
		key := "cache:{plain:" + id + "}"
		if raw, err := client.Get(ctx, key).Bytes(); err == nil {
			return codec.Decode(raw)
		}
		if v, err = c.query(ctx, id); err == nil {
			raw, _ := codec.Encode(v)
			client.Set(ctx, key, raw, ttl)
		}
		return v, err
	})
}

// stock fills Redis as it is after a long time of normal running: entries of all
// ages.
func stock(t *testing.T, client redis.UniversalClient) {
	t.Helper()
	now := time.Now().UnixMilli()
	codec := JSON[truck]{}
	for from := 0; from < entities; from += 500 {
		_, err := client.Pipelined(t.Context(), func(p redis.Pipeliner) error {
			for i := from; i < from+500; i++ {
				id := fmt.Sprint(i)
				raw, _ := codec.Encode(truck{ID: id, Miles: len(id)})
				e := entry{kind: kindValue, token: newToken(), value: raw}
				soft := ttl / 5 * 4
				age := rand.N(soft - e.early(soft))
				e.stamp = now - age.Milliseconds()
				p.Set(t.Context(), entryKey("truck", id), e.raw(), ttl-age)
				left := rand.N(ttl)
				p.Set(t.Context(), "cache:{plain:"+id+"}", raw, left)
				packed, err := rediscache.New(&rediscache.Options{Redis: client}).Marshal(truck{ID: id, Miles: len(id)})
				if err != nil {
					return err
				}
				p.Set(t.Context(), "cache:{other:"+id+"}", packed, left)
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}

// work has every instance read at its rate until stop is called.
func (c *crew) work() (stop func()) {
	ctx, cancel := context.WithCancel(c.t.Context())
	var wg sync.WaitGroup
	for _, app := range c.apps {
		wg.Go(func() {
			tick := time.NewTicker(time.Second / readsEach)
			defer tick.Stop()
			for {
				select {
				case <-ctx.Done():
					return
				case <-tick.C:
					wg.Go(func() { c.read(ctx, app) })
				}
			}
		})
	}
	return func() { cancel(); wg.Wait() }
}

func (c *crew) read(ctx context.Context, app app) {
	id := fmt.Sprint(rand.IntN(entities))
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	v, err := app(ctx, id)
	c.reads.Add(1)
	switch {
	case errors.Is(err, ErrShed):
		c.shed.Add(1)
	case err != nil:
		c.failed.Add(1)
	case v.ID != id:
		c.wrong.Add(1)
	}
}

// know has every instance read everything once.
func (c *crew) know() {
	c.t.Helper()
	for _, app := range c.apps {
		var wg sync.WaitGroup
		for part := range 8 {
			wg.Go(func() {
				for i := part; i < entities; i += 8 {
					if _, err := app(c.t.Context(), fmt.Sprint(i)); err != nil && !errors.Is(err, ErrShed) {
						c.t.Error(err)
						return
					}
				}
			})
		}
		wg.Wait()
	}
}

// A stretch is what the database was asked in a time.
type stretch struct {
	calls, busiest int
	each           float64 // a second
}

func (c *crew) stretch(name string, from, to time.Time, reads, shed, failed int64) stretch {
	n, busiest := c.calls.between(from, to)
	s := stretch{n, busiest, float64(n) / to.Sub(from).Seconds()}
	c.t.Logf("%-12s %6d database calls, %7.1f a second, %5d in the busiest; %6d reads, %d shed, %d failed",
		name, s.calls, s.each, s.busiest, reads, shed, failed)
	return s
}

// during runs f, and then waits until so much time is over since it began.
func (c *crew) during(name string, d time.Duration, f func()) stretch {
	from, reads, shed, failed := time.Now(), c.reads.Load(), c.shed.Load(), c.failed.Load()
	f()
	time.Sleep(time.Until(from.Add(d)))
	return c.stretch(name, from, time.Now(), c.reads.Load()-reads, c.shed.Load()-shed, c.failed.Load()-failed)
}

// bounded fails the test if more was asked than 1.2 times what is normal, or than the
// guards allow.
func (c *crew) bounded(normal stretch, others ...stretch) {
	c.t.Helper()
	for _, s := range others {
		if s.each > 1.2*normal.each {
			c.t.Errorf("got %.1f calls a second; want at most 1.2 × %.1f", s.each, normal.each)
		}
	}
	if n := c.wrong.Load(); n > 0 {
		c.t.Errorf("%d reads got another truck", n)
	}
}

func clientsOf(t *testing.T, s interface {
	Env(string) map[string]string
}) (list []redis.UniversalClient) {
	for range instances {
		list = append(list, open(t, s))
	}
	return list
}

// loadRestart kills a server for ten seconds; it comes back empty.
func loadRestart(t *testing.T, how string) {
	srv := redistest.Standalone(t, redistest.Options{})
	clients := clientsOf(t, srv)
	stock(t, clients[0])
	c := hire(t, how, clients...)
	c.know()
	stop := c.work()
	time.Sleep(2 * time.Second)
	normal := c.during("normal", window, func() {})
	away := c.during("away", outage, func() {
		if err := srv.Kill(); err != nil {
			t.Fatal(err)
		}
	})
	after := c.during("after", window, func() {
		if err := srv.Restart(t.Context()); err != nil {
			t.Fatal(err)
		}
	})
	stop()
	switch how {
	case "ours":
		c.bounded(normal, away, after)
	case "ours without memory":
		for _, s := range []stretch{normal, away, after} {
			if limit := instances * 100; s.busiest > limit {
				t.Errorf("got %d calls in a second; want at most %d", s.busiest, limit)
			}
		}
	}
}

// loadFailover kills the primary of a Sentinel set, whose replica has the data.
func loadFailover(t *testing.T) {
	set := redistest.Sentinel(t, redistest.Options{})
	clients := clientsOf(t, set)
	stock(t, clients[0])
	c := hire(t, "ours", clients...)
	c.know()
	stop := c.work()
	time.Sleep(2 * time.Second)
	normal := c.during("normal", window, func() {})
	var primary *redisproc.Server
	after := c.during("failover", window, func() {
		primary = set.Primaries(t.Context())[0]
		if err := primary.Kill(); err != nil {
			t.Fatal(err)
		}
	})
	stop()
	c.bounded(normal, after)
}

// loadStampede has a thousand callers on three instances miss one value.
func loadStampede(t *testing.T) {
	for _, how := range []string{"ours", "go-redis cache", "no protection"} {
		c := hire(t, how, clientsOf(t, redistest.SharedStandalone(t))...)
		var wg sync.WaitGroup
		start := make(chan struct{})
		id := "stampede-" + newNonce()
		for i := range 1000 {
			wg.Go(func() {
				<-start
				if v, err := c.apps[i%instances](t.Context(), id); err != nil || v.ID != id {
					t.Errorf("got %+v, %v", v, err)
				}
			})
		}
		close(start)
		wg.Wait()
		n := len(c.calls.times)
		t.Logf("%-16s 1,000 misses of one value on %d instances: %d loads", how, instances, n)
		if how == "ours" && n != 1 {
			t.Errorf("got %d loads; want 1", n)
		}
	}
}
