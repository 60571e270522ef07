package main

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/transload/transload/examples/freight/load"
	"github.com/transload/transload/internal/redistest"
	"github.com/transload/transload/migrate/coordinator"
	"github.com/transload/transload/topology"
)

// patience opens the gates that ask for a week of load or a quiet machine.
var patience = coordinator.Limits{P99: time.Minute, HitRate: -1, Lag: time.Minute, MinShadow: -1, ReadsDiffer: 1000, MirrorFails: 1000}

// A mover is the operator of one migration.
type mover struct {
	t     testing.TB
	ask   *coordinator.Coordinator
	over  chan error // of shadow, which ends by itself when the migration is finished
	holds []float64  // ms
}

// shadow begins a migration, and returns when every instance obeys.
func shadow(t testing.TB, env map[string]string, instances ...*instance) *mover {
	t.Helper()
	m := &mover{t: t, over: make(chan error, 1)}
	boss := m.open(env)
	m.ask = m.open(env)
	ctx, stop := context.WithCancel(context.Background())
	go func() { m.over <- boss.Shadow(ctx) }()
	t.Cleanup(func() { stop(); _ = boss.Close(); _ = m.ask.Close() })
	m.reach("shadow", instances...)
	return m
}

func (m *mover) open(env map[string]string) *coordinator.Coordinator {
	m.t.Helper()
	var sides [2]topology.Config
	for i, prefix := range []string{"REDIS", "REDIS_TARGET"} {
		cfg, err := topology.FromEnv(prefix, redistest.Getenv(env))
		if err != nil {
			m.t.Fatal(err)
		}
		sides[i] = cfg
	}
	c, err := coordinator.Open(coordinator.Options{Name: env["MIGRATE_NAME"], Source: sides[0], Target: sides[1], Hold: 2 * time.Second, Limits: patience})
	if err != nil {
		m.t.Fatal(err)
	}
	return c
}

// reach waits until the status page of each instance has a phase.
func (m *mover) reach(phase string, instances ...*instance) {
	m.t.Helper()
	redistest.Eventually(m.t, within, func() error {
		for _, i := range instances {
			if err := i.in(phase); err != nil {
				return err
			}
		}
		return nil
	})
}

// cutover moves so many percent, as often as it takes on a busy machine: servers that are
// late are a reason to refuse a step or to give it up.
func (m *mover) cutover(percent int) {
	m.t.Helper()
	redistest.Eventually(m.t, within, func() error {
		res, err := m.ask.Cutover(m.t.Context(), coordinator.CutoverRequest{To: []int{percent}, Care: coordinator.Care{Limits: patience}})
		for _, r := range res.Moves {
			m.holds = append(m.holds, r.HoldMS)
		}
		return err
	})
}

// finish ends the migration, and shadow with it.
func (m *mover) finish(instances ...*instance) {
	m.t.Helper()
	redistest.Eventually(m.t, within, func() error {
		_, err := m.ask.Finish(m.t.Context(), coordinator.FinishRequest{MinSoak: -1})
		return err
	})
	m.reach("done", instances...)
	select {
	case err := <-m.over:
		if err != nil {
			m.t.Errorf("shadow ended with %v", err)
		}
	case <-time.After(within):
		m.t.Error("shadow has not ended")
	}
}

// small is a load that two busy cores carry together with the servers and the race
// detector.
func small(urls ...string) load.Options {
	return load.Options{URLs: urls, Each: 2, Pace: 150 * time.Millisecond, Fix: 250 * time.Millisecond}
}

// judge fails the test unless a load found nothing wrong.
func judge(t testing.TB, v load.Verdict) {
	t.Helper()
	var out bytes.Buffer
	v.Print(&out)
	t.Logf("\n%s", out.String())
	if !v.OK() || v.Loads == 0 || v.Seen == 0 {
		t.Error("the load has found something wrong, or has done too little")
	}
	if n := v.Outcome("page 5xx"); n > 0 {
		t.Errorf("%d pages were 5xx; want none: the database can answer them", n)
	}
}

// TestMove moves two instances at work from a standalone server to a Sentinel set.
func TestMove(t *testing.T) {
	if testing.Short() {
		t.Skip("needs redis-servers: left out by -short")
	}
	t.Parallel() // it waits more than it works
	env := settingsOf(t, 3, redistest.Standalone(t, redistest.Options{}).Env("REDIS"), redistest.Sentinel(t, redistest.Options{}).Env("REDIS_TARGET"))
	a, b := begin(t, inside, env), begin(t, inside, env)
	j := load.NewJournal()
	l, err := load.Start(t.Context(), small(a.users, b.users), j)
	if err != nil {
		t.Fatal(err)
	}
	m := shadow(t, env, a, b)
	m.cutover(50)
	redistest.Eventually(t, within, func() error { // the page looks once a second
		s, err := a.status()
		if err != nil || s.Workloads[0].Side != "both" || s.Workloads[0].Percent != 50 || len(s.Sides) != 2 {
			return fmt.Errorf("half way: got %+v, %v; want half of each workload on each side", s.Workloads, err)
		}
		return nil
	})
	m.cutover(100)
	if got := b.probed(); strings.Count(got, "ok ") != 5 {
		t.Errorf("after the move: got\n%s", got)
	}
	m.finish(a, b)
	judge(t, l.Check(t.Context()))
}

// TestRedisDies kills the only Redis under load, and brings it back with what it had.
func TestRedisDies(t *testing.T) {
	if testing.Short() {
		t.Skip("needs redis-servers: left out by -short")
	}
	t.Parallel() // it waits more than it works
	redis := redistest.Standalone(t, redistest.Options{Args: []string{"--appendonly", "yes", "--appendfsync", "always"}})
	i := begin(t, inside, settingsOf(t, 3, redis.Env("REDIS")))
	i.well(within)
	j := load.NewJournal()
	l, err := load.Start(t.Context(), small(i.users), j)
	if err != nil {
		t.Fatal(err)
	}
	time.Sleep(2 * time.Second)
	j.Phase("redis is dead")
	if err := redis.Kill(); err != nil {
		t.Fatal(err)
	}
	killed := time.Now()
	i.lost()
	t.Logf("the status page told of all five after %v", time.Since(killed).Round(10*time.Millisecond))
	time.Sleep(3 * time.Second)
	j.Phase("redis is back")
	if err := redis.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	i.well(within)
	time.Sleep(2 * time.Second)
	judge(t, l.Check(t.Context()))
}
