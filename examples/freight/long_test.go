package main

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/transload/transload/examples/freight/load"
	"github.com/transload/transload/internal/pgtest"
	"github.com/transload/transload/internal/redisproc"
	"github.com/transload/transload/internal/redistest"
)

// long leaves a test out that takes minutes; make freight runs it.
func long(t *testing.T) {
	if os.Getenv("FREIGHT") == "" {
		t.Skip("takes minutes: make freight runs it")
	}
}

// crowd is the load of the long tests.
func crowd(urls ...string) load.Options {
	return load.Options{URLs: urls, Each: 20, Pace: 600 * time.Millisecond, Settle: 3 * time.Minute}
}

// anyDatabase is PostgreSQL where there is one.
func anyDatabase(t *testing.T) map[string]string {
	if !pgtest.Available() {
		t.Log(pgtest.LeftOut + ": the app has SQLite")
		return nil
	}
	return map[string]string{"DATABASE_URL": pgtest.Start(t)}
}

// pause is how long each phase of the run lasts at least.
const pause = 8 * time.Second

// again restarts an instance as a rolling deployment does: with other settings, at the
// same addresses, while the others work.
func (i *instance) again(env map[string]string) *instance {
	i.t.Helper()
	i.end()
	return begin(i.t, process, redistest.Merge(env, map[string]string{"FREIGHT_ADDR": i.env["FREIGHT_ADDR"], "FREIGHT_ADMIN": i.env["FREIGHT_ADMIN"]}))
}

// TestFreight moves the app at work from a standalone server to a Sentinel set, whose
// primary then dies, and on to a Cluster.
func TestFreight(t *testing.T) {
	long(t)
	shop := settingsOf(t, 40, anyDatabase(t))
	standalone, sentinel, cluster := redistest.Standalone(t, redistest.Options{}), redistest.Sentinel(t, redistest.Options{}), redistest.Cluster(t, redistest.Options{})
	// Each migration has a name: the Sentinel set keeps the record of the first, done.
	named := func(name string) map[string]string { return map[string]string{"MIGRATE_NAME": name} }
	first := redistest.Merge(shop, standalone.Env("REDIS"), sentinel.Env("REDIS_TARGET"), named("to-sentinel"))
	second := redistest.Merge(shop, sentinel.Env("REDIS"), cluster.Env("REDIS_TARGET"), named("to-cluster"))
	third := redistest.Merge(shop, cluster.Env("REDIS"))

	a, b := begin(t, process, first), begin(t, process, first)
	j := load.NewJournal()
	l, err := load.Start(t.Context(), crowd(a.users, b.users), j)
	if err != nil {
		t.Fatal(err)
	}
	phase := func(name string) { j.Phase(name); time.Sleep(pause) }
	roll := func(env map[string]string) {
		a = a.again(env)
		b = b.again(env)
	}
	move := func(env map[string]string, to string) {
		j.Phase("shadow to " + to)
		m := shadow(t, env, a, b)
		time.Sleep(pause)
		j.Phase("moving to " + to)
		for _, percent := range []int{10, 50, 100} {
			m.cutover(percent)
			time.Sleep(pause / 3)
		}
		m.finish(a, b)
		slices.Sort(m.holds)
		t.Logf("to %s: writes were held for %.1f ms", to, m.holds)
		t.Logf("probes on %s:\n%s", to, a.probed())
	}
	phase("on standalone")
	t.Logf("probes before:\n%s", a.probed())
	move(first, "sentinel")
	phase("on sentinel")
	j.Phase("rolling restart")
	roll(second)
	failover(t, sentinel, phase)
	move(second, "cluster")
	j.Phase("rolling restart")
	roll(third)
	phase("on cluster")
	t.Logf("probes after:\n%s", b.probed())
	judge(t, l.Check(t.Context()))
}

