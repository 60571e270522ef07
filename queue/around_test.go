package queue

import (
	"context"
	"errors"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hibiken/asynq"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil/promlint"
	"github.com/redis/go-redis/v9"

	"github.com/transload/transload/internal/budget"
	"github.com/transload/transload/internal/front"
)

func TestProbe(t *testing.T) {
	t.Parallel()
	r, s := mini(t)
	c := clientOn(t, r, patient())
	if err := c.Probe(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, key := range s.Keys() {
		if strings.Contains(key, "probe") {
			t.Errorf("the probe left %s", key)
		}
	}
	if infos, err := c.Queues(t.Context()); err != nil || len(infos) != 0 {
		t.Errorf("got %+v, %v; want no queue left", infos, err)
	}
	s.SetError("LOADING away")
	c.budget = budget.New(r, 50*time.Millisecond)
	if err := c.Probe(t.Context()); !errors.Is(err, ErrUnavailable) {
		t.Errorf("got %v; want ErrUnavailable", err)
	}
}

// asynq's scheduler ticks, and every process's tick is the same job.
func TestCron(t *testing.T) {
	t.Parallel()
	r, _ := mini(t)
	c := clientOn(t, r, patient())
	runs := newTally()
	for range 2 {
		s := serverOn(t, r, quick("parcels"))
		handled(t, s, ship, func(_ context.Context, p parcel, m Meta) error { runs.add(m.ID); return nil })
		if err := ship.Cron(s, "@every 1s", parcel{To: "Kyiv"}); err != nil {
			t.Fatal(err)
		}
		run(t, s)
	}
	eventually(t, func() error {
		if n := len(runs.order()); n < 3 {
			return fmt.Errorf("%d ticks; want 3", n)
		}
		return nil
	})
	for _, id := range runs.order() {
		if n := runs.of(id); n != 1 {
			t.Errorf("tick %s was run %d times; want once", id, n)
		}
	}
	if _, err := c.Find(t.Context(), "parcels", runs.order()[0]); err != nil {
		t.Errorf("a tick that is over: got %v; want that it is kept, so that a late clock finds it", err)
	}
}

// Clocks that are apart by less than half a minute name the same tick.
func TestTicks(t *testing.T) {
	r, _ := mini(t)
	s := serverOn(t, r, Config{})
	for spec, next := range map[string]time.Duration{"*/5 * * * *": 5 * time.Minute, "@hourly": time.Hour, "@every 90s": 90 * time.Second} {
		s.crons = nil
		if err := ship.Cron(s, spec, parcel{}); err != nil {
			t.Fatal(err)
		}
		at := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
		e := s.crons[0]
		if a, b := e.tick(at), e.tick(at.Add(20*time.Second)); a != b {
			t.Errorf("%s: got %s and %s; want one tick", spec, a, b)
		}
		if a, b := e.tick(at), e.tick(at.Add(next)); a == b {
			t.Errorf("%s: got %s twice; want the next tick", spec, a)
		}
	}
}

// Jobs are enqueued on the new Redis, and run from both, until the old one is empty.
func TestDrain(t *testing.T) {
	t.Parallel()
	old, _ := mini(t)
	target, _ := mini(t)
	ctx := t.Context()
	was := clientOn(t, old, patient())
	before := sent(t, was, ship, parcel{To: "before"}, Key("order 1"))
	later := sent(t, was, ship, parcel{To: "later"}, Delay(time.Hour))
	o := patient()
	o.Old = old
	c := clientOn(t, target, o)
	if got := sent(t, c, ship, parcel{To: "before"}, Key("order 1")); got.State != Duplicate || got.ID != before.ID {
		t.Errorf("got %+v; want a duplicate of what is on the old side", got)
	}
	if err := c.Pause(ctx, "parcels"); err != nil {
		t.Fatal(err)
	}
	for side, r := range map[string]redis.UniversalClient{"old": old, "new": target} {
		if n := r.Exists(ctx, queueKey("parcels", "paused")).Val(); n != 1 {
			t.Errorf("the queue is not paused on the %s side", side)
		}
	}
	if err := c.Resume(ctx, "parcels"); err != nil {
		t.Fatal(err)
	}
	sent(t, c, ship, parcel{To: "after"})
	cfg := quick("parcels")
	cfg.Old = old
	s := serverOn(t, target, cfg)
	runs := newTally()
	handled(t, s, ship, func(_ context.Context, p parcel, _ Meta) error { runs.add(p.To); return nil })
	run(t, s)
	runs.reaches(t, "before", 1)
	runs.reaches(t, "after", 1)
	if _, err := Drained(ctx, old, time.Millisecond); !errors.Is(err, ErrNotDrained) || !strings.Contains(err.Error(), "1 scheduled") {
		t.Errorf("got %v; want ErrNotDrained, and that one is scheduled", err)
	}
	if err := was.Rerun(ctx, "parcels", later.ID); err != nil {
		t.Fatal(err)
	}
	runs.reaches(t, "later", 1)
	eventually(t, func() error { _, err := Drained(ctx, old, 50*time.Millisecond); return err })
	stop := make(chan struct{})
	go func() {
		defer close(stop)
		sent(t, was, ship, parcel{To: "stray"})
		runs.reaches(t, "stray", 1)
	}()
	if _, err := Drained(ctx, old, 2*time.Second); !errors.Is(err, ErrNotDrained) {
		t.Errorf("somebody enqueues there: got %v; want ErrNotDrained", err)
	}
	<-stop
}

// Metrics of the client, the server and the queues, all told in the docs.
func TestMetrics(t *testing.T) {
	t.Parallel()
	r, s := mini(t)
	c, server := clientOn(t, r, patient()), serverOn(t, r, quick("parcels"))
	handled(t, server, ship, func(context.Context, parcel, Meta) error { return nil })
	stop := run(t, server)
	gone(t, c, "parcels", sent(t, c, ship, parcel{}).ID)
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	sent(t, c, ship, parcel{})
	if err := c.Pause(t.Context(), "parcels"); err != nil {
		t.Fatal(err)
	}
	figures := c.Figures()
	got := gathered(t, figures)
	for name, want := range map[string]float64{"asynq_queue_size": 1, "asynq_tasks_processed_total": 1, "asynq_queue_paused_total": 1, "asynq_tasks_enqueued_total": 1} {
		if got[name] != want {
			t.Errorf("%s: got %v; want %v", name, got[name], want)
		}
	}
	before := s.CommandCount()
	for range 5 {
		gathered(t, figures)
	}
	if n := s.CommandCount() - before; n > 0 {
		t.Errorf("five more looks cost %d commands; want none", n)
	}
	if got := gathered(t, c.Metrics()); got["transload_queue_enqueued_total"] != 2 {
		t.Errorf("got %v; want two jobs enqueued", got)
	}
	if got := gathered(t, server.Metrics()); got["transload_queue_runs_total"] != 1 || got["transload_queue_unsettled"] != 0 {
		t.Errorf("got %v; want one run", got)
	}
	s.SetError("LOADING away")
	if got := gathered(t, c.Figures()); len(got) != 0 {
		t.Errorf("got %v of a Redis that is away; want nothing", got)
	}
}

// gathered sums each metric of a collector, and sees that they are as they should.
func gathered(t *testing.T, k prometheus.Collector) map[string]float64 {
	t.Helper()
	reg := prometheus.NewPedanticRegistry()
	reg.MustRegister(k)
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	problems, err := promlint.NewWithMetricFamilies(families).Lint()
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		if !strings.HasPrefix(p.Metric, "asynq_") { // those names are asynq's
			t.Errorf("%s: %s", p.Metric, p.Text)
		}
	}
	sums := map[string]float64{}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			sums[f.GetName()] += m.GetCounter().GetValue() + m.GetGauge().GetValue()
		}
	}
	return sums
}

