package load_test

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"

	"github.com/transload/transload/internal/load"
)

// run makes a second of load on a fresh server, and returns also the path of its
// journal.
func run(t *testing.T) (srv *miniredis.Miniredis, c redis.UniversalClient, j *load.Journal, path string) {
	t.Helper()
	srv = miniredis.RunT(t)
	c = redis.NewClient(&redis.Options{Addr: srv.Addr()})
	t.Cleanup(func() { c.Close() })
	path = filepath.Join(t.TempDir(), "journal")
	j, err := load.Create(path, "m1")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		load.Run(ctx, c, j, load.Options{Member: "m1", Rate: 2000})
	}()
	for deadline := time.Now().Add(10 * time.Second); j.Count() < 1500 && time.Now().Before(deadline); {
		time.Sleep(5 * time.Millisecond)
	}
	cancel()
	<-done
	if j.Count() < 1500 {
		t.Fatalf("got %d writes acknowledged in 10s; want 1500", j.Count())
	}
	return srv, c, j, path
}

func TestNothingLostOnPlainRedis(t *testing.T) {
	t.Parallel()
	_, c, j, path := run(t)
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	again, err := load.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	v, err := load.Check(t.Context(), c, again)
	if err != nil || !v.OK() || v.Acknowledged != j.Count() || len(v.Errors) != 0 {
		t.Fatalf("got %+v, %v; want all %d there", v, err, j.Count())
	}
}

// TestKilledMember cuts a journal off where kill -9 may, in the middle of a line:
// what was acknowledged before is there, and what was under way is open.
func TestKilledMember(t *testing.T) {
	t.Parallel()
	_, _, j, path := run(t)
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, text[:len(text)*2/3], 0o600); err != nil {
		t.Fatal(err)
	}
	cut, err := load.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	if n := cut.Count(); n == 0 || n >= j.Count() {
		t.Errorf("got %d acknowledged; want some of %d", n, j.Count())
	}
	for key, r := range cut.Registers {
		if open := r.Tried - r.Acked; open < 0 || open > 1 || r.Acked > j.Registers[key].Acked {
			t.Errorf("%s: got %+v; want one write open at most, and none that came later", key, r)
		}
	}
	for key, n := range cut.Counters {
		if n.Unknown < 0 || n.Unknown > 5 {
			t.Errorf("%s: got %d open; want no more than were under way", key, n.Unknown)
		}
	}
}

// TestEachLossIsSeen takes one thing away at a time: a check that could not
// fail would make every migration look good.
func TestEachLossIsSeen(t *testing.T) {
	t.Parallel()
	srv, c, j, _ := run(t)
	first := func(m []string) string { return m[0] }
	keys := func(prefix string) (out []string) {
		for _, k := range srv.Keys() {
			if len(k) >= len(prefix) && k[:len(prefix)] == prefix {
				out = append(out, k)
			}
		}
		return out
	}
	ctx := t.Context()
	for name, take := range map[string]func() (undo func()){
		"a register falls back": func() func() {
			for key, r := range j.Registers {
				if r.Acked > 1 {
					c.Set(ctx, key, r.Acked-1, time.Hour)
					return func() { c.Set(ctx, key, r.Acked, time.Hour) }
				}
			}
			return nil
		},
		"a register loses its expiry": func() func() {
			key := first(keys("sess:{m1-0-reg"))
			c.Persist(ctx, key)
			return func() { c.Expire(ctx, key, time.Hour) }
		},
		"a counter misses one": func() func() {
			key := first(keys("rl:"))
			c.Decr(ctx, key)
			return func() { c.Incr(ctx, key) }
		},
		"a counter has one too many": func() func() {
			key := first(keys("rl:"))
			c.Incr(ctx, key)
			return func() { c.Decr(ctx, key) }
		},
		"a set misses an element": func() func() {
			key := first(keys("tags:"))
			el := c.SPop(ctx, key).Val()
			return func() { c.SAdd(ctx, key, el) }
		},
		"a list has an element twice": func() func() {
			key := first(keys("log:"))
			c.RPush(ctx, key, c.LIndex(ctx, key, 0).Val())
			return func() { c.RPop(ctx, key) }
		},
		"a task comes twice": func() func() {
			for key, q := range j.Queues {
				if len(q.Popped) > 0 {
					c.RPush(ctx, key, q.Popped[0])
					return func() { c.RPop(ctx, key) }
				}
			}
			return nil
		},
	} {
		t.Run(name, func(t *testing.T) {
			undo := take()
			if undo == nil {
				t.Fatal("the load made nothing to take away")
			}
			if v, err := load.Check(ctx, c, j); err != nil || v.OK() {
				t.Errorf("got %+v, %v; want it seen", v, err)
			}
			undo()
			if v, err := load.Check(ctx, c, j); err != nil || !v.OK() {
				t.Fatalf("put back: got %+v, %v; want nothing wrong", v, err)
			}
		})
	}
}
