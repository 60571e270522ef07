package queue

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"

	"github.com/transload/transload/internal/contract"
)

func TestContract(t *testing.T) { contract.Run(t, suite) }

// suite is what holds on every client. Each call has queues of its own.
func suite(t *testing.T, r redis.UniversalClient) {
	for name, f := range map[string]func(t *testing.T, r redis.UniversalClient, queue string){
		"a life":            aLife,
		"many at once":      manyAtOnce,
		"replicated":        replicated,
		"asynq reads ours":  asynqReadsOurs,
		"we run asynq's":    weRunAsynqs,
		"pause and cancel":  pauseAndCancel,
		"sweep":             func(t *testing.T, r redis.UniversalClient, q string) { sweeps(t, r, q) },
		"finish in a state": func(t *testing.T, r redis.UniversalClient, q string) { finishScripts(t, r, q) },
		"ledger":            func(t *testing.T, r redis.UniversalClient, _ string) { ledgerSuite(t, redisLedger(t, r)) },
		"probe": func(t *testing.T, r redis.UniversalClient, _ string) {
			if err := clientOn(t, r, patient()).Probe(t.Context()); err != nil {
				t.Error(err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel() // servers poll more than they work
			f(t, r, strings.ToLower(contract.Name(t))[:min(40, len(contract.Name(t)))]+newNonce()[:8])
		})
	}
}

func aLife(t *testing.T, r redis.UniversalClient, queue string) {
	c, s := clientOn(t, r, patient()), serverOn(t, r, quick(queue))
	runs := newTally()
	handled(t, s, ship, func(_ context.Context, p parcel, _ Meta) error {
		if n := runs.add(p.To); p.To == "again" && n == 1 {
			return RetryAfter(0, fmt.Errorf("no road"))
		}
		return nil
	})
	now := sent(t, c, ship, parcel{To: "now"}, In(queue))
	later := sent(t, c, ship, parcel{To: "later"}, In(queue), Delay(time.Second))
	kept := sent(t, c, ship, parcel{To: "kept"}, In(queue), Key("k"))
	again := sent(t, c, ship, parcel{To: "again"}, In(queue))
	if got := sent(t, c, ship, parcel{To: "kept"}, In(queue), Key("k")); got.State != Duplicate {
		t.Errorf("got %v; want duplicate", got.State)
	}
	run(t, s)
	gone(t, c, queue, now.ID)
	gone(t, c, queue, later.ID)
	gone(t, c, queue, again.ID)
	is(t, c, queue, kept.ID, Completed)
	if got := sent(t, c, ship, parcel{To: "kept"}, In(queue), Key("k")); got.State != Duplicate {
		t.Errorf("after its end: got %v; want duplicate", got.State)
	}
	for what, want := range map[string]int{"now": 1, "later": 1, "kept": 1, "again": 2} {
		if got := runs.of(what); got != want {
			t.Errorf("%s was run %d times; want %d", what, got, want)
		}
	}
}

func manyAtOnce(t *testing.T, r redis.UniversalClient, queue string) {
	c, s := clientOn(t, r, patient()), serverOn(t, r, quick(queue))
	runs := newTally()
	handled(t, s, ship, func(_ context.Context, p parcel, _ Meta) error { runs.add(p.To); return nil })
	all := make([]parcel, 300)
	for i := range all {
		all[i].To = fmt.Sprint(i)
	}
	receipts, err := ship.EnqueueAll(t.Context(), c, all, In(queue))
	if err != nil {
		t.Fatal(err)
	}
	run(t, s)
	for i, got := range receipts {
		if got.State != New {
			t.Errorf("job %d: got %v; want new", i, got.State)
		}
		gone(t, c, queue, got.ID)
		if n := runs.of(fmt.Sprint(i)); n != 1 {
			t.Errorf("job %d was run %d times; want once", i, n)
		}
	}
}

// replicated asks for a replica, and is told of one where there is one.
func replicated(t *testing.T, r redis.UniversalClient, queue string) {
	c := clientOn(t, r, patient())
	one := sent(t, c, ship, parcel{To: "one"}, In(queue), Replicated())
	all, err := ship.EnqueueAll(t.Context(), c, []parcel{{To: "two"}, {To: "three"}}, In(queue), Replicated())
	if err != nil || one.State != New || all[1].State != New {
		t.Fatalf("got %+v, %+v, %v; want new jobs", one, all, err)
	}
	if one.Confirmed != all[0].Confirmed || one.Confirmed != all[1].Confirmed {
		t.Errorf("got %+v and %+v; want them confirmed alike", one, all)
	}
	if alone := strings.Contains(t.Name(), "standalone"); alone == one.Confirmed && !strings.Contains(t.Name(), "to_") {
		t.Errorf("got confirmed %v on %s", one.Confirmed, t.Name())
	}
	jobs, err := c.List(t.Context(), queue, Pending, 10)
	if err != nil || len(jobs) != 3 {
		t.Errorf("got %v, %v; want three jobs", jobs, err)
	}
}

func asynqReadsOurs(t *testing.T, r redis.UniversalClient, queue string) {
	c := clientOn(t, r, patient())
	sent(t, c, ship, parcel{To: "Kyiv"}, In(queue))
	sent(t, c, ship, parcel{To: "Lviv"}, In(queue), Delay(7*24*time.Hour))
	i := asynq.NewInspectorFromRedisClient(r)
	info, err := i.GetQueueInfo(queue)
	if err != nil || info.Pending != 1 || info.Scheduled != 1 {
		t.Errorf("got %+v, %v; want one pending and one scheduled", info, err)
	}
	ours, err := c.Queues(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, q := range ours {
		if q.Name == queue && (q.Pending != 1 || q.Scheduled != 1 || q.Memory == 0) {
			t.Errorf("got %+v; want what asynq's Inspector sees", q)
		}
	}
}

func weRunAsynqs(t *testing.T, r redis.UniversalClient, queue string) {
	plain := asynq.NewClientFromRedisClient(r)
	info, err := plain.Enqueue(asynq.NewTask("parcel.ship", []byte(`{"To":"Kyiv"}`)), asynq.Queue(queue), asynq.MaxRetry(0))
	if err != nil {
		t.Fatal(err)
	}
	c, s := clientOn(t, r, patient()), serverOn(t, r, quick(queue))
	runs := newTally()
	handled(t, s, ship, func(_ context.Context, p parcel, _ Meta) error { runs.add(p.To); return nil })
	run(t, s)
	gone(t, c, queue, info.ID)
	if n := runs.of("Kyiv"); n != 1 {
		t.Errorf("it was run %d times; want once", n)
	}
}

func pauseAndCancel(t *testing.T, r redis.UniversalClient, queue string) {
	c, s := clientOn(t, r, patient()), serverOn(t, r, quick(queue))
	begun := make(chan struct{}, 8)
	handled(t, s, ship, func(ctx context.Context, _ parcel, _ Meta) error {
		begun <- struct{}{}
		<-ctx.Done()
		return Permanent(ctx.Err())
	})
	ctx := t.Context()
	if err := c.Pause(ctx, queue); err != nil {
		t.Fatal(err)
	}
	job := sent(t, c, ship, parcel{}, In(queue))
	run(t, s)
	select {
	case <-begun:
		t.Error("a job of a paused queue was begun")
	case <-time.After(200 * time.Millisecond): // what is seen
	}
	if err := c.Resume(ctx, queue); err != nil {
		t.Fatal(err)
	}
	<-begun
	eventually(t, func() error { // asynq's subscriber may not be there yet
		if err := c.Cancel(ctx, job.ID); err != nil {
			return err
		}
		got, err := c.Find(ctx, queue, job.ID)
		if err == nil && got.Stage == Active {
			err = fmt.Errorf("the job is still run")
		}
		return err
	})
}