func TestDocsNameEveryMetric(t *testing.T) {
	text, err := os.ReadFile("../docs/queue.md")
	if err != nil {
		t.Fatal(err)
	}
	var named, told []string
	for _, m := range regexp.MustCompile("(?m)^\\| `((?:asynq|transload_queue)_[a-z_]+)` \\|").FindAllStringSubmatch(string(text), -1) {
		named = append(named, m[1])
	}
	ch := make(chan *prometheus.Desc, 64)
	newMeter().Describe(ch)
	(&figuresCollector{}).Describe(ch)
	close(ch)
	for d := range ch {
		_, rest, _ := strings.Cut(d.String(), `fqName: "`)
		name, _, _ := strings.Cut(rest, `"`)
		told = append(told, name)
	}
	slices.Sort(named)
	slices.Sort(told)
	if !slices.Equal(named, told) {
		t.Errorf("docs name %q; the collectors tell %q", named, told)
	}
}

// A Redis that evicts is refused, and told how to mend; where nobody can tell, that
// is said once.
func TestPolicy(t *testing.T) {
	t.Parallel()
	r, _ := mini(t)
	logs := &book{}
	p := newPolicy(r, logs.logger())
	for range 3 {
		if err := p.allows(t.Context()); err != nil {
			t.Fatal(err)
		}
		p.asked = time.Time{}
	}
	if n := strings.Count(logs.String(), "nobody can tell"); n != 1 {
		t.Errorf("it was said %d times; want once:\n%s", n, logs)
	}
}

