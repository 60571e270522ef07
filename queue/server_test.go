package queue

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hibiken/asynq"
)

// A handler gets its payload and what there is to know; then the job is gone.
func TestHandle(t *testing.T) {
	t.Parallel()
	r, _ := mini(t)
	c, s := clientOn(t, r, patient()), serverOn(t, r, quick("parcels"))
	got := make(chan Meta, 1)
	handled(t, s, ship, func(ctx context.Context, p parcel, m Meta) error {
		if _, ok := ctx.Deadline(); !ok || p.To != "Kyiv" {
			t.Errorf("got %+v, deadline %v", p, ok)
		}
		got <- m
		return nil
	})
	stop := run(t, s)
	job := sent(t, c, ship, parcel{To: "Kyiv"}, MaxAttempts(5))
	m := <-got
	if m.ID != job.ID || m.Queue != "parcels" || m.Name != "parcel.ship" || m.Attempt != 1 || m.MaxAttempts != 5 || m.IdempotencyKey == "" {
		t.Errorf("got %+v", m)
	}
	gone(t, c, "parcels", job.ID)
	if err := stop(); err != nil {
		t.Errorf("stop: %v", err)
	}
	if err := s.Run(t.Context()); !errors.Is(err, ErrBegun) {
		t.Errorf("run again: got %v; want ErrBegun", err)
	}
	if err := ship.Handle(s, nil); !errors.Is(err, ErrBegun) {
		t.Errorf("a handler for a server that has begun: got %v; want ErrBegun", err)
	}
}

// Tasks of plain asynq are run, whatever is in them.
func TestPlainAsynqTasks(t *testing.T) {
	t.Parallel()
	r, _ := mini(t)
	s := serverOn(t, r, quick("default", "low"))
	runs := newTally()
	handled(t, s, Define[parcel]("typed"), func(_ context.Context, p parcel, m Meta) error {
		if m.IdempotencyKey != m.ID {
			t.Errorf("got the key %q; want the id %q", m.IdempotencyKey, m.ID)
		}
		runs.add(p.To)
		return nil
	})
	handled(t, s, Define[Raw]("raw"), func(_ context.Context, p Raw, _ Meta) error { runs.add(string(p)); return nil })
	run(t, s)
	plain := asynq.NewClientFromRedisClient(r)
	for _, task := range []*asynq.Task{asynq.NewTask("typed", []byte(`{"To":"Kyiv"}`)), asynq.NewTask("raw", []byte("\xff\x00")), asynq.NewTask("raw", nil, asynq.Queue("low"), asynq.MaxRetry(0))} {
		if _, err := plain.Enqueue(task); err != nil {
			t.Fatal(err)
		}
	}
	runs.reaches(t, "Kyiv", 1)
	runs.reaches(t, "\xff\x00", 1)
	runs.reaches(t, "", 1)
}

func TestErrors(t *testing.T) {
	t.Parallel()
	r, _ := mini(t)
	logs := &book{}
	cfg := quick("parcels")
	cfg.Logger = logs.logger()
	c, s := clientOn(t, r, patient()), serverOn(t, r, cfg)
	runs := newTally()
	handled(t, s, ship, func(_ context.Context, p parcel, m Meta) error {
		n := runs.add(p.To)
		switch p.To {
		case "permanently":
			return Permanent(errors.New("no such place as permanently"))
		case "later-then-fine":
			if n == 1 {
				return RetryAfter(0, errors.New("busy"))
			}
			if m.Attempt != 2 {
				t.Errorf("got attempt %d; want 2", m.Attempt)
			}
			return nil
		case "panicking":
			panic("the parcel for panicking is too heavy")
		}
		return fmt.Errorf("no road to %s", p.To)
	})
	run(t, s)
	permanent := sent(t, c, ship, parcel{To: "permanently"})
	later := sent(t, c, ship, parcel{To: "later-then-fine"})
	panicking := sent(t, c, ship, parcel{To: "panicking"})
	failing := sent(t, c, ship, parcel{To: "Rotterdam"})
	last := sent(t, c, ship, parcel{To: "Rotterdam"}, MaxAttempts(1))
	for id, want := range map[string]struct {
		stage    Stage
		attempts int
		text     string
	}{
		permanent.ID: {Archived, 0, "no such place as [redacted]"},
		panicking.ID: {Retry, 1, "panic: the parcel for [redacted] is too heavy"},
		failing.ID:   {Retry, 1, "no road to [redacted]"},
		last.ID:      {Archived, 0, "no road to [redacted]"},
	} {
		if job := is(t, c, "parcels", id, want.stage); job.Attempts != want.attempts || job.LastError != want.text {
			t.Errorf("got %+v; want %+v", job, want)
		}
	}
	gone(t, c, "parcels", later.ID)
	if n := runs.of("permanently"); n != 1 {
		t.Errorf("what is permanent was run %d times; want once", n)
	}
	for _, secret := range []string{"permanently", "Rotterdam", "panicking is"} {
		if strings.Contains(logs.String(), secret) {
			t.Errorf("the log tells %q:\n%s", secret, logs)
		}
	}
}

