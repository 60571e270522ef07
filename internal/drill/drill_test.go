package drill

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/transload/transload/internal/redisproc"
	"github.com/transload/transload/internal/redistest"
	"github.com/transload/transload/topology"
)

// config reads a set's variables.
func config(t testing.TB, env map[string]string) topology.Config {
	t.Helper()
	cfg, err := topology.FromEnv("REDIS", redistest.Getenv(env))
	if err != nil {
		t.Fatal(err)
	}
	return cfg
}

// client opens a client that ends with the test.
func client(t testing.TB, cfg topology.Config, opts ...topology.Option) *topology.Client {
	t.Helper()
	c, err := topology.Open(cfg, opts...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// patient is a budget that a busy machine keeps too. What a quiet one does is
// asked by bench-failover.
const patient = 40 * time.Second

// TestPlannedFailoverLosesNothing moves the primary under load, in both modes.
func TestPlannedFailoverLosesNothing(t *testing.T) {
	t.Parallel()
	for mode, start := range starts {
		t.Run(string(mode), func(t *testing.T) {
			set := start(t, redistest.Options{})
			cfg := config(t, set.Env("REDIS"))
			h := &Handover{}
			res, err := Run(t.Context(), Options{Config: cfg, Cause: Planned(client(t, cfg), h), Lossless: true, Budget: patient, Say: say(t)})
			if err != nil {
				t.Fatal(err)
			}
			tell(t, res)
			if res.Verdict != Pass || res.Lost != 0 || res.Acknowledged == 0 {
				t.Errorf("got %s %v, %d lost of %d; want a pass and nothing lost", res.Verdict, res.Why, res.Lost, res.Acknowledged)
			}
			if len(h.Steps) == 0 || h.New == h.Old {
				t.Errorf("got steps %v from %q to %q; want the steps of a move", h.Steps, h.Old, h.New)
			}
		})
	}
}

// TestKilledPrimary kills the drill's own.
func TestKilledPrimary(t *testing.T) {
	t.Parallel()
	for mode, start := range starts {
		t.Run(string(mode), func(t *testing.T) {
			l := &Local{start(t, redisproc.Options{})}
			res, err := Run(t.Context(), Options{Config: config(t, l.Env("REDIS")), Cause: l.KillPrimary, Budget: patient, Say: say(t)})
			if err != nil {
				t.Fatal(err)
			}
			wantFailover(t, res)
		})
	}
}

// TestFaultFromOutside freezes the primary while a drill waits for it.
func TestFaultFromOutside(t *testing.T) {
	t.Parallel()
	l := &Local{redistest.Sentinel(t, redisproc.Options{})}
	waiting := make(chan struct{})
	o := Options{Config: config(t, l.Env("REDIS")), Budget: patient, Wait: time.Minute, Say: func(stage, line string) {
		t.Logf("%s: %s", stage, line)
		if stage == "waiting" {
			close(waiting)
		}
	}}
	go func() {
		<-waiting
		_, _ = l.FreezePrimary(t.Context(), nil) // not done: nothing is promoted, and the drill fails
	}()
	res, err := Run(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	wantFailover(t, res)
}

// TestNoFault ends with a refusal, not with a verdict.
func TestNoFault(t *testing.T) {
	t.Parallel()
	s := redistest.Standalone(t, redistest.Options{})
	_, err := Run(t.Context(), Options{Config: config(t, s.Env("REDIS")), Wait: 100 * time.Millisecond})
	if r, ok := errors.AsType[*Refusal](err); !ok || r.Gate != "fault" {
		t.Errorf("got %v; want a refusal: no fault came", err)
	}
}

// TestRestartIsSeen drills one server without a replica, as a managed service
// looks from outside: it goes away and comes back.
func TestRestartIsSeen(t *testing.T) {
	t.Parallel()
	s := redistest.Standalone(t, redistest.Options{})
	restart := func(ctx context.Context, _ *Watch) (Moment, error) {
		m := Moment{Fault, time.Now(), s.Addr(), "restart of " + s.Addr()}
		if err := s.Kill(); err != nil {
			return m, err
		}
		time.Sleep(time.Second) // the outage
		return m, s.Restart(ctx)
	}
	res, err := Run(t.Context(), Options{Config: config(t, s.Env("REDIS")), Cause: restart, Budget: patient, Say: say(t)})
	if err != nil {
		t.Fatal(err)
	}
	tell(t, res)
	if res.Verdict != Pass || res.Lost == 0 || res.OldestLostMS < 1000 || res.Writes.OutageMS < 1000 {
		t.Errorf("got %s %v, %d lost, the oldest %.0f ms, outage %.0f ms; want a pass, all lost that it had only in memory, and an outage of a second",
			res.Verdict, res.Why, res.Lost, res.OldestLostMS, res.Writes.OutageMS)
	}
}

var starts = map[topology.Mode]func(testing.TB, redistest.Options) *redisproc.Set{
	topology.Sentinel: redistest.Sentinel, topology.Cluster: redistest.Cluster,
}

// wantFailover fails the test unless the whole timeline of a failover was seen.
func wantFailover(t *testing.T, res *Result) {
	t.Helper()
	tell(t, res)
	if res.Verdict != Pass || res.Acknowledged == 0 || res.Writes.OutageMS < 500 {
		t.Errorf("got %s %v, %d acknowledged, an outage of %.0f ms; want a pass and an outage", res.Verdict, res.Why, res.Acknowledged, res.Writes.OutageMS)
	}
	seen := map[string]bool{}
	for _, l := range res.Timeline {
		seen[l.Name] = true
	}
	for _, want := range []string{PingLost, ObjectivelyDown, Promoted, FirstWrite, FirstRead} {
		if !seen[want] {
			t.Errorf("got a timeline of %v; want %s in it", res.Timeline, want)
		}
	}
}

func say(t testing.TB) func(string, string) {
	return func(stage, line string) { t.Logf("%s: %s", stage, line) }
}

func tell(t testing.TB, res *Result) {
	t.Helper()
	t.Logf("%s %v: %s: lost %d of %d, oldest %.1f ms", res.Verdict, res.Why, res.Fault, res.Lost, res.Acknowledged, res.OldestLostMS)
	for _, l := range res.Timeline {
		t.Logf("%9.1f  %s %s %s", l.MS, l.Name, l.Addr, l.Says)
	}
	t.Logf("writes %+v", res.Writes)
	t.Logf("reads %+v", res.Reads)
}
