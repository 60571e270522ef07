package ratelimit

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/redis/go-redis/v9"
)

func TestWindow(t *testing.T) {
	for name, tt := range map[string]struct {
		takes int64
		cost  int64
		wait  time.Duration
		want  bool
	}{
		"under the limit":      {takes: 2, cost: 1, want: true},
		"at the limit":         {takes: 3, cost: 1},
		"more than is left":    {takes: 2, cost: 2},
		"window has not ended": {takes: 3, cost: 1, wait: 59 * time.Second},
		"window has ended":     {takes: 3, cost: 3, wait: time.Minute, want: true},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, k *kit) {
				l := k.limiter(perMinute(3))
				for i := range tt.takes {
					if d := k.take(l, "carrier-7"); !d.Allowed || d.Remaining != 2-i || d.Source != FromRedis || d.RetryAfter != 0 {
						t.Fatalf("take %d: got %+v", i, d)
					}
				}
				time.Sleep(tt.wait)
				d := k.take(l, "carrier-7", Cost(tt.cost))
				if d.Allowed != tt.want {
					t.Errorf("got %+v; want allowed %v", d, tt.want)
				}
				if !tt.want && (d.RetryAfter <= 0 || d.RetryAfter > time.Minute-tt.wait || !d.Denied) {
					t.Errorf("got to retry after %v; want the end of the window", d.RetryAfter)
				}
			})
		})
	}
}

func TestGCRA(t *testing.T) {
	bubble(t, func(t *testing.T, k *kit) {
		l := k.limiter([]Policy{{Name: "smooth", Limit: 60, Per: time.Minute, Burst: 5, Algorithm: GCRA}})
		if n := k.granted(l, "a", 8); n != 5 {
			t.Errorf("at once: got %d; want the burst of 5", n)
		}
		d := k.take(l, "a")
		if d.Allowed || d.Limit != 5 || d.RetryAfter <= 0 || d.RetryAfter > time.Second {
			t.Errorf("got %+v; want to retry within a second", d)
		}
		time.Sleep(d.RetryAfter + time.Millisecond)
		if n := k.granted(l, "a", 3); n != 1 {
			t.Errorf("after a second: got %d; want 1", n)
		}
		time.Sleep(10 * time.Second)
		if n := k.granted(l, "a", 8); n != 5 {
			t.Errorf("after ten seconds: got %d; want the burst of 5", n)
		}
	})
}

// TestSeveralPolicies: all have the units, or none loses any.
func TestSeveralPolicies(t *testing.T) {
	bubble(t, func(t *testing.T, k *kit) {
		l := k.limiter([]Policy{
			{Name: "burst", Limit: 120, Per: time.Minute, Burst: 2, Algorithm: GCRA},
			{Name: "hourly", Limit: 10, Per: time.Hour},
			{Name: "daily", Limit: 3, Per: 24 * time.Hour},
		})
		before := k.sent.Load()
		if d := k.take(l, "a"); !d.Allowed || len(d.Each) != 3 || d.Policy != "burst" {
			t.Errorf("got %+v; want that burst has the least left", d)
		}
		k.granted(l, "a", 5)
		d, err := l.Peek(t.Context(), "a")
		if err != nil || d.Allowed || d.Policy != "burst" || d.Each[1].Remaining != 8 || d.Each[2].Remaining != 1 {
			t.Errorf("got %+v, %v; want burst to deny, and what it denied not taken from the others", d, err)
		}
		time.Sleep(2 * time.Second)
		if d := k.take(l, "a", Cost(2)); d.Allowed || d.Policy != "daily" {
			t.Errorf("got %+v; want daily to deny", d)
		}
		if d := k.take(l, "a", Cost(2), Only("hourly", "burst")); !d.Allowed || len(d.Each) != 2 || d.Each[0].Remaining != 6 {
			t.Errorf("got %+v; want the others to allow", d)
		}
		if n := k.sent.Load() - before; n > 12 {
			t.Errorf("%d commands were sent; want one a call", n)
		}
	})
}

func TestPeekResetRefund(t *testing.T) {
	for name, p := range map[string]Policy{
		"window": {Name: "w", Limit: 5, Per: time.Minute},
		"gcra":   {Name: "g", Limit: 5, Per: time.Minute, Algorithm: GCRA},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, k *kit) {
				l := k.limiter([]Policy{p})
				left := func(want int64) {
					t.Helper()
					if d, err := l.Peek(t.Context(), "a"); err != nil || d.Remaining != want || d.Allowed != (want > 0) {
						t.Fatalf("got %+v, %v; want %d left", d, err, want)
					}
				}
				left(5)
				if len(k.mini.Keys()) != 0 {
					t.Errorf("got keys %q after looking; want none", k.mini.Keys())
				}
				k.take(l, "a", Cost(5))
				left(0)
				must(t, l.Refund(t.Context(), "a", Cost(2)))
				left(2)
				must(t, l.Refund(t.Context(), "a", Cost(5)))
				left(5)
				k.take(l, "a", Cost(4))
				must(t, l.Reset(t.Context(), "a"))
				left(5)
				if !k.take(l, "a", Cost(5)).Allowed {
					t.Error("after a reset: denied")
				}
			})
		})
	}
}

