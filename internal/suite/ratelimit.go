package suite

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/ulule/limiter/v3/drivers/store/tests"

	"github.com/transload/transload/internal/contract"
	"github.com/transload/transload/ratelimit"
)

// limitBudget is for a busy machine: here Redis is to decide.
var limitBudget = ratelimit.WithBudget(20 * time.Second)

// RateLimit is the contract of package ratelimit.
func RateLimit(t *testing.T, c redis.UniversalClient) {
	for name, f := range map[string]func(*testing.T, redis.UniversalClient, string){
		"policies":   policies,
		"together":   together,
		"requests":   requests,
		"give back":  giveBack,
		"settle":     settle,
		"every key":  everyCounterExpires,
		"ulule":      ulule,
		"probe":      probeLimits,
		"over again": overAgain,
	} {
		t.Run(name, func(t *testing.T) { f(t, c, contract.Name(t)) })
	}
}

func limiter(t *testing.T, c redis.UniversalClient, p []ratelimit.Policy) *ratelimit.Limiter {
	t.Helper()
	l, err := ratelimit.New(c, p, limitBudget)
	must(t, err)
	t.Cleanup(func() { _ = l.Close(context.WithoutCancel(t.Context())) })
	return l
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func take(t *testing.T, l *ratelimit.Limiter, subject string, opts ...ratelimit.TakeOption) ratelimit.Decision {
	t.Helper()
	d, err := l.Take(t.Context(), subject, opts...)
	if err != nil || d.Source == ratelimit.FromOutage {
		t.Fatalf("got %+v, %v; want Redis to decide", d, err)
	}
	return d
}

var both = []ratelimit.Policy{
	{Name: "window", Limit: 10, Per: time.Hour},
	{Name: "gcra", Limit: 4, Per: time.Hour, Algorithm: ratelimit.GCRA},
}

// policies takes for subjects in slots far apart.
func policies(t *testing.T, c redis.UniversalClient, name string) {
	l := limiter(t, c, both)
	for i := range 12 {
		subject := fmt.Sprint(name, i)
		for n := range int64(6) {
			d := take(t, l, subject)
			if d.Allowed != (n < 4) || d.Each[1].Remaining != max(3-n, 0) || d.Each[0].Remaining != 9-min(n, 3) {
				t.Fatalf("%s, take %d: got %+v", subject, n, d)
			}
		}
		d, err := l.Peek(t.Context(), subject, ratelimit.Only("window"))
		if err != nil || d.Remaining != 6 || d.ResetAfter > time.Hour || d.ResetAfter < 50*time.Minute {
			t.Fatalf("%s: got %+v, %v; want 6 left of this hour", subject, d, err)
		}
	}
}

// together: of many at once exactly the limit is allowed, whether the instances know
// the window or not.
func together(t *testing.T, c redis.UniversalClient, name string) {
	ls := []*ratelimit.Limiter{limiter(t, c, both), limiter(t, c, both), limiter(t, c, both)}
	var allowed atomic.Int64
	var wg sync.WaitGroup
	for i := range 30 {
		wg.Go(func() {
			d, err := ls[i%3].Take(t.Context(), name, ratelimit.Only("window"))
			if err != nil {
				t.Error(err)
			}
			if d.Allowed {
				allowed.Add(1)
			}
		})
	}
	wg.Wait()
	if n := allowed.Load(); n != 10 {
		t.Errorf("got %d allowed; want 10", n)
	}
}

// overAgain: what one instance is denied is counted by none, and what it gives back
// another has.
func overAgain(t *testing.T, c redis.UniversalClient, name string) {
	window := both[:1]
	a, b := limiter(t, c, window), limiter(t, c, window)
	for i := range 10 {
		if l := []*ratelimit.Limiter{a, b}[i%2]; !take(t, l, name).Allowed {
			t.Fatalf("take %d is denied", i)
		}
	}
	for _, l := range []*ratelimit.Limiter{a, b} {
		if d := take(t, l, name); d.Allowed || d.RetryAfter < 50*time.Minute {
			t.Errorf("got %+v; want it denied for the rest of the hour", d)
		}
	}
	must(t, a.Refund(t.Context(), name))
	if !take(t, a, name).Allowed || take(t, a, name).Allowed {
		t.Error("want the one that was given back allowed, and no more")
	}
}

func requests(t *testing.T, c redis.UniversalClient, name string) {
	l := limiter(t, c, both)
	r := []ratelimit.TakeOption{ratelimit.ReqID("r"), ratelimit.Cost(2)}
	for range 3 {
		if d := take(t, l, name, r...); !d.Allowed || d.Each[0].Remaining != 8 || d.Each[1].Remaining != 2 {
			t.Fatalf("got %+v; want it counted once", d)
		}
	}
	must(t, l.Refund(t.Context(), name, r...))
	must(t, l.Refund(t.Context(), name, r...))
	if d := take(t, l, name); d.Each[0].Remaining != 9 || d.Each[1].Remaining != 3 {
		t.Errorf("got %+v; want 1 used", d)
	}
}

func giveBack(t *testing.T, c redis.UniversalClient, name string) {
	l := limiter(t, c, both)
	take(t, l, name, ratelimit.Cost(4))
	must(t, l.Refund(t.Context(), name, ratelimit.Cost(3)))
	if d := take(t, l, name); d.Each[0].Remaining != 8 || d.Each[1].Remaining != 2 {
		t.Errorf("after a refund: got %+v; want 2 used", d)
	}
	must(t, l.Reset(t.Context(), name))
	if d := take(t, l, name); d.Each[0].Remaining != 9 || d.Each[1].Remaining != 3 {
		t.Errorf("after a reset: got %+v; want 1 used", d)
	}
}

// An absent client is one whose server can be taken away.
type absent struct {
	redis.UniversalClient
	away atomic.Bool
}

// Process is as of a server that nobody listens at.
func (a *absent) Process(ctx context.Context, cmd redis.Cmder) error {
	if a.away.Load() {
		return &net.OpError{Op: "dial", Err: errors.New("connection refused")}
	}
	return a.UniversalClient.Process(ctx, cmd)
}

// settle: what was granted without Redis is told, and the larger count wins.
func settle(t *testing.T, c redis.UniversalClient, name string) {
	p := []ratelimit.Policy{{Name: "window", Limit: 100, Per: time.Hour}, {Name: "gcra", Limit: 100, Per: time.Hour, Algorithm: ratelimit.GCRA}}
	client := &absent{UniversalClient: c}
	l := limiter(t, client, p)
	take(t, l, name, ratelimit.Cost(30))
	must(t, limiter(t, c, p).Reset(t.Context(), name)) // Redis has lost it
	client.away.Store(true)
	if d, err := l.Take(t.Context(), name, ratelimit.Cost(5)); err != nil || !d.Allowed || d.Source != ratelimit.FromOutage {
		t.Fatalf("got %+v, %v; want it allowed by the local share", d, err)
	}
	client.away.Store(false)
	for i, s := range take(t, l, name).Each {
		if s.Remaining != 64 {
			t.Errorf("policy %d: got %+v; want 30 + 5 + 1 used", i, s)
		}
	}
}

// everyCounterExpires looks at the keys of a subject that was taken from, denied,
// given back, and taken from in a window that was ended in between.
func everyCounterExpires(t *testing.T, c redis.UniversalClient, name string) {
	l := limiter(t, c, both)
	other := limiter(t, c, both)
	look := func(what string) {
		t.Helper()
		sum := sha256.Sum256([]byte(name))
		for _, p := range both {
			key := "rl:{" + base64.RawURLEncoding.EncodeToString(sum[:16]) + "}:" + p.Name
			if p.Algorithm == ratelimit.GCRA {
				key += ":tat"
			}
			if ttl := c.PTTL(t.Context(), key).Val(); ttl <= 0 || ttl > time.Hour {
				t.Errorf("%s: %s expires in %v; want within the hour", what, p.Name, ttl)
			}
		}
	}
	for range 6 {
		take(t, l, name)
	}
	look("denied")
	must(t, l.Refund(t.Context(), name))
	look("given back")
	must(t, other.Reset(t.Context(), name))
	take(t, l, name, ratelimit.Only("window"))
	take(t, l, name, ratelimit.Only("gcra"))
	look("begun anew")
}

func ulule(t *testing.T, c redis.UniversalClient, name string) {
	s, err := ratelimit.NewStore(c, ratelimit.LocalShare, limitBudget, ratelimit.WithNamespace(short(name)))
	must(t, err)
	t.Cleanup(func() { _ = s.Close(context.WithoutCancel(t.Context())) })
	tests.TestStoreSequentialAccess(t, s)
}

// short is a name of 32 bytes.
func short(name string) string {
	sum := sha256.Sum256([]byte(name))
	return fmt.Sprintf("%x", sum[:16])
}

func probeLimits(t *testing.T, c redis.UniversalClient, _ string) {
	must(t, limiter(t, c, both).Probe(t.Context()))
}
