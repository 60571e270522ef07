package ratelimit

import (
	"context"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/ulule/limiter/v3/drivers/store/tests"

	"github.com/transload/transload/internal/contract"
)

// patient is a budget for a busy machine: here Redis is to decide.
var patient = WithBudget(20 * time.Second)

func TestContract(t *testing.T) {
	contract.Run(t, func(t *testing.T, c redis.UniversalClient) {
		for name, f := range map[string]func(*testing.T, redis.UniversalClient, string){
			"policies": contractPolicies, "together": contractTogether, "requests": contractRequests,
			"give back": contractGiveBack, "settle": contractSettle, "ulule": contractUlule, "probe": contractProbe,
		} {
			t.Run(name, func(t *testing.T) { f(t, c, contract.Name(t)) })
		}
	})
}

func onReal(t *testing.T, c redis.UniversalClient, p []Policy, opts ...Option) *Limiter {
	t.Helper()
	l, err := New(c, p, append([]Option{patient}, opts...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close(context.Background()) })
	return l
}

func take(t *testing.T, l *Limiter, subject string, opts ...TakeOption) Decision {
	t.Helper()
	d, err := l.Take(t.Context(), subject, opts...)
	if err != nil || d.Source == FromOutage {
		t.Fatalf("got %+v, %v; want Redis to decide", d, err)
	}
	return d
}

var both = []Policy{
	{Name: "window", Limit: 10, Per: time.Hour},
	{Name: "gcra", Limit: 4, Per: time.Hour, Algorithm: GCRA},
}

// contractPolicies takes for subjects in slots far apart.
func contractPolicies(t *testing.T, c redis.UniversalClient, name string) {
	l := onReal(t, c, both)
	for i := range 12 {
		subject := fmt.Sprint(name, i)
		for n := range int64(6) {
			d := take(t, l, subject)
			if d.Allowed != (n < 4) || d.Each[1].Remaining != max(3-n, 0) || d.Each[0].Remaining != 9-min(n, 3) {
				t.Fatalf("%s, take %d: got %+v", subject, n, d)
			}
		}
		d, err := l.Peek(t.Context(), subject, Only("window"))
		if err != nil || d.Remaining != 6 || d.ResetAfter > time.Hour || d.ResetAfter < 50*time.Minute {
			t.Fatalf("%s: got %+v, %v; want 6 left of this hour", subject, d, err)
		}
	}
}

// contractTogether: of many at once exactly the limit is allowed.
func contractTogether(t *testing.T, c redis.UniversalClient, name string) {
	ls := []*Limiter{onReal(t, c, both), onReal(t, c, both), onReal(t, c, both)}
	var allowed atomic.Int64
	var wg sync.WaitGroup
	for i := range 30 {
		wg.Go(func() {
			d, err := ls[i%3].Take(t.Context(), name, Only("window"))
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

func contractRequests(t *testing.T, c redis.UniversalClient, name string) {
	l := onReal(t, c, both)
	for range 3 {
		if d := take(t, l, name, ReqID("r"), Cost(2)); !d.Allowed || d.Each[0].Remaining != 8 || d.Each[1].Remaining != 2 {
			t.Fatalf("got %+v; want it counted once", d)
		}
	}
	must(t, l.Refund(t.Context(), name, ReqID("r"), Cost(2)))
	must(t, l.Refund(t.Context(), name, ReqID("r"), Cost(2)))
	if d := take(t, l, name); d.Each[0].Remaining != 9 || d.Each[1].Remaining != 3 {
		t.Errorf("got %+v; want 1 used", d)
	}
}

func contractGiveBack(t *testing.T, c redis.UniversalClient, name string) {
	l := onReal(t, c, both)
	take(t, l, name, Cost(4))
	must(t, l.Refund(t.Context(), name, Cost(3)))
	if d := take(t, l, name); d.Each[0].Remaining != 8 || d.Each[1].Remaining != 2 {
		t.Errorf("after a refund: got %+v; want 2 used", d)
	}
	must(t, l.Reset(t.Context(), name))
	if d := take(t, l, name); d.Each[0].Remaining != 9 || d.Each[1].Remaining != 3 {
		t.Errorf("after a reset: got %+v; want 1 used", d)
	}
}

// contractSettle: what was granted without Redis is told, and the larger count wins.
func contractSettle(t *testing.T, c redis.UniversalClient, name string) {
	l := onReal(t, c, []Policy{{Name: "window", Limit: 100, Per: time.Hour}, {Name: "gcra", Limit: 100, Per: time.Hour, Algorithm: GCRA}})
	take(t, l, name, Cost(30))
	q, err := l.query(name, nil)
	must(t, err)
	must(t, onReal(t, c, l.policies()).Reset(t.Context(), name)) // Redis has lost it
	l.faults[q.circuit].Store(l.now())
	q.cost = 5
	if !l.decide(q, true).Allowed {
		t.Fatal("denied by the local share")
	}
	for i, s := range take(t, l, name).Each {
		if s.Remaining != 64 {
			t.Errorf("policy %d: got %+v; want 30 + 5 + 1 used", i, s)
		}
	}
}

func (l *Limiter) policies() (list []Policy) {
	for _, r := range l.rules {
		list = append(list, r.Policy)
	}
	return list
}

func contractUlule(t *testing.T, c redis.UniversalClient, name string) {
	s, err := NewStore(c, LocalShare, patient, WithNamespace(hashed(name)))
	must(t, err)
	t.Cleanup(func() { _ = s.Close(context.Background()) })
	tests.TestStoreSequentialAccess(t, s)
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

func contractProbe(t *testing.T, c redis.UniversalClient, name string) {
	must(t, onReal(t, c, both).Probe(t.Context()))
}
