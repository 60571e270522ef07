package ratelimit

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/ulule/limiter/v3"
	"github.com/ulule/limiter/v3/drivers/middleware/stdlib"
	"github.com/ulule/limiter/v3/drivers/store/tests"

	"github.com/transload/transload/internal/contract"
)

func TestUluleSuite(t *testing.T) {
	k := newKit(t)
	addr := k.mini
	if err := addr.StartAddr("127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	tests.TestStoreSequentialAccess(t, k.store(LocalShare, WithBudget(time.Second)))
}

func (k *kit) store(o Outage, opts ...Option) *Store {
	k.t.Helper()
	s, err := NewStore(k.client(), o, opts...)
	if err != nil {
		k.t.Fatal(err)
	}
	k.t.Cleanup(func() { _ = s.Close(context.Background()) })
	return s
}

// TestUluleCountsAlike: what is denied is counted too, and weighs.
func TestUluleCountsAlike(t *testing.T) {
	bubble(t, func(t *testing.T, k *kit) {
		l := limiter.New(k.store(LocalShare), limiter.Rate{Limit: 3, Period: time.Minute})
		for _, want := range []limiter.Context{
			{Limit: 3, Remaining: 1, Reached: false}, {Limit: 3, Remaining: 0, Reached: true}, {Limit: 3, Remaining: 0, Reached: true},
		} {
			want.Reset = time.Now().Add(time.Minute).Unix()
			if got, err := l.Increment(t.Context(), "a", 2); err != nil || got != want {
				t.Errorf("got %+v, %v; want %+v", got, err, want)
			}
		}
		if got, err := l.Peek(t.Context(), "a"); err != nil || !got.Reached {
			t.Errorf("got %+v, %v; want it reached", got, err)
		}
		time.Sleep(time.Minute)
		if got, err := l.Peek(t.Context(), "a"); err != nil || got.Reached || got.Remaining != 3 {
			t.Errorf("a minute later: got %+v, %v", got, err)
		}
	})
}

// TestUluleMiddlewareDoesNotPanic, as it does on any error of ulule's own stores.
func TestUluleMiddlewareDoesNotPanic(t *testing.T) {
	bubble(t, func(t *testing.T, k *kit) {
		l := limiter.New(k.store(LocalShare), limiter.Rate{Limit: 40, Period: time.Minute})
		h := stdlib.NewMiddleware(l).Handler(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
		k.mode.Store(down)
		codes := map[int]int{}
		for range 20 {
			w := httptest.NewRecorder()
			h.ServeHTTP(w, from("192.0.2.1:80"))
			codes[w.Code]++
		}
		if codes[http.StatusOK] != 4 || codes[http.StatusTooManyRequests] != 16 {
			t.Errorf("got %v; want 4 of 0.8 * 40 / 8 instances", codes)
		}
	})
}

func TestUluleMistakes(t *testing.T) {
	bubble(t, func(t *testing.T, k *kit) {
		s := k.store(Deny)
		ok := limiter.Rate{Limit: 3, Period: time.Minute}
		if _, err := s.Get(t.Context(), "", ok); !errors.Is(err, ErrSubject) {
			t.Errorf("no key: got %v", err)
		}
		if _, err := s.Increment(t.Context(), "a", -1, ok); !errors.Is(err, ErrCost) {
			t.Errorf("less than nothing: got %v", err)
		}
		for range 20 { // what no counter of Redis could hold is over the limit, and no more
			if got, err := s.Increment(t.Context(), "huge", 1<<62, ok); err != nil || !got.Reached {
				t.Fatalf("a huge cost: got %+v, %v", got, err)
			}
		}
		if _, err := s.Get(t.Context(), "a", limiter.Rate{}); !errors.Is(err, ErrPolicy) {
			t.Errorf("no rate: got %v", err)
		}
		var err error
		for i := range int64(maxRates + 1) {
			_, err = s.Get(t.Context(), "a", limiter.Rate{Limit: 1 + i, Period: time.Minute})
		}
		if !errors.Is(err, ErrPolicy) {
			t.Errorf("rates without number: got %v", err)
		}
		if _, err := NewStore(nil, 9); !errors.Is(err, ErrOption) {
			t.Errorf("got %v", err)
		}
	})
}

// TestUluleTogether is ulule's suite of 500 at a time, 250,000 calls in all, which
// leaves two cores no room for anything else.
func TestUluleTogether(t *testing.T) {
	if os.Getenv("LONG") == "" {
		t.Skip("long: LONG=1 runs it")
	}
	contract.Modes(t, func(t *testing.T, c redis.UniversalClient) {
		s, err := NewStore(c, Deny, patient, WithNamespace(hashed(contract.Name(t))))
		must(t, err)
		t.Cleanup(func() { _ = s.Close(context.Background()) })
		tests.TestStoreConcurrentAccess(t, s)
		if n := s.l.rules[0].counts[FromOutage][1].Load(); n > 0 {
			t.Errorf("%d were decided without Redis", n)
		}
	})
}

func hashed(name string) string {
	k := hash(name)
	return fmt.Sprintf("%x", k[:])
}