// A job of a type that this server does not know waits for one that does, and burns
// no attempt.
func TestNoHandlerHere(t *testing.T) {
	t.Parallel()
	r, _ := mini(t)
	c, s := clientOn(t, r, patient()), serverOn(t, r, quick("parcels"))
	stop := run(t, s)
	job := sent(t, c, ship, parcel{To: "Kyiv"}, MaxAttempts(2))
	last := sent(t, c, ship, parcel{To: "Lviv"}, MaxAttempts(1))
	for _, id := range []string{job.ID, last.ID} {
		if got := is(t, c, "parcels", id, Retry); got.Attempts != 0 {
			t.Errorf("got %+v; want no attempt counted", got)
		}
	}
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	other := serverOn(t, r, quick("parcels"))
	handled(t, other, ship, func(context.Context, parcel, Meta) error { return nil })
	run(t, other)
	for _, id := range []string{job.ID, last.ID} {
		_ = c.Rerun(t.Context(), "parcels", id) // now, and not in some seconds, unless these are over
		gone(t, c, "parcels", id)
	}
}

func TestPauseInspectRerun(t *testing.T) {
	t.Parallel()
	r, _ := mini(t)
	c, s := clientOn(t, r, patient()), serverOn(t, r, quick("parcels"))
	runs := newTally()
	handled(t, s, ship, func(_ context.Context, p parcel, _ Meta) error {
		if runs.add(p.To) == 1 {
			return Permanent(errors.New("closed"))
		}
		return nil
	})
	ctx := t.Context()
	for range 2 {
		if err := c.Pause(ctx, "parcels"); err != nil {
			t.Fatal(err)
		}
	}
	run(t, s)
	job := sent(t, c, ship, parcel{To: "Kyiv"})
	if infos, err := c.Queues(ctx); err != nil || len(infos) != 1 || !infos[0].Paused || infos[0].Pending != 1 {
		t.Fatalf("got %+v, %v; want one job in a paused queue", infos, err)
	}
	if err := c.Rerun(ctx, "parcels", job.ID); !errors.Is(err, ErrState) {
		t.Errorf("rerun of a pending job: got %v; want ErrState", err)
	}
	for range 2 {
		if err := c.Resume(ctx, "parcels"); err != nil {
			t.Fatal(err)
		}
	}
	is(t, c, "parcels", job.ID, Archived)
	if list, err := c.List(ctx, "parcels", Archived, 10); err != nil || len(list) != 1 || list[0].ID != job.ID {
		t.Errorf("got %+v, %v", list, err)
	}
	if text := fmt.Sprintf("%+v %#v", is(t, c, "parcels", job.ID, Archived), parcel{}); strings.Contains(text, "Kyiv") {
		t.Errorf("printed, a job tells its payload: %s", text)
	}
	if n, err := c.RerunArchived(ctx, "parcels"); err != nil || n != 1 {
		t.Errorf("got %d, %v; want one job to run again", n, err)
	}
	gone(t, c, "parcels", job.ID)
	waiting := sent(t, c, ship, parcel{To: "Lviv"}, Delay(time.Hour))
	if err := c.Delete(ctx, "parcels", waiting.ID); err != nil {
		t.Error(err)
	}
	for name, err := range map[string]error{"delete": c.Delete(ctx, "parcels", waiting.ID), "rerun": c.Rerun(ctx, "parcels", "none"), "another queue": c.Rerun(ctx, "none", "none")} {
		if !errors.Is(err, ErrNotFound) {
			t.Errorf("%s: got %v; want ErrNotFound", name, err)
		}
	}
	if _, err := c.List(ctx, "parcels", "lost", 1); !errors.Is(err, ErrOption) {
		t.Errorf("got %v; want ErrOption", err)
	}
}

func TestCancel(t *testing.T) {
	t.Parallel()
	r, _ := mini(t)
	c, s := clientOn(t, r, patient()), serverOn(t, r, quick("parcels"))
	begun := make(chan struct{}, 1)
	handled(t, s, ship, func(ctx context.Context, _ parcel, _ Meta) error {
		begun <- struct{}{}
		<-ctx.Done()
		return ctx.Err()
	})
	run(t, s)
	job := sent(t, c, ship, parcel{})
	<-begun
	eventually(t, func() error { // asynq's subscriber may not be there yet
		if err := c.Cancel(t.Context(), job.ID); err != nil {
			return err
		}
		got, err := c.Find(t.Context(), "parcels", job.ID)
		if err == nil && got.Stage != Retry {
			err = fmt.Errorf("the job is %s; want retry", got.Stage)
		}
		return err
	})
}