// A queue that Redis has forgotten is known again.
func TestAnnouncedAgain(t *testing.T) {
	r, s := mini(t)
	c := clientOn(t, r, patient())
	sent(t, c, ship, parcel{})
	s.Del(allQueues)
	sent(t, c, ship, parcel{})
	if s.Exists(allQueues) {
		t.Fatal("each job says that its queue exists; want once a minute")
	}
	c.announced["parcels"] = time.Now().Add(-announceEach - time.Second)
	sent(t, c, ship, parcel{})
	if ok, _ := s.SIsMember(allQueues, "parcels"); !ok {
		t.Error("the queue is not known again")
	}
	s.Del(allQueues)
	serverOn(t, r, quick("parcels")).sides[0].sweepAll(t.Context())
	if ok, _ := s.SIsMember(allQueues, "parcels"); !ok {
		t.Error("a server does not say that its queues exist")
	}
}

// What an asynq of another version would send is refused, not guessed.
func TestTapeRefuses(t *testing.T) {
	x := &tape{UniversalClient: front.New(refuser{})}
	defer func() { _ = x.Close() }()
	if err := asynq.NewInspectorFromRedisClient(x).PauseQueue("parcels"); err == nil || !strings.Contains(err.Error(), "enqueues by") {
		t.Errorf("got %v; want that it is another command", err)
	}
}

// asynq's log goes to ours, with what fails and without what is below.
func TestAsynqLog(t *testing.T) {
	logs := &book{}
	l := asynqLog{logs.logger()}
	l.Debug("payload")
	l.Info("payload")
	l.Warn("one")
	l.Error("two")
	l.Fatal("three")
	got := logs.String()
	for _, want := range []string{"asynq: one", "asynq: two", "asynq: three"} {
		if !strings.Contains(got, want) {
			t.Errorf("got %q; want %q in it", got, want)
		}
	}
	if strings.Contains(got, "payload") {
		t.Errorf("got %q; want nothing of lower levels", got)
	}
}

// Entries that could never be enqueued, or more than once a tick, are refused or kept.
func TestCronOptions(t *testing.T) {
	r, _ := mini(t)
	c, s := clientOn(t, r, patient()), serverOn(t, r, Config{})
	unique := Define[parcel]("unique", Unique(time.Hour))
	for name, err := range map[string]error{
		"unique": ship.Cron(s, "@hourly", parcel{}, Unique(time.Hour)), "of a unique kind": unique.Cron(s, "@hourly", parcel{}),
		"an id": ship.Cron(s, "@hourly", parcel{}, WithID("x")),
	} {
		if !errors.Is(err, ErrOption) {
			t.Errorf("%s: got %v; want ErrOption", name, err)
		}
	}
	must(t, ship.Cron(s, "@hourly", parcel{}, Retain(0)))
	got, err := s.crons[0].enqueue(t.Context(), c, "noon")
	must(t, err)
	task, err := asynq.NewInspectorFromRedisClient(r).GetTaskInfo("parcels", got.ID)
	if err != nil || task.Retention < 2*cronSkew {
		t.Errorf("got %+v, %v; want it kept until every process has come to the tick", task, err)
	}
}
