package feed

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"

	"github.com/transload/transload/internal/redisproc"
	"github.com/transload/transload/internal/redistest"
	"github.com/transload/transload/topology"
)

type redisDoer interface {
	Do(ctx context.Context, args ...any) *redis.Cmd
}

// TestGaps hurts a standalone server in several ways. Each must raise the
// generation, make all slots dirty, and leave a feed that works.
func TestGaps(t *testing.T) {
	t.Parallel()
	for what, tt := range map[string]struct {
		hurt   func(t *testing.T, s *redisproc.Server, side *topology.Client)
		reason error // nil for any
	}{
		"killed": {hurt: func(t *testing.T, s *redisproc.Server, _ *topology.Client) {
			if err := s.Kill(); err != nil {
				t.Fatal(err)
			}
			if err := s.Restart(t.Context()); err != nil {
				t.Fatal(err)
			}
		}},
		"connection killed": {hurt: func(t *testing.T, _ *redisproc.Server, side *topology.Client) {
			do(t, side, "CLIENT", "KILL", "TYPE", "pubsub")
		}},
		"FLUSHALL": {reason: ErrFlushed, hurt: func(t *testing.T, _ *redisproc.Server, side *topology.Client) {
			do(t, side, "FLUSHALL")
		}},
		"reload": {reason: ErrFlushed, hurt: func(t *testing.T, _ *redisproc.Server, side *topology.Client) {
			do(t, side, "DEBUG", "RELOAD")
		}},
		"demoted and promoted": {hurt: func(t *testing.T, _ *redisproc.Server, side *topology.Client) {
			do(t, side, "REPLICAOF", "127.0.0.1", "1")
			do(t, side, "REPLICAOF", "NO", "ONE")
		}},
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			s := redistest.Standalone(t, redistest.Options{})
			side := open(t, s.Env("REDIS"))
			f, dirty, gaps := follow(t, side)
			_, was, _ := f.Unbroken()
			began := time.Now()
			tt.hurt(t, s, side)
			generationAfter(t, f, was)
			if since, _, _ := f.Unbroken(); since.Before(began) {
				t.Errorf("unbroken since %v; want after %v", since, began)
			}
			if tt.reason != nil { // the generation is raised a moment before the gap is reported
				redistest.Eventually(t, 10*time.Second, func() error { return gaps.want(tt.reason) })
			}
			if n := dirty.SlotLen(); n != 16384 {
				t.Errorf("got %d dirty slots; want all", n)
			}
			dirty.TakeSlots()
			dirty.Take(0, 0)
			redistest.Eventually(t, 10*time.Second, func() error { return side.Set(t.Context(), "after", 1, 0).Err() })
			if got := named(t, f, dirty); len(got) != 1 || got[0] != "after" {
				t.Errorf("got %v; want [after]", got)
			}
		})
	}
}

// TestFrozen: a server that does not answer gives no watermark.
func TestFrozen(t *testing.T) {
	t.Parallel()
	s := redistest.Standalone(t, redistest.Options{})
	f, _, _ := follow(t, open(t, s.Env("REDIS")))
	if err := s.Freeze(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if err := f.Watermark(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v; want a deadline", err)
	}
	if err := s.Thaw(); err != nil {
		t.Fatal(err)
	}
	watermark(t, f)
}

// TestNoTracking: what is no real Redis is told at once.
func TestNoTracking(t *testing.T) {
	t.Parallel()
	m := miniredis.RunT(t)
	f := New(open(t, map[string]string{"REDIS_URL": "redis://" + m.Addr()}), NewDirty(nil))
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if err := f.Run(ctx); !errors.Is(err, ErrNoTracking) {
		t.Errorf("got %v; want %v", err, ErrNoTracking)
	}
	if err := f.Ready(ctx); !errors.Is(err, ErrNoTracking) {
		t.Errorf("got %v; want %v", err, ErrNoTracking)
	}
}

// TestSentinelFailover: a new primary is a gap, and is followed.
func TestSentinelFailover(t *testing.T) {
	t.Parallel()
	set := redistest.Sentinel(t, redistest.Options{Password: "secret", Hasty: true})
	side := open(t, set.Env("REDIS"))
	f, dirty, _ := follow(t, side)
	was := f.Masters()
	_, generation, _ := f.Unbroken()
	if err := set.Node(was[0].Addr).Kill(); err != nil {
		t.Fatal(err)
	}
	generationAfter(t, f, generation)
	redistest.Eventually(t, 30*time.Second, func() error {
		if now := f.Masters(); len(now) != 1 || now[0].Addr == was[0].Addr {
			return fmt.Errorf("still follows %v", now)
		}
		return nil
	})
	if n := dirty.SlotLen(); n != 16384 {
		t.Errorf("got %d dirty slots; want all", n)
	}
	works(t, f, dirty, side)
}

// TestClusterFailover: the same for one master of three, whose slots alone are
// dirty at first; then the map has changed, and all are.
func TestClusterFailover(t *testing.T) {
	t.Parallel()
	set := redistest.Cluster(t, redistest.Options{})
	side := open(t, set.Env("REDIS"))
	f, dirty, _ := follow(t, side)
	checkWatermarks(t, f, dirty, side, 4, 50)
	was := f.Masters()
	if len(was) != 3 {
		t.Fatalf("follows %v; want three masters", was)
	}
	_, generation, _ := f.Unbroken()
	if err := set.Node(was[0].Addr).Kill(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if err := f.Watermark(ctx); err == nil {
		t.Error("got a watermark with a master gone")
	}
	generationAfter(t, f, generation)
	if now := f.Masters(); len(now) != 3 || now[0] == was[0] {
		t.Errorf("follows %v; was %v", now, was)
	}
	if n := dirty.SlotLen(); n < 5000 {
		t.Errorf("got %d dirty slots; want those of the master", n)
	}
	works(t, f, dirty, side)
}

// TestSlotMoved: a slot that changes its master is a gap, and even who has not
// asked for the masters since finds it by a watermark.
func TestSlotMoved(t *testing.T) {
	t.Parallel()
	set := redistest.Cluster(t, redistest.Options{Replicas: -1})
	side := open(t, set.Env("REDIS"))
	f, _, _ := follow(t, side)
	slow, _, _ := follow(t, side, seldom)
	_, generation, _ := f.Unbroken()
	masters, err := side.Masters(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	slot := strconv.Itoa(int(masters[2].Slots[0].From))
	for _, m := range masters {
		c := redistest.Client(t, set.Node(m.Addr))
		do(t, c, "CLUSTER", "SETSLOT", slot, "NODE", masters[0].ID)
	}
	if err := slow.Watermark(t.Context()); err == nil {
		t.Error("got a watermark through another slot map")
	}
	generationAfter(t, f, generation)
	redistest.Eventually(t, 30*time.Second, func() error { return f.Watermark(t.Context()) }) // the masters were told one by one
}

// works checks that new changes are named.
func works(t *testing.T, f *Feed, dirty *Dirty, side redisDoer) {
	t.Helper()
	redistest.Eventually(t, 30*time.Second, func() error {
		dirty.TakeSlots()
		dirty.Take(0, 0)
		for i := range 30 {
			if err := side.Do(t.Context(), "SET", fmt.Sprint("after:", i), 1).Err(); err != nil {
				return err
			}
		}
		if err := f.Watermark(t.Context()); err != nil {
			return err
		}
		if got := dirty.Take(0, 0); len(got) != 30 {
			return fmt.Errorf("got %d names; want 30", len(got))
		}
		return nil
	})
}
