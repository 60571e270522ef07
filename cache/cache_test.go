package cache

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/transload/transload/internal/redistest"
)

func TestFaultsAreNamed(t *testing.T) {
	s, srv := mini(t, Options{})
	for want, f := range map[string]func() error{
		"MemoryAge":       func() error { _, err := Open(miniClient(t, srv), Options{MemoryAge: time.Hour}); return err },
		"Limit.AtOnce":    func() error { _, err := NewGuard(Limit{AtOnce: -1}); return err },
		"Limit.PerSecond": func() error { _, err := NewGuard(Limit{PerSecond: -1}); return err },
		"Limit.Wait":      func() error { _, err := NewGuard(Limit{Wait: time.Hour}); return err },
		"TTL":             func() error { _, err := New(s, "a", Config[truck]{TTL: time.Millisecond}); return err },
		"Soft":            func() error { _, err := New(s, "a", Config[truck]{Soft: time.Hour}); return err },
		"Negative":        func() error { _, err := New(s, "a", Config[truck]{Negative: time.Hour}); return err },
		"MaxSize":         func() error { _, err := New(s, "a", Config[truck]{MaxSize: -1}); return err },
		"LoadWithin":      func() error { _, err := New(s, "a", Config[truck]{LoadWithin: time.Hour}); return err },
		"name":            func() error { _, err := New(s, "a:b", Config[truck]{}); return err },
		"Region":          func() error { _, err := NewGeo(s, "g", GeoConfig{Region: 100}); return err },
	} {
		if err := f(); !errors.Is(err, ErrOption) || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v; want ErrOption that names %s", err, want)
		}
	}
	trucksOn(t, s, Config[truck]{})
	if _, err := NewGeo(s, "truck", GeoConfig{}); !errors.Is(err, ErrOption) {
		t.Errorf("a name twice: got %v; want ErrOption", err)
	}
}

func TestIDs(t *testing.T) {
	s, _ := mini(t, patient())
	c, d := trucksOn(t, s, Config[truck]{}), newDatabase(1)
	geo, err := NewGeo(s, "fleet", GeoConfig{})
	if err != nil {
		t.Fatal(err)
	}
	ctx := t.Context()
	for _, id := range []string{"", "a}b", "{", strings.Repeat("x", 513)} {
		_, _, get := c.Get(ctx, id, d.load("0"))
		_, _, tag := c.Get(ctx, "0", d.load("0"), id)
		_, many := c.GetMany(ctx, []string{"0", id}, d.loadMany)
		for what, err := range map[string]error{"get": get, "tag": tag, "get many": many, "invalidate": c.Invalidate(ctx, id),
			"invalidate a tag": s.InvalidateTag(ctx, id), "set": geo.Set(ctx, id, 1, 1), "remove": geo.Remove(ctx, id)} {
			if !errors.Is(err, ErrID) || id != "" && id != "{" && strings.Contains(err.Error(), id) {
				t.Errorf("%s: got %v; want ErrID, and not the id", what, err)
			}
		}
	}
	for _, err := range []error{geo.Set(ctx, "a", 181, 0), geo.Set(ctx, "a", 0, 86), errOf(geo.Near(ctx, 0, 0, 0, 1)), errOf(geo.Near(ctx, 0, 0, 1, 0))} {
		if !errors.Is(err, ErrID) {
			t.Errorf("got %v; want ErrID", err)
		}
	}
	d.asked(t, 0)
}

func errOf(_ []Place, err error) error { return err }

// TestLoaderFails is about what comes before an error.
func TestLoaderFails(t *testing.T) {
	s, _ := mini(t, patient())
	c, d := trucksOn(t, s, Config[truck]{}), newDatabase(2)
	gets(t, c, d, "0", 0)
	down := errors.New("the database is down")
	d.fail(down)
	if err := c.Invalidate(t.Context(), "0"); err != nil {
		t.Fatal(err)
	}
	is(t, gets(t, c, d, "0", 0), FromMemory, true)
	for range 3 {
		if _, _, err := c.Get(t.Context(), "1", d.load("1")); !errors.Is(err, down) {
			t.Errorf("got %v; want the loader's error", err)
		}
	}
	d.asked(t, 3) // each id once in a second
	d.fail(nil)
	redistest.Eventually(t, within, func() error {
		_, _, err := c.Get(t.Context(), "1", d.load("1"))
		return err
	})
}

func TestMaxStale(t *testing.T) {
	s, _ := mini(t, patient())
	c, d := trucksOn(t, s, Config[truck]{TTL: time.Second, Negative: time.Second, MaxStale: -1}), newDatabase(1)
	gets(t, c, d, "0", 0)
	down := errors.New("the database is down")
	d.fail(down)
	redistest.Eventually(t, within, func() error {
		if _, _, err := c.Get(t.Context(), "0", d.load("0")); !errors.Is(err, down) {
			return fmt.Errorf("got %w; want that nothing is older than TTL", err)
		}
		return nil
	})
}