func TestRefundOfARequestCountsOnce(t *testing.T) {
	bubble(t, func(t *testing.T, k *kit) {
		l := k.limiter(perMinute(5))
		k.take(l, "a", Cost(3))
		k.take(l, "a", Cost(2), ReqID("r1"))
		for range 3 {
			must(t, l.Refund(t.Context(), "a", Cost(2), ReqID("r1")))
		}
		must(t, l.Refund(t.Context(), "a", Cost(2), ReqID("never taken")))
		if got := k.counted(l, "a"); got != "3" {
			t.Errorf("got %s counted; want 3", got)
		}
	})
}

func TestRequestIsCountedOnce(t *testing.T) {
	bubble(t, func(t *testing.T, k *kit) {
		l := k.limiter(perMinute(2))
		for range 5 {
			if d := k.take(l, "a", ReqID("r1")); !d.Allowed || d.Remaining != 1 {
				t.Fatalf("got %+v; want it allowed, once counted", d)
			}
		}
		k.take(l, "a")
		if !k.take(l, "a", ReqID("r1")).Allowed || k.take(l, "a", ReqID("r2")).Allowed {
			t.Error("want the request that was counted allowed at the limit, and another denied")
		}
		if !k.take(l, "b", ReqID("r1")).Allowed || k.counted(l, "b") != "1" {
			t.Error("want another subject's request of that name counted")
		}
		time.Sleep(remember + time.Second)
		if d := k.take(l, "a", ReqID("r1")); d.Remaining != 1 || k.counted(l, "a") != "1" {
			t.Errorf("a minute later: got %+v; want it counted", d)
		}
	})
}

// TestRequestOfOtherPolicies: an id frees nobody of a policy that it was not taken
// from.
func TestRequestOfOtherPolicies(t *testing.T) {
	bubble(t, func(t *testing.T, k *kit) {
		l := k.limiter([]Policy{{Name: "a", Limit: 5, Per: time.Minute}, {Name: "b", Limit: 5, Per: time.Minute}})
		k.take(l, "x", ReqID("r"), Only("a"))
		if d := k.take(l, "x", ReqID("r"), Only("b")); d.Remaining != 4 {
			t.Errorf("the other policy: got %+v; want it counted", d)
		}
		if d := k.take(l, "x", Only("b"), ReqID("r")); d.Remaining != 4 {
			t.Errorf("again: got %+v; want it counted once", d)
		}
		must(t, l.Refund(t.Context(), "x", ReqID("r"), Only("b")))
		for i, left := range []int64{4, 5} {
			if d, err := l.Peek(t.Context(), "x"); err != nil || d.Each[i].Remaining != left {
				t.Errorf("policy %d after the refund of b: got %+v, %v; want %d left", i, d, err, left)
			}
		}
	})
}

// TestEveryKeyExpires also where something has taken its expiry away: ulule's
// counter would block for ever.
func TestEveryKeyExpires(t *testing.T) {
	bubble(t, func(t *testing.T, k *kit) {
		l := k.limiter([]Policy{{Name: "w", Limit: 5, Per: time.Minute}, {Name: "g", Limit: 5, Per: time.Minute, Algorithm: GCRA}})
		k.count(l, "a", 5)
		if k.take(l, "a").Allowed {
			t.Error("over the limit: allowed")
		}
		k.take(l, "b", ReqID("r"))
		k.mode.Store(down)
		k.take(l, "c")
		k.recovered(l)
		k.take(l, "c")
		for _, key := range k.mini.Keys() {
			if ttl := k.mini.TTL(key); ttl <= 0 || ttl > time.Minute {
				t.Errorf("%s: expires in %v; want within a minute", key, ttl)
			}
		}
		time.Sleep(time.Minute + time.Second)
		if len(k.mini.Keys()) != 0 || !k.take(l, "a").Allowed {
			t.Errorf("a minute later: got keys %q", k.mini.Keys())
		}
	})
}

// TestDeniedIsRemembered: who is over the limit does not cost Redis a call each time,
// for a second at most.
func TestDeniedIsRemembered(t *testing.T) {
	bubble(t, func(t *testing.T, k *kit) {
		l, other := k.limiter(perMinute(5)), k.limiter(perMinute(5))
		k.granted(l, "a", 4)
		k.take(l, "a", Cost(2))
		if d := k.take(l, "a"); d.Source != FromRedis || !d.Allowed {
			t.Errorf("less than was denied: got %+v", d)
		}
		k.take(l, "a")
		synctest.Wait() // what says that this instance lives is sent beside the callers
		before := k.sent.Load()
		for range 100 {
			if d := k.take(l, "a"); d.Allowed || d.Source != FromMemory || d.RetryAfter <= 0 {
				t.Fatalf("got %+v; want it denied from memory", d)
			}
		}
		if n := k.sent.Load() - before; n != 0 {
			t.Errorf("%d commands were sent; want none", n)
		}
		must(t, other.Reset(t.Context(), "a"))
		time.Sleep(time.Duration(rememberDenied))
		if d := k.take(l, "a"); !d.Allowed {
			t.Errorf("a second after another instance's reset: got %+v", d)
		}
	})
}

