package pubsub

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"

	"github.com/transload/transload/internal/redistest"
)

// within is how long anything may take on a busy machine.
const within = time.Minute

// policies are one of each kind.
func policies() []Topic {
	return []Topic{
		{Prefix: "pos:", Delivery: Latest},
		{Prefix: "chat:", Delivery: Recoverable, History: 20_000, Bytes: 16 << 20},
		{Prefix: "tick:", Delivery: Volatile},
	}
}

// patient are options for a machine that does other things as well.
func patient() Options {
	return Options{Partitions: 4, Silence: 20 * time.Second, Budget: 20 * time.Second, Wait: within}
}

func miniClient(t testing.TB, s *miniredis.Miniredis) *redis.Client {
	t.Helper()
	c := redis.NewClient(&redis.Options{Addr: s.Addr(), ContextTimeoutEnabled: true, DialerRetries: 1, MaxRetries: -1, DisableIdentity: true})
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// mini is a hub on a server inside the process.
func mini(t testing.TB, change ...func(*Options)) (*Hub, *miniredis.Miniredis) {
	t.Helper()
	s := miniredis.RunT(t)
	return hubOn(t, miniClient(t, s), policies(), change...), s
}

// hubOn makes a hub that runs until the test ends.
func hubOn(t testing.TB, c redis.UniversalClient, topics []Topic, change ...func(*Options)) *Hub {
	t.Helper()
	o := patient()
	for _, f := range change {
		f(&o)
	}
	h, err := New(c, topics, o)
	if err != nil {
		t.Fatal(err)
	}
	run(t, h)
	return h
}

func run(t testing.TB, h *Hub) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); _ = h.Run(ctx) }()
	stop = func() { cancel(); <-done }
	t.Cleanup(stop)
	return stop
}

// A reader is a subscription under test.
type reader struct {
	t testing.TB
	*Sub
}

func subscribe(t testing.TB, h *Hub, topic, since string) *reader {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), within)
	defer cancel()
	s, err := h.Subscribe(ctx, topic, since)
	if err != nil {
		t.Fatalf("subscribe to %s: %v", topic, err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return &reader{t, s}
}

func (r *reader) next() Event {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(r.t.Context(), within)
	defer cancel()
	e, err := r.Next(ctx)
	if err != nil {
		r.t.Fatalf("next: %v", err)
	}
	return e
}

// wants fails the test unless the next events are these: "snapshot", "gap",
// "key=value" or "-key".
func (r *reader) wants(want ...string) {
	r.t.Helper()
	for i, w := range want {
		if got := short(r.next()); got != w {
			r.t.Fatalf("event %d: got %s; want %s", i, got, w)
		}
	}
}

// snapshot reads one of so many keys.
func (r *reader) snapshot(keys int) map[string]string {
	r.t.Helper()
	r.wants("snapshot")
	all := map[string]string{}
	for len(all) < keys {
		e := r.next()
		if e.Kind != Published {
			r.t.Fatalf("got %s after %d keys; want %d", short(e), len(all), keys)
		}
		all[e.Key] = string(e.Data)
	}
	return all
}

// quiet fails the test if there is anything to be read.
func (r *reader) quiet() {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(r.t.Context(), 50*time.Millisecond)
	defer cancel()
	if e, err := r.Next(ctx); !errors.Is(err, context.DeadlineExceeded) {
		r.t.Fatalf("got %s, %v; want nothing", short(e), err)
	}
}

func short(e Event) string {
	switch e.Kind {
	case Published:
		return e.Key + "=" + string(e.Data)
	case Removed:
		return "-" + e.Key
	}
	return e.Kind.String()
}

func publish(t testing.TB, h *Hub, topic, key string, v any) Receipt {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), within)
	defer cancel()
	r, err := h.Publish(ctx, topic, key, v)
	if err != nil {
		t.Fatalf("publish to %s: %v", topic, err)
	}
	return r
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func eventually(t testing.TB, f func() error) {
	t.Helper()
	redistest.Eventually(t, within, f)
}