func TestPanicIsAnError(t *testing.T) {
	s, _ := mini(t, patient())
	c := trucksOn(t, s, Config[truck]{})
	_, _, err := c.Get(t.Context(), "0", func(context.Context) (truck, error) { panic("out of trucks") })
	if err == nil || !strings.Contains(err.Error(), "out of trucks") {
		t.Errorf("got %v; want an error that tells the panic", err)
	}
	_, err = c.GetMany(t.Context(), []string{"1"}, func(context.Context, []string) (map[string]truck, error) { panic("out of trucks") })
	if err == nil || !strings.Contains(err.Error(), "out of trucks") {
		t.Errorf("many: got %v; want an error that tells the panic", err)
	}
}

func TestTooLargeIsNotKept(t *testing.T) {
	s, srv := mini(t, patient())
	c, d := trucksOn(t, s, Config[truck]{MaxSize: 5}), newDatabase(1)
	for range 2 {
		is(t, gets(t, c, d, "0", 0), FromLoader, false)
	}
	d.asked(t, 2)
	if srv.Exists(entryKey("truck", "0")) || srv.Exists(lockKey(entryKey("truck", "0"))) {
		t.Error("it is in Redis, or the right to fill is; want neither")
	}
	if n := testutil.ToFloat64(c.kind.meter.oversized); n != 2 {
		t.Errorf("got %v counted; want 2", n)
	}
}

// TestUndecodable reads what another program has written.
func TestUndecodable(t *testing.T) {
	s, srv := mini(t, patient())
	c, d := trucksOn(t, s, Config[truck]{}), newDatabase(1)
	e := entry{kind: kindValue, token: newToken(), stamp: s.redis.now(), value: []byte("<xml/>")}
	if err := srv.Set(entryKey("truck", "0"), string(e.raw())); err != nil {
		t.Fatal(err)
	}
	is(t, gets(t, c, d, "0", 0), FromLoader, false)
	gets(t, c, d, "0", 0)
	d.asked(t, 1)
}

func TestCancelled(t *testing.T) {
	s, _ := mini(t, patient())
	c, d := trucksOn(t, s, Config[truck]{}), newDatabase(1)
	ctx, cancel := context.WithCancel(t.Context())
	_, _, err := c.Get(ctx, "0", func(own context.Context) (truck, error) {
		cancel()
		return d.load("0")(own) // which goes on for those who wait for it too
	})
	if !errors.Is(err, context.Canceled) && err != nil {
		t.Errorf("got %v; want the caller's error, or none", err)
	}
	if _, _, err := c.Get(ctx, "1", d.load("1")); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v; want the caller's error", err)
	}
	redistest.Eventually(t, within, func() error {
		if s.redis.open() || s.outages.away() {
			return errors.New("who cancels says nothing of Redis")
		}
		gets(t, c, d, "0", 0)
		return nil
	})
	d.asked(t, 1)
}

func TestWithoutMemory(t *testing.T) {
	o := patient()
	o.Memory = -1
	s, srv := mini(t, o)
	c, d := trucksOn(t, s, Config[truck]{}), newDatabase(1)
	gets(t, c, d, "0", 0)
	is(t, gets(t, c, d, "0", 0), FromRedis, false)
	srv.Close()
	is(t, gets(t, c, d, "0", 0), FromLoader, false)
}

func TestMemoryIsBounded(t *testing.T) {
	o := patient()
	o.Memory = 30 << 10
	s, _ := mini(t, o)
	c, d := trucksOn(t, s, Config[truck]{}), newDatabase(300)
	for i := range 300 {
		gets(t, c, d, fmt.Sprint(i), i)
	}
	redistest.Eventually(t, within, func() error {
		if n, bytes := s.memory.figures(); n == 0 || bytes > 30<<10 {
			return fmt.Errorf("got %d entries, %d bytes; want at most 30 KiB", n, bytes)
		}
		return nil
	})
}

func TestMetrics(t *testing.T) {
	s, _ := mini(t, patient())
	c, d := trucksOn(t, s, Config[truck]{}), newDatabase(1)
	gets(t, c, d, "0", 0)
	gets(t, c, d, "0", 0)
	if counted(c, "loader") != 1 || counted(c, "memory") != 1 {
		t.Errorf("got %v loaded, %v from memory; want one each", counted(c, "loader"), counted(c, "memory"))
	}
	page, err := os.ReadFile("../docs/cache.md")
	if err != nil {
		t.Fatal(err)
	}
	registry := prometheus.NewRegistry()
	registry.MustRegister(s.Metrics())
	families, err := registry.Gather()
	if err != nil || len(families) < 10 {
		t.Fatalf("got %d metrics, %v; want more", len(families), err)
	}
	for _, f := range families {
		if _, short, _ := strings.Cut(f.GetName(), "transload_cache"); !strings.Contains(string(page), short+"`") {
			t.Errorf("docs/cache.md does not tell of %s", f.GetName())
		}
	}
	problems, err := testutil.CollectAndLint(s.Metrics())
	if err != nil || len(problems) > 0 {
		t.Errorf("got %v, %v; want names as Prometheus has them", problems, err)
	}
}
