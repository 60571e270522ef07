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
	rows, err := o.rows(t.Context())
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
	for want, owner := range map[bool]string{true: "a"} {
		if got, err := o.claimed(ctx, owner); got != want || err != nil {
			t.Errorf("%s: got %v, %v; want %v", owner, got, err, want)
		}
	}
	if got, err := o.claimed(ctx, "b"); got || err != nil {
		t.Errorf("a second one: got %v, %v; want that it waits", got, err)
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
	if got, err := o.claimed(ctx, "b"); !got || err != nil {
		t.Errorf("after the first: got %v, %v; want its turn", got, err)
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
