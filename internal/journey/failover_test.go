package journey

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/transload/transload/internal/drill"
	"github.com/transload/transload/internal/redisproc"
	"github.com/transload/transload/internal/redistest"
	"github.com/transload/transload/migrate"
	"github.com/transload/transload/migrate/coordinator"
	"github.com/transload/transload/topology"
)

// within is how long anything may take on a busy machine.
const within = time.Minute

// redisLoses is how old the oldest write may be that a failover loses: replicas of
// these sets, on the loopback, are a few milliseconds behind.
const redisLoses = time.Second

// stuck is how long no call may take, in milliseconds: far more than a failover
// under these sentinels, and less than the calls' deadline.
const stuck = 25_000

// TestSourceFailsOver kills the source's primary in each phase.
func TestSourceFailsOver(t *testing.T) {
	t.Parallel() // both wait more than they work
	set := redistest.Sentinel(t, redistest.Options{Hasty: true})
	f := newFailing(t, set, config(t, set), config(t, redistest.Standalone(t, redistest.Options{})))
	f.play(map[string]bool{"shadow": true, "cutover": true})
}

// TestTargetFailsOver kills the target's.
func TestTargetFailsOver(t *testing.T) {
	t.Parallel()
	set := redistest.Sentinel(t, redistest.Options{Hasty: true})
	f := newFailing(t, set, config(t, redistest.Standalone(t, redistest.Options{})), config(t, set))
	f.play(map[string]bool{"cutover": true, "soak": true, "done": true})
}

// A failing is a migration one of whose sides fails over again and again.
type failing struct {
	*journey
	t   *testing.T
	set *redisproc.Set
}

func newFailing(t *testing.T, set *redisproc.Set, source, target topology.Config) *failing {
	t.Helper()
	f := &failing{&journey{source: source, target: target}, t, set}
	f.members = []*migrate.Client{f.member("0"), f.member("1")}
	f.coordinator = f.lead("operator")
	f.keep()
	redistest.Eventually(t, within, func() error { return f.inPhase("shadow") })
	return f
}

func (f *failing) member(id string) *migrate.Client {
	f.t.Helper()
	c, err := migrate.Open(f.t.Context(), migrate.Options{Source: f.source, Target: f.target, Logger: logger(f.t, "member "+id)})
	if err != nil {
		f.t.Fatal(err)
	}
	f.t.Cleanup(func() { _ = c.Close() })
	return c
}

func (f *failing) lead(who string) *coordinator.Coordinator {
	f.t.Helper()
	co, err := coordinator.Open(coordinator.Options{Source: f.source, Target: f.target, Logger: logger(f.t, who), Hold: 2 * time.Second,
		Limits: coordinator.Limits{P99: time.Minute, MirrorFails: 1 << 30, ReadsDiffer: 1 << 30, Lag: time.Minute}})
	if err != nil {
		f.t.Fatal(err)
	}
	f.t.Cleanup(func() { _ = co.Close() })
	return co
}

// keep runs `migrate shadow` for as long as the test runs, and begins it again
// when a failover has ended it, as an operator would.
func (f *failing) keep() {
	t := f.t
	ctx, stop := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	co := f.lead("shadow")
	wg.Go(func() {
		for ctx.Err() == nil {
			err := co.Shadow(ctx)
			t.Logf("shadow ended: %v", err)
			if err == nil {
				return // the migration is over
			}
		}
	})
	t.Cleanup(func() { stop(); wg.Wait() })
}

// inPhase returns nil once every member is in a phase.
func (f *failing) inPhase(want string) error {
	for _, m := range f.members {
		if p := m.Phase(); p != want {
			return fmt.Errorf("a member is in %s; want %s", p, want)
		}
	}
	return nil
}

// play goes through the phases, with a failover in each. In those of hurts the
// side that fails answers for some keys; in the others the app must not notice.
func (f *failing) play(hurts map[string]bool) {
	steps := []struct {
		phase string
		enter func()
	}{
		{"shadow", func() {}},
		{"cutover", func() { f.move(50) }},
		{"soak", func() { f.move(100) }},
		{"done", func() { f.settle(); f.finish(f.t) }},
	}
	whole := f.t
	for _, step := range steps {
		step.enter()
		whole.Run(step.phase, func(t *testing.T) {
			f.t = t
			redistest.Eventually(t, within, func() error { return f.inPhase(step.phase) })
			f.failover(step.phase, hurts[step.phase])
		})
		if f.t = whole; whole.Failed() {
			return
		}
	}
}

// move gives authority over, as soon as the gates are open again.
func (f *failing) move(percent int) {
	f.settle()
	redistest.Eventually(f.t, within, func() error {
		_, err := f.coordinator.Cutover(f.t.Context(), coordinator.CutoverRequest{To: []int{percent}})
		return err
	})
}

