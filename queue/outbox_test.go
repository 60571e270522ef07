package queue

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
)

func outboxOn(t testing.TB, db database, most int) *Outbox {
	t.Helper()
	o, err := NewOutbox(db.DB, db.dialect, most, nil)
	if err != nil {
		t.Fatal(err)
	}
	return o
}

// relayed runs a relay until the test ends.
func relayed(t testing.TB, o *Outbox, c *Client) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := o.Relay(ctx, c); err != nil {
			t.Error(err)
		}
	})
	stop = sync.OnceFunc(func() { cancel(); wg.Wait() })
	t.Cleanup(stop)
	return stop
}

func waiting(t testing.TB, db database) (n int) {
	t.Helper()
	if err := db.QueryRowContext(context.WithoutCancel(t.Context()), `SELECT count(*) FROM transload_queue_outbox`).Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

// Redis is away: jobs are stored, and enqueued in their order when it is back.
func spool(t *testing.T, db database) {
	r, s := mini(t)
	o := outboxOn(t, db, 5)
	c := clientOn(t, r, Options{Budget: 50 * time.Millisecond, Outbox: o})
	s.Close()
	var want []string
	for i := range 3 {
		got := sent(t, c, ship, parcel{Weight: i}, MaxAttempts(3))
		if got.State != Stored {
			t.Fatalf("got %v; want stored", got.State)
		}
		want = append(want, got.ID)
	}
	all, err := ship.EnqueueAll(t.Context(), c, []parcel{{Weight: 3}, {Weight: 4}})
	if err != nil || all[1].State != Stored {
		t.Fatalf("got %v, %v; want them stored", all, err)
	}
	want = append(want, all[0].ID, all[1].ID)
	if _, err := ship.Enqueue(t.Context(), c, parcel{}); !errors.Is(err, ErrOutboxFull) || !errors.Is(err, ErrUnavailable) {
		t.Errorf("a full outbox: got %v; want ErrOutboxFull and ErrUnavailable", err)
	}
	if err := s.Restart(); err != nil {
		t.Fatal(err)
	}
	relayed(t, o, clientOn(t, r, patient()))
	eventually(t, func() error {
		if n := waiting(t, db); n > 0 {
			return fmt.Errorf("%d jobs wait", n)
		}
		return nil
	})
	jobs, err := c.List(t.Context(), "parcels", Pending, 10)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, job := range jobs {
		got = append(got, job.ID)
		if job.MaxAttempts != 3 && job.MaxAttempts != defaultAttempts {
			t.Errorf("got %+v; want its own attempts", job)
		}
	}
	if !slices.Equal(got, want) {
		t.Errorf("got %v; want %v", got, want)
	}
}

// A job that belongs to a transaction is enqueued if that is committed.
func transactionalOutbox(t *testing.T, db database) {
	r, _ := mini(t)
	o := outboxOn(t, db, 0)
	c := clientOn(t, r, patient())
	store := func(p parcel, end func(*sql.Tx) error) {
		tx, err := db.BeginTx(t.Context(), nil)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := ship.Store(t.Context(), o, tx, p, Key(p.To)); err != nil || got.State != Stored {
			t.Fatalf("got %v, %v", got, err)
		}
		if err := end(tx); err != nil {
			t.Fatal(err)
		}
	}
	relayed(t, o, c)
	store(parcel{To: "never"}, (*sql.Tx).Rollback)
	store(parcel{To: "Kyiv"}, (*sql.Tx).Commit)
	eventually(t, func() error {
		infos, err := c.Queues(t.Context())
		if err == nil && (len(infos) != 1 || infos[0].Pending != 1) {
			err = fmt.Errorf("got %+v; want one job", infos)
		}
		return err
	})
	jobs, err := c.List(t.Context(), "parcels", Pending, 5)
	if err != nil || string(jobs[0].Payload) != `{"To":"Kyiv","Weight":0}` {
		t.Errorf("got %v, %v", jobs, err)
	}
}

// A relay dies between enqueuing and deleting. The job is run meanwhile, and is not
// run again by the next one.
func relayDies(t *testing.T, db database) {
	r, _ := mini(t)
	o := outboxOn(t, db, 0)
	c, s := clientOn(t, r, patient()), serverOn(t, r, quick("parcels"))
	runs := newTally()
	handled(t, s, ship, func(_ context.Context, p parcel, _ Meta) error { runs.add(p.To); return nil })
	run(t, s)
	if _, err := ship.Store(t.Context(), o, db, parcel{To: "Kyiv"}); err != nil {
		t.Fatal(err)
	}
	rows, err := o.rows(t.Context(), o.next, 0)
	if err != nil || len(rows) != 1 {
		t.Fatalf("got %v, %v", rows, err)
	}
	if err := c.relay(t.Context(), rows[0].entry); err != nil { // and no more
		t.Fatal(err)
	}
	is(t, c, "parcels", rows[0].entry.id, Completed)
	stop := relayed(t, o, c)
	eventually(t, func() error {
		if waiting(t, db) > 0 {
			return errors.New("the job still waits")
		}
		return nil
	})
	stop()
	if n := runs.of("Kyiv"); n != 1 {
		t.Errorf("it was run %d times; want once", n)
	}
}

// One relays at a time; what can never be enqueued is put aside.
func relayTurns(t *testing.T, db database) {
	r, _ := mini(t)
	o := outboxOn(t, db, 0)
	c := clientOn(t, r, patient())
	ctx := t.Context()
	claimed := func(owner string) error { return (&shift{Outbox: o, owner: owner}).claimed(ctx) }
	for range 2 {
		must(t, claimed("a"))
	}
	if err := claimed("b"); !errors.Is(err, errTurn) {
		t.Errorf("a second one: got %v; want that it waits", err)
	}
	if _, err := db.ExecContext(ctx, `INSERT INTO transload_queue_outbox (job, payload, nonce, settings) VALUES ('x', 'secret', 'n', 'no JSON'), ('y{}', 'secret', 'n', '{}')`); err != nil {
		t.Fatal(err)
	}
	if _, err := ship.Store(ctx, o, db, parcel{To: "Kyiv"}); err != nil {
		t.Fatal(err)
	}
	if n, err := o.relay(ctx, c, "b"); n != 0 || err != nil {
		t.Errorf("out of turn: got %d, %v", n, err)
	}
	if n, err := o.relay(ctx, c, "a"); n != 3 || err != nil {
		t.Errorf("in turn: got %d, %v; want all", n, err)
	}
	var fault string
	must(t, db.QueryRowContext(ctx, `SELECT fault FROM transload_queue_outbox WHERE job = 'y{}'`).Scan(&fault))
	for _, what := range []string{"job", "queue", "id", "attempts", "timeout", "nonce"} {
		if !strings.Contains(fault, ": "+what+": ") {
			t.Errorf("the fault is %q; want %s in it", fault, what)
		}
	}
	if n := waiting(t, db); n != 2 {
		t.Errorf("got %d rows; want the two that were put aside", n)
	}
	o.giveUp(ctx, "a")
	if err := claimed("b"); err != nil {
		t.Errorf("after the first: got %v; want its turn", err)
	}
}

// While Redis is away nothing is taken out.
func relayWaits(t *testing.T, db database) {
	r, _ := mini(t)
	b := &breach{}
	r.AddHook(b)
	o := outboxOn(t, db, 0)
	c := clientOn(t, r, Options{Budget: 20 * time.Millisecond})
	if _, err := ship.Store(t.Context(), o, db, parcel{To: "Kyiv"}); err != nil {
		t.Fatal(err)
	}
	b.set(&b.before, func(redis.Cmder) bool { return true })
	if n, err := o.relay(t.Context(), c, "a"); n != 0 || !errors.Is(err, ErrUnavailable) {
		t.Errorf("got %d, %v; want ErrUnavailable", n, err)
	}
	if n := waiting(t, db); n != 1 {
		t.Errorf("got %d rows; want the job still there", n)
	}
	if _, err := NewOutbox(db.DB, 0, 0, nil); !errors.Is(err, ErrOption) {
		t.Errorf("got %v; want ErrOption", err)
	}
}

// A caller who has less time than the budget has his job stored.
func storedInTime(t *testing.T, db database) {
	r, s := mini(t)
	c := clientOn(t, r, Options{Budget: within, Outbox: outboxOn(t, db, 0)})
	s.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if got, err := ship.Enqueue(ctx, c, parcel{}); err != nil || got.State != Stored {
		t.Errorf("got %+v, %v; want it stored", got, err)
	}
	ctx, leave := context.WithCancel(t.Context())
	leave()
	if got, err := ship.Enqueue(ctx, c, parcel{}); !errors.Is(err, context.Canceled) {
		t.Errorf("who has gone: got %+v, %v; want nothing stored", got, err)
	}
	empty := Define[Raw]("empty")
	c = clientOn(t, r, Options{Budget: 50 * time.Millisecond, Outbox: c.opt.Outbox})
	if got, err := empty.Enqueue(t.Context(), c, nil); err != nil || got.State != Stored {
		t.Errorf("no payload: got %+v, %v; want it stored", got, err)
	}
	was := waiting(t, db)
	if err := c.Probe(t.Context()); !errors.Is(err, ErrUnavailable) {
		t.Errorf("probe: got %v; want ErrUnavailable", err)
	}
	if n := waiting(t, db); n != was || n != 2 {
		t.Errorf("%d jobs are stored, %d after a probe; want 2", was, n)
	}
}

// What Redis refuses while it takes others is put aside, where it can be seen and put
// back; the others keep their order.
func relayRefused(t *testing.T, db database) {
	r, s := mini(t)
	o := outboxOn(t, db, 0)
	c := clientOn(t, r, patient())
	ctx := t.Context()
	must(t, s.Set(queueKey("bad", "pending"), "not a list"))
	store := func(queue string) string {
		t.Helper()
		got, err := ship.Store(ctx, o, db, parcel{To: "Kyiv"}, In(queue))
		must(t, err)
		return got.ID
	}
	size := func(waiting, aside int64) {
		t.Helper()
		if w, a, err := o.Size(ctx); w != waiting || a != aside || err != nil {
			t.Errorf("%d wait, %d are aside, %v; want %d and %d", w, a, err, waiting, aside)
		}
	}
	bad := []string{store("bad"), store("bad")}
	if _, err := o.relay(ctx, c, "a"); err == nil || !strings.Contains(err.Error(), "each of 2 jobs: ") {
		t.Errorf("got %v; want that two are refused", err)
	}
	size(2, 0) // for it may be Redis
	good := []string{store("good"), store("good")}
	if n, err := o.relay(ctx, c, "a"); n != 4 || err != nil {
		t.Errorf("got %d, %v; want all settled", n, err)
	}
	size(0, 2)
	list, err := o.Aside(ctx, 10)
	if err != nil || len(list) != 2 || list[0].ID != bad[0] || list[0].Queue != "bad" || list[0].Name != "parcel.ship" || !strings.Contains(list[0].Fault, "WRONGTYPE") {
		t.Fatalf("got %+v, %v; want what was put aside, and why", list, err)
	}
	s.Del(queueKey("bad", "pending"))
	for i := range list {
		must(t, o.PutBack(ctx, list[i].Seq))
		if err := o.PutBack(ctx, list[i].Seq); !errors.Is(err, ErrNotFound) {
			t.Errorf("twice: got %v; want ErrNotFound", err)
		}
	}
	if n, err := o.relay(ctx, c, "a"); n != 2 || err != nil {
		t.Errorf("put back: got %d, %v; want both settled", n, err)
	}
	size(0, 0)
	for queue, want := range map[string][]string{"bad": bad, "good": good} {
		jobs, err := c.List(ctx, queue, Pending, 5)
		if err != nil || len(jobs) != 2 || jobs[0].ID != want[0] || jobs[1].ID != want[1] {
			t.Errorf("%s: got %v, %v; want %v", queue, jobs, err, want)
		}
	}
}

// A Redis that is full, or that lets nobody in, takes no job: those in the outbox
// stay, and others join them at once.
func relayFull(t *testing.T, db database) {
	for _, text := range []string{"OOM command not allowed when used memory > 'maxmemory'.", "MISCONF Redis is configured to save RDB snapshots, but it's currently unable to persist to disk.",
		"NOAUTH Authentication required.", "WRONGPASS invalid username-password pair or user is disabled."} {
		r, s := mini(t)
		o := outboxOn(t, db, 0)
		c := clientOn(t, r, Options{Budget: within, Outbox: o})
		was := waiting(t, db)
		s.SetError(text)
		began := time.Now()
		if got, err := ship.Enqueue(t.Context(), c, parcel{}); err != nil || got.State != Stored {
			t.Errorf("%s: got %+v, %v; want it stored", text, got, err)
		}
		if took := time.Since(began); took > within/2 {
			t.Errorf("%s: it took %v; want it at once", text, took)
		}
		if n, err := o.relay(t.Context(), c, "a"); n != 0 || !away(err) {
			t.Errorf("%s: got %d, %v; want that Redis takes none", text, n, err)
		}
		if _, aside, err := o.Size(t.Context()); aside != 0 || err != nil || waiting(t, db) != was+1 {
			t.Errorf("%s: %d are aside, %v, %d wait; want one more to wait", text, aside, err, waiting(t, db)-was)
		}
	}
}

// What passes is waited for, within the budget; then the job is stored.
func storedWhatPasses(t *testing.T, db database) {
	for _, text := range []string{"READONLY You can't write against a read only replica.", "LOADING Redis is loading the dataset in memory",
		"CLUSTERDOWN The cluster is down", "MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'.",
		"NOREPLICAS Not enough good replicas to write.", "BUSY Redis is busy running a script.", "TRYAGAIN Multiple keys request during rehashing of slot"} {
		r, s := mini(t)
		c := clientOn(t, r, Options{Budget: 50 * time.Millisecond, Outbox: outboxOn(t, db, 0)})
		s.SetError(text)
		if got, err := ship.Enqueue(t.Context(), c, parcel{}); err != nil || got.State != Stored {
			t.Errorf("%s: got %+v, %v; want it stored", text, got, err)
		}
		c = clientOn(t, r, patient())
		time.AfterFunc(100*time.Millisecond, func() { s.SetError("") })
		if got, err := ship.Enqueue(t.Context(), c, parcel{}); err != nil || got.State != New {
			t.Errorf("%s, which passes: got %+v, %v; want it new", text, got, err)
		}
	}
}
