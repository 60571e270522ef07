package queue

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/hibiken/asynq"

	"github.com/transload/transload/internal/contract"
	"github.com/transload/transload/internal/redisproc"
	"github.com/transload/transload/internal/redistest"
)

// A queue moves as one unit, and back: with the job that runs meanwhile, the one that
// is due next week, what is paused, and the names of the queues.
func TestMigration(t *testing.T) {
	t.Parallel()
	source, target := redistest.Standalone(t, redistest.Options{}), redistest.Standalone(t, redistest.Options{})
	m := contract.Begin(t, 2, contract.Config(t, source), contract.Config(t, target))
	ctx := t.Context()
	c, s := clientOn(t, m.Members[0], patient()), serverOn(t, m.Members[1], quick("freight", "held"))
	runs := newTally()
	begun, end := make(chan string, 4), make(chan struct{})
	handled(t, s, ship, func(ctx context.Context, p parcel, _ Meta) error {
		runs.add(p.To)
		begun <- p.To
		select {
		case <-ctx.Done():
			if p.To != "cancelled" {
				t.Errorf("%s: got %v; want that a handler sees nothing of a move", p.To, context.Cause(ctx))
			}
			return Permanent(ctx.Err())
		case <-end:
			return nil
		}
	})
	run(t, s)
	week := time.Now().Add(7 * 24 * time.Hour)
	later := sent(t, c, ship, parcel{To: "next week"}, In("freight"), At(week))
	must(t, c.Pause(ctx, "held"))
	held := sent(t, c, ship, parcel{To: "held"}, In("held"))
	running := sent(t, c, ship, parcel{To: "running"}, In("freight"), Unique(time.Hour))
	<-begun
	m.Shadow(t)
	// where looks with asynq's own Inspector at the server that has the queues. It goes
	// again, since a move refuses strangers who write, and scripts could.
	where := func(side string, server *redisproc.Server) {
		t.Helper()
		r := redistest.Client(t, server)
		defer func() { _ = r.Close() }()
		i := asynq.NewInspectorFromRedisClient(r)
		names, err := i.Queues()
		if slices.Sort(names); err != nil || !slices.Equal(names, []string{"freight", "held"}) {
			t.Errorf("%s: got queues %v, %v", side, names, err)
		}
		for id, want := range map[string]asynq.TaskState{later.ID: asynq.TaskStateScheduled, running.ID: asynq.TaskStateActive} {
			task, err := i.GetTaskInfo("freight", id)
			if err != nil || task.State != want {
				t.Errorf("%s: got %+v, %v; want it %v", side, task, err, want)
			} else if id == later.ID && task.NextProcessAt.Unix() != week.Unix() {
				t.Errorf("%s: it is due at %v; want %v", side, task.NextProcessAt, week)
			}
		}
		if task, err := i.GetTaskInfo("held", held.ID); err != nil || task.State != asynq.TaskStatePending {
			t.Errorf("%s: got %+v, %v; want it pending in a paused queue", side, task, err)
		}
	}
	where("source, before", source)
	m.Cutover(t, 100)
	where("target", target)
	m.Rollback(t)
	where("source, back", source)
	if got := sent(t, c, ship, parcel{To: "running"}, In("freight"), Unique(time.Hour)); got.State != Duplicate {
		t.Errorf("got %v; want that its lock has moved too", got.State)
	}
	cancelled := sent(t, c, ship, parcel{To: "cancelled"}, In("freight"), MaxAttempts(1))
	<-begun
	m.Cutover(t, 100)
	eventually(t, func() error { // on either side
		must(t, c.Cancel(ctx, cancelled.ID))
		job, err := c.Find(ctx, "freight", cancelled.ID)
		if err == nil && job.Stage != Archived {
			err = errors.New("it is still run")
		}
		return err
	})
	close(end)
	gone(t, c, "freight", running.ID)
	must(t, c.Resume(ctx, "held"))
	gone(t, c, "held", held.ID)
	must(t, c.Rerun(ctx, "freight", later.ID))
	gone(t, c, "freight", later.ID)
	m.Finish(t)
	must(t, c.Probe(ctx))
	for _, what := range runs.order() {
		if n := runs.of(what); n != 1 {
			t.Errorf("%s was run %d times; want once", what, n)
		}
	}
}