func TestMistakes(t *testing.T) {
	bubble(t, func(t *testing.T, k *kit) {
		l := k.limiter(perMinute(5))
		over, cancel := context.WithCancel(t.Context())
		cancel()
		for name, tt := range map[string]struct {
			ctx     context.Context
			subject string
			opts    []TakeOption
			want    error
		}{
			"no subject":        {t.Context(), "", nil, ErrSubject},
			"a nil option":      {t.Context(), "a", []TakeOption{nil}, ErrOption},
			"cost of nothing":   {t.Context(), "a", []TakeOption{Cost(0)}, ErrCost},
			"cost over all":     {t.Context(), "a", []TakeOption{Cost(6)}, ErrCost},
			"unknown policy":    {t.Context(), "a", []TakeOption{Only("x")}, ErrUnknownPolicy},
			"no policy":         {t.Context(), "a", []TakeOption{Only()}, ErrUnknownPolicy},
			"the call was over": {over, "a", nil, context.Canceled},
		} {
			if d, err := l.Take(tt.ctx, tt.subject, tt.opts...); !errors.Is(err, tt.want) || d.Allowed {
				t.Errorf("%s: got %+v, %v; want denied by %v", name, d, err, tt.want)
			}
		}
		var none context.Context
		_, took := l.Take(none, "a")
		_, peeked := l.Peek(none, "a")
		for name, err := range map[string]error{"take": took, "peek": peeked, "reset": l.Reset(none, "a"), "refund": l.Refund(none, "a"),
			"probe": l.Probe(none), "close": l.Close(none)} {
			if err == nil || !strings.Contains(err.Error(), "context is nil") {
				t.Errorf("%s without a context: got %v; want that said", name, err)
			}
		}
	})
}

func TestNewRefuses(t *testing.T) {
	c := redis.NewClient(&redis.Options{Addr: "127.0.0.1:1"}) // nobody there: New does no I/O
	t.Cleanup(func() { _ = c.Close() })
	for name, tt := range map[string]struct {
		p    []Policy
		o    []Option
		want error
	}{
		"no policy":        {nil, nil, ErrPolicy},
		"a name twice":     {append(perMinute(1), perMinute(2)...), nil, ErrPolicy},
		"a bad name":       {[]Policy{{Name: "a{b", Limit: 1, Per: time.Second}}, nil, ErrPolicy},
		"no limit":         {[]Policy{{Name: "a", Per: time.Second}}, nil, ErrPolicy},
		"no period":        {[]Policy{{Name: "a", Limit: 1}}, nil, ErrPolicy},
		"burst of windows": {[]Policy{{Name: "a", Limit: 1, Per: time.Second, Burst: 2}}, nil, ErrPolicy},
		"too fine":         {[]Policy{{Name: "a", Limit: 1e6, Per: time.Second, Algorithm: GCRA}}, nil, ErrPolicy},
		"bad outage":       {[]Policy{{Name: "a", Limit: 1, Per: time.Second, OnOutage: 7}}, nil, ErrPolicy},
		"budget":           {perMinute(1), []Option{WithBudget(0)}, ErrOption},
		"instances":        {perMinute(1), []Option{WithInstances(0)}, ErrOption},
		"memory":           {perMinute(1), []Option{WithMemory(1)}, ErrOption},
		"namespace":        {perMinute(1), []Option{WithNamespace("a:b")}, ErrOption},
		"logger":           {perMinute(1), []Option{WithLogger(nil)}, ErrOption},
		"a nil option":     {perMinute(1), []Option{nil}, ErrOption},
	} {
		if _, err := New(c, tt.p, tt.o...); !errors.Is(err, tt.want) {
			t.Errorf("%s: got %v; want %v", name, err, tt.want)
		}
	}
	if _, err := New(nil, perMinute(1)); !errors.Is(err, ErrOption) {
		t.Errorf("no client: got %v", err)
	}
	if _, err := New((*redis.Client)(nil), perMinute(1)); !errors.Is(err, ErrOption) {
		t.Errorf("a client that is a nil pointer: got %v", err)
	}
	l, err := New(c, perMinute(1))
	must(t, err)
	if _, err := l.Middleware(nil); !errors.Is(err, ErrOption) {
		t.Errorf("a nil middleware option: got %v", err)
	}
	if _, err := l.Middleware(Asking("x")); !errors.Is(err, ErrUnknownPolicy) {
		t.Errorf("asking what there is not: got %v", err)
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
