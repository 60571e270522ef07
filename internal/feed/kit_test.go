package feed

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/transload/transload/internal/redistest"
	"github.com/transload/transload/topology"
)

// open makes a topology client from the variables of a server or set.
func open(t *testing.T, env map[string]string) *topology.Client {
	t.Helper()
	env = redistest.Merge(env, map[string]string{"REDIS_READ_TIMEOUT": "30s"}) // for long scripts
	cfg, err := topology.FromEnv("REDIS", redistest.Getenv(env))
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

// A gapLog collects gaps.
type gapLog struct {
	mu   sync.Mutex
	gaps []Gap
}

func (l *gapLog) add(g Gap) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.gaps = append(l.gaps, g)
}

// want returns an error that tells the gaps, unless one has the reason.
func (l *gapLog) want(reason error) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if slices.ContainsFunc(l.gaps, func(g Gap) bool { return errors.Is(g.Err, reason) }) {
		return nil
	}
	return fmt.Errorf("got gaps %v; want %w", l.gaps, reason)
}

// follow runs a feed of side until the test ends, and waits until it is whole.
func follow(t *testing.T, side Side, opts ...Option) (*Feed, *Dirty, *gapLog) {
	t.Helper()
	log := &gapLog{}
	dirty := NewDirty(nil)
	f := New(side, dirty, append([]Option{WithGaps(log.add), WithInterval(50 * time.Millisecond)}, opts...)...)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- f.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; !errors.Is(err, context.Canceled) {
			t.Errorf("run: %v", err)
		}
	})
	ready, done := context.WithTimeout(t.Context(), 20*time.Second)
	defer done()
	if err := f.Ready(ready); err != nil {
		t.Fatal(err)
	}
	dirty.TakeSlots()
	return f, dirty, log
}

// watermark waits for one, with a limit.
func watermark(t *testing.T, f *Feed) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if err := f.Watermark(ctx); err != nil {
		t.Fatal(err)
	}
}

// named returns what the feed named up to now, sorted.
func named(t *testing.T, f *Feed, d *Dirty) []string {
	t.Helper()
	watermark(t, f)
	return slices.Sorted(slices.Values(d.Take(0, 0)))
}

func do(t *testing.T, c redis.UniversalClient, args ...any) any {
	t.Helper()
	reply, err := c.Do(t.Context(), args...).Result()
	if err != nil && !errors.Is(err, redis.Nil) {
		t.Fatalf("%v: %v", args, err)
	}
	return reply
}

// generationAfter waits for a whole feed of a later generation.
func generationAfter(t *testing.T, f *Feed, was uint64) uint64 {
	t.Helper()
	var now uint64
	redistest.Eventually(t, 30*time.Second, func() error {
		var ok bool
		if _, now, ok = f.Unbroken(); ok && now > was {
			return nil
		}
		return fmt.Errorf("generation %d (was %d), whole %v: %v", now, was, ok, f.LastGap())
	})
	return now
}