// failover kills the primary, and lets it back as a replica.
func failover(t *testing.T, set *redisproc.Set, phase func(string)) {
	t.Helper()
	primary := set.Primaries(t.Context())[0]
	if err := primary.Kill(); err != nil {
		t.Fatal(err)
	}
	phase("failover")
	if err := primary.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	redistest.Eventually(t, within, func() error {
		all := set.Primaries(t.Context())
		if len(all) != 1 || all[0] == primary {
			return fmt.Errorf("%d primaries; want one, and the old one a replica", len(all))
		}
		info, err := all[0].Do(t.Context(), "INFO", "replication")
		if text, _ := info.(string); err != nil || !strings.Contains(text, "connected_slaves:2") {
			return errors.Join(errors.New("the primary has not got its two replicas"), err)
		}
		return nil
	})
	phase("after the failover")
}

// TestEverythingDies kills every process of a Sentinel set under load, and starts an
// empty one at the same addresses. Nobody does anything by hand.
func TestEverythingDies(t *testing.T) {
	long(t)
	set := redistest.Sentinel(t, redistest.Options{})
	env := settingsOf(t, 40, anyDatabase(t), set.Env("REDIS"))
	a, b := begin(t, process, env), begin(t, process, env)
	a.well(within)
	j := load.NewJournal()
	l, err := load.Start(t.Context(), crowd(a.users, b.users), j)
	if err != nil {
		t.Fatal(err)
	}
	time.Sleep(pause)
	j.Phase("every redis is dead")
	for _, s := range set.Servers() {
		if err := s.Kill(); err != nil {
			t.Fatal(err)
		}
	}
	dead := time.Now()
	for _, i := range []*instance{a, b} {
		i.lost()
	}
	told := time.Since(dead)
	t.Logf("both status pages told of all five after %v", told.Round(10*time.Millisecond))
	if told > 2*time.Second {
		t.Errorf("the status page took %v; want 2s", told)
	}
	time.Sleep(2 * pause)
	j.Phase("an empty set")
	began := time.Now()
	for _, s := range set.Servers() {
		if err := s.Restart(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	rebuilt(t, began, a, b)
	j.Phase("rebuilt")
	time.Sleep(pause)
	v := l.Check(t.Context())
	t.Logf("every job has had its effect %v after the set was begun", time.Since(began).Round(10*time.Millisecond))
	judge(t, v)
}

// rebuilt waits until everything is as before: each workload, each user's session, each
// truck's position. It logs how long each took.
func rebuilt(t *testing.T, began time.Time, instances ...*instance) {
	t.Helper()
	steps := map[string]func(i *instance) error{
		"workloads well": func(i *instance) error {
			s, err := i.status()
			if bad := degraded(s); err == nil && len(bad) > 0 {
				err = fmt.Errorf("degraded: %v", bad)
			}
			return err
		},
		"sessions live": func(i *instance) error {
			s, err := i.status()
			for _, g := range s.Connected {
				if g.State != "live" && g.Seen.After(began) && err == nil { // others have gone to another instance
					err = fmt.Errorf("%s is %s", g.User, g.State)
				}
			}
			return err
		},
		"positions out": func(i *instance) error {
			s, err := i.status()
			if err == nil && s.Waiting > 0 {
				err = fmt.Errorf("%d positions wait", s.Waiting)
			}
			return err
		},
		"queues empty": func(i *instance) error {
			s, err := i.status()
			if err == nil && len(s.Queues) == 0 {
				err = errors.New("there are none yet")
			}
			for _, q := range s.Queues {
				if q.Pending > 50 && err == nil {
					err = fmt.Errorf("%d jobs wait in %s", q.Pending, q.Name)
				}
			}
			return err
		},
	}
	for _, name := range []string{"workloads well", "sessions live", "positions out", "queues empty"} {
		for _, i := range instances {
			redistest.Eventually(t, 10*time.Minute, func() error { return steps[name](i) })
		}
		t.Logf("%s after %v", name, time.Since(began).Round(10*time.Millisecond))
	}
}