// Of two queues the one of larger weight comes first, if that is strict.
func TestStrict(t *testing.T) {
	t.Parallel()
	r, _ := mini(t)
	cfg := quick()
	cfg.Queues, cfg.Strict, cfg.Concurrency = map[string]int{"high": 2, "low": 1}, true, 1
	c, s := clientOn(t, r, patient()), serverOn(t, r, cfg)
	runs := newTally()
	handled(t, s, ship, func(_ context.Context, p parcel, _ Meta) error { runs.add(p.To); return nil })
	for range 10 {
		sent(t, c, ship, parcel{To: "low"}, In("low"))
		sent(t, c, ship, parcel{To: "high"}, In("high"))
	}
	run(t, s)
	runs.reaches(t, "low", 10)
	if first := strings.Join(runs.order()[:10], ","); strings.Contains(first, "low") {
		t.Errorf("got %s; want the high ones first", first)
	}
}

// Of two queues that both have jobs, one of weight 6 gets six turns for one of the
// other, which is never left out.
func TestWeights(t *testing.T) {
	t.Parallel()
	r, _ := mini(t)
	cfg := quick()
	cfg.Queues, cfg.Concurrency = map[string]int{"high": 6, "low": 1}, 1
	c, s := clientOn(t, r, patient()), serverOn(t, r, cfg)
	runs := newTally()
	handled(t, s, ship, func(_ context.Context, p parcel, _ Meta) error { runs.add(p.To); return nil })
	const jobs, seen = 700, 350 // both queues have jobs while the first half is run
	for queue := range cfg.Queues {
		if _, err := ship.EnqueueAll(t.Context(), c, slices.Repeat([]parcel{{To: queue}}, jobs), In(queue)); err != nil {
			t.Fatal(err)
		}
	}
	stop := run(t, s)
	eventually(t, func() error {
		if n := len(runs.order()); n < seen {
			return fmt.Errorf("%d jobs were run; want %d", n, seen)
		}
		return nil
	})
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	low := 0
	for _, queue := range runs.order()[:seen] {
		if queue == "low" {
			low++
		}
	}
	// asynq draws lots: of 350 turns 50 are low's, give or take 6.5. Seven times that
	// is no accident.
	if low < 5 || low > 95 {
		t.Errorf("low got %d of %d turns; want some %d", low, seen, seen/7)
	}
}

// A job that goes on when the server stops goes back into its queue, within the
// bound, and no attempt is counted.
func TestStopWithinBound(t *testing.T) {
	t.Parallel()
	r, _ := mini(t)
	cfg := quick("parcels")
	cfg.Stop = 200 * time.Millisecond
	c, s := clientOn(t, r, patient()), serverOn(t, r, cfg)
	begun := make(chan struct{}, 1)
	handled(t, s, ship, func(ctx context.Context, _ parcel, _ Meta) error {
		begun <- struct{}{}
		<-ctx.Done()
		return ctx.Err()
	})
	stop := run(t, s)
	job := sent(t, c, ship, parcel{})
	<-begun
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	if got := is(t, c, "parcels", job.ID, Pending); got.Attempts != 0 {
		t.Errorf("got %+v; want no attempt counted", got)
	}
}

// One that ends within the bound is finished.
func TestStopLetsJobsEnd(t *testing.T) {
	t.Parallel()
	r, _ := mini(t)
	c, s := clientOn(t, r, patient()), serverOn(t, r, quick("parcels"))
	begun, end := make(chan struct{}), make(chan struct{})
	handled(t, s, ship, func(context.Context, parcel, Meta) error { close(begun); <-end; return nil })
	stop := run(t, s)
	job := sent(t, c, ship, parcel{})
	<-begun
	time.AfterFunc(300*time.Millisecond, func() { close(end) })
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	gone(t, c, "parcels", job.ID)
}

func TestConfig(t *testing.T) {
	r, _ := mini(t)
	for name, cfg := range map[string]Config{
		"weight": {Queues: map[string]int{"a": 0}}, "name": {Queues: map[string]int{"a{b}": 1}},
		"concurrency": {Concurrency: -1}, "stop": {Stop: -1}, "poll": {Poll: -1}, "grace": {Grace: 1}, "lost": {Lost: -1},
	} {
		if _, err := NewServer(r, cfg); !errors.Is(err, ErrOption) {
			t.Errorf("%s: got %v; want ErrOption", name, err)
		}
	}
	s := serverOn(t, r, Config{})
	handled(t, s, ship, func(context.Context, parcel, Meta) error { return nil })
	if err := ship.Handle(s, nil); !errors.Is(err, ErrOption) {
		t.Errorf("two handlers: got %v; want ErrOption", err)
	}
	if err := ship.Cron(s, "every day", parcel{}); !errors.Is(err, ErrOption) {
		t.Errorf("got %v; want ErrOption", err)
	}
}
