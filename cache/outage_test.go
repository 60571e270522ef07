package cache

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/transload/transload/internal/redistest"
)

// atOnceOld has memory ask Redis each time, as long as there is one.
func atOnceOld() Options {
	o := patient()
	o.MemoryAge = time.Nanosecond
	return o
}

func TestOutage(t *testing.T) {
	o := atOnceOld()
	o.Guard = guardOf(t, Limit{AtOnce: 1, Wait: -1, Ramp: -1})
	s, srv := mini(t, o)
	c, d := trucksOn(t, s, Config[truck]{}), newDatabase(10)
	gets(t, c, d, "0", 0)
	srv.Close()
	for range 3 { // what is in memory costs the database nothing
		is(t, gets(t, c, d, "0", 0), FromMemory, true)
	}
	d.asked(t, 1)
	is(t, gets(t, c, d, "1", 1), FromLoader, false) // what is not is loaded once
	is(t, gets(t, c, d, "1", 1), FromMemory, true)
	d.asked(t, 2)
	leave, ok := o.Guard.try() // another's load
	if !ok {
		t.Fatal("a load is under way; want none")
	}
	if _, _, err := c.Get(t.Context(), "2", d.load("2")); !errors.Is(err, ErrShed) {
		t.Errorf("beyond the limit: got %v; want ErrShed", err)
	}
	if got, err := c.GetMany(t.Context(), []string{"0", "1", "3"}, d.loadMany); !errors.Is(err, ErrShed) || len(got) != 2 {
		t.Errorf("many, beyond the limit: got %v, %v; want those in memory, and ErrShed", got, err)
	}
	leave()
	d.asked(t, 2)
	if err := s.Probe(t.Context()); !errors.Is(err, ErrUnavailable) {
		t.Errorf("probe: got %v; want ErrUnavailable", err)
	}
	if err := srv.Restart(); err != nil {
		t.Fatal(err)
	}
	redistest.Eventually(t, within, func() error {
		v, m, err := c.Get(t.Context(), "0", d.load("0"))
		if err != nil || m.Source != FromRedis {
			return fmt.Errorf("got %v, %+v, %w; want Redis's", v, m, err)
		}
		return nil
	})
}

// TestManyInOutage loads what is missing in one call.
func TestManyInOutage(t *testing.T) {
	s, srv := mini(t, atOnceOld())
	c, d := trucksOn(t, s, Config[truck]{}), newDatabase(10)
	srv.Close()
	for range 2 {
		got, err := c.GetMany(t.Context(), []string{"1", "2", "none"}, d.loadMany)
		if err != nil || len(got) != 2 || got["2"].Miles != 2 {
			t.Errorf("got %v, %v; want two", got, err)
		}
	}
	d.asked(t, 1)
}

// TestInvalidateInOutage holds in this process at once, and everywhere when Redis is
// back.
func TestInvalidateInOutage(t *testing.T) {
	s, srv := mini(t, atOnceOld())
	c, d := trucksOn(t, s, Config[truck]{}), newDatabase(2)
	gets(t, c, d, "0", 0)
	tagged := func(c *Cache[truck]) int {
		v, _, err := c.Get(t.Context(), "1", d.load("1"), "city")
		if err != nil {
			t.Fatal(err)
		}
		return v.Miles
	}
	tagged(c)
	srv.Close()
	d.put("0", 8)
	d.put("1", 9)
	if err := c.Invalidate(t.Context(), "0"); !errors.Is(err, ErrUnavailable) {
		t.Errorf("got %v; want ErrUnavailable", err)
	}
	if err := s.InvalidateTag(t.Context(), "city"); !errors.Is(err, ErrUnavailable) {
		t.Errorf("tag: got %v; want ErrUnavailable", err)
	}
	gets(t, c, d, "0", 8)
	if got := tagged(c); got != 9 {
		t.Errorf("tagged: got %d; want 9", got)
	}
	if err := srv.Restart(); err != nil {
		t.Fatal(err)
	}
	redistest.Eventually(t, within, func() error {
		if n := s.pending.len(); n > 0 {
			return fmt.Errorf("%d wait", n)
		}
		return nil
	})
	other := trucksOn(t, storeOn(t, miniClient(t, srv), patient()), Config[truck]{})
	gets(t, other, d, "0", 8)
	if got := tagged(other); got != 9 {
		t.Errorf("tagged, in another process: got %d; want 9", got)
	}
}

// TestOldEntriesAreStaleUntilReplayed reads from Redis what was invalidated while it
// was away, before it has heard of that.
func TestOldEntriesAreStaleUntilReplayed(t *testing.T) {
	s, srv := mini(t, atOnceOld())
	c, d := trucksOn(t, s, Config[truck]{}), newDatabase(2)
	s.pending.running = true // nobody replays but who reads
	gets(t, c, d, "0", 0)
	_, err := c.GetMany(t.Context(), []string{"1"}, d.loadMany)
	if err != nil {
		t.Fatal(err)
	}
	srv.Close()
	d.put("0", 8)
	d.put("1", 9)
	if err := c.Invalidate(t.Context(), "0", "1"); !errors.Is(err, ErrUnavailable) {
		t.Errorf("got %v; want ErrUnavailable", err)
	}
	if err := srv.Restart(); err != nil {
		t.Fatal(err)
	}
	redistest.Eventually(t, within, func() error { _, err := s.redis.get(t.Context(), "cache:{x}"); return err })
	s.memory.forget()
	gets(t, c, d, "0", 8)
	got, err := c.GetMany(t.Context(), []string{"1"}, d.loadMany)
	if err != nil || got["1"].Miles != 9 {
		t.Errorf("many: got %v, %v; want 9 miles", got, err)
	}
	if n := s.pending.len(); n != 0 {
		t.Errorf("%d wait; want that who reads has replayed them", n)
	}
}

func TestCloseTellsWhatIsLost(t *testing.T) {
	s, srv := mini(t, atOnceOld())
	c := trucksOn(t, s, Config[truck]{})
	srv.Close()
	_ = c.Invalidate(t.Context(), "0", "1")
	for range 2 {
		if err := s.Close(); !errors.Is(err, ErrUnavailable) {
			t.Errorf("got %v; want ErrUnavailable", err)
		}
	}
}

// TestLostWithoutTracking has Redis lose what it had where nobody can tell whether it
// was changed: it is answered as stale, and loaded behind the caller's back.
func TestLostWithoutTracking(t *testing.T) {
	s, srv := mini(t, atOnceOld())
	c, d := trucksOn(t, s, Config[truck]{}), newDatabase(2)
	gets(t, c, d, "0", 0)
	srv.FlushAll()
	d.put("0", 8)
	is(t, gets(t, c, d, "0", 0), FromMemory, true)
	redistest.Eventually(t, within, func() error {
		v, m, err := c.Get(t.Context(), "0", d.load("0"))
		if err != nil || v.Miles != 8 || m.Stale {
			return fmt.Errorf("got %+v, %+v, %w; want 8 miles", v, m, err)
		}
		return nil
	})
	d.asked(t, 2)
}