// failover kills the primary under load, and holds the app to what it was told.
func (f *failing) failover(phase string, hurt bool) {
	t := f.t
	var loads []*drill.Load
	for _, m := range f.members {
		l := drill.StartLoad(t.Context(), m, drill.LoadOptions{Writers: 6, Readers: 6, Rate: 100, Deadline: within / 2})
		t.Cleanup(l.Stop)
		l.Pin()
		loads = append(loads, l)
	}
	f.answered(loads, time.Now())
	began := time.Now()
	f.busy(loads, began, 200)

	fault, old := time.Now(), f.kill()
	f.promoted(old)
	f.answered(loads, time.Now())
	f.busy(loads, time.Now(), 100)
	end := time.Now()
	for i, l := range loads {
		l.Stop()
		w := l.Writes(began, end)
		t.Logf("%s, member %d: writes %+v", phase, i, w)
		r := l.Reads(began, end)
		if longest := max(w.LongestCallMS, r.LongestCallMS); longest > stuck {
			t.Errorf("a call took %.0f ms; want none to wait for its deadline", longest)
		}
		if !hurt && (w.Failed() > 0 || w.OutageMS > 10_000) {
			t.Errorf("got errors %v and an outage of %.0f ms; want that the app does not notice", w.Errors, w.OutageMS)
		}
		f.lost(l, fault, hurt)
	}
	if err := f.inPhase(phase); err != nil {
		t.Errorf("after the failover: %v", err)
	}
	if err := old.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	f.whole()
}

// lost counts what the app was told and is gone.
func (f *failing) lost(l *drill.Load, fault time.Time, hurt bool) {
	f.t.Helper()
	loss, err := l.Check(f.t.Context(), f.members[0])
	if err != nil {
		f.t.Fatal(err)
	}
	f.t.Logf("lost %d of %d", loss.Lost, loss.Acknowledged)
	switch {
	case loss.Lost == 0:
	case !hurt:
		f.t.Errorf("lost %d writes that the other side had acknowledged", loss.Lost)
	case fault.Sub(loss.Oldest) > redisLoses || loss.Latest.After(fault.Add(redisLoses)):
		f.t.Errorf("lost %d writes, acknowledged from %v to %v after the fault; Redis itself loses what was under way to the replicas",
			loss.Lost, loss.Oldest.Sub(fault), loss.Latest.Sub(fault))
	}
}

func (f *failing) answered(loads []*drill.Load, since time.Time) {
	f.t.Helper()
	redistest.Eventually(f.t, within, func() error {
		for i, l := range loads {
			if !l.AnsweredSince(since) {
				return fmt.Errorf("not every writer and reader of member %d was answered", i)
			}
		}
		return nil
	})
}

// busy waits until each load has had so many more writes acknowledged.
func (f *failing) busy(loads []*drill.Load, since time.Time, writes int64) {
	f.t.Helper()
	for _, l := range loads {
		goal := l.Writes(since, since).Answered + writes
		redistest.Eventually(f.t, within, func() error {
			if n := l.Writes(since, since).Answered; n < goal {
				return fmt.Errorf("%d writes were acknowledged; want %d", n, goal)
			}
			return nil
		})
	}
}

func (f *failing) kill() *redisproc.Server {
	f.t.Helper()
	list := f.set.Primaries(f.t.Context())
	if len(list) != 1 {
		f.t.Fatalf("got %d primaries; want one", len(list))
	}
	if err := list[0].Kill(); err != nil {
		f.t.Fatal(err)
	}
	return list[0]
}

// promoted waits until another server says that it is the primary.
func (f *failing) promoted(old *redisproc.Server) {
	f.t.Helper()
	redistest.Eventually(f.t, within, func() error {
		for _, n := range f.set.Primaries(f.t.Context()) {
			if n != old {
				return nil
			}
		}
		return errors.New("no replica was promoted")
	})
}

// whole waits until the set is as it was: one primary with both replicas online,
// which the sentinels know of.
func (f *failing) whole() {
	f.t.Helper()
	redistest.Eventually(f.t, within, func() error {
		list := f.set.Primaries(f.t.Context())
		if len(list) != 1 {
			return fmt.Errorf("%d primaries", len(list))
		}
		c := redis.NewClient(&redis.Options{Network: "unix", Addr: list[0].Socket(), MaxRetries: -1, DisableIdentity: true})
		defer c.Close()
		role, err := c.Do(f.t.Context(), "ROLE").Slice()
		if err == nil && len(role[2].([]any)) != 2 {
			err = fmt.Errorf("the primary has replicas %v", role[2])
		}
		return err
	})
}

// settle waits until the sides are equal: what was dirty has been repaired.
func (f *failing) settle() {
	f.t.Helper()
	redistest.Eventually(f.t, within, func() error {
		r, err := f.coordinator.Verify(f.t.Context(), coordinator.VerifyRequest{})
		if err != nil {
			return fmt.Errorf("%w: %+v", err, r.Examples)
		}
		return nil
	})
}
