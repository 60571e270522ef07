package migrate

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/transload/transload/internal/command"
	"github.com/transload/transload/internal/control"
	"github.com/transload/transload/internal/keysync"
	"github.com/transload/transload/internal/protocol"
	"github.com/transload/transload/internal/redistest"
	"github.com/transload/transload/topology"
	"github.com/transload/transload/topology/embedded"
)

// A pair is a source and a target with a coordinator in small: it changes the
// records step by step, so that a test can look between the steps. Its proof is
// a copy of every key inside the hold.
type pair struct {
	t      testing.TB
	cfg    [3]topology.Config
	client [3]*topology.Client
	store  [3]*control.Store
	serial int
}

func newPair(t testing.TB, source, target topology.Config) *pair {
	t.Helper()
	p := &pair{t: t, cfg: [3]topology.Config{protocol.Source: source, protocol.Target: target}}
	for _, s := range protocol.Sides {
		c, err := topology.Open(p.cfg[s])
		if err != nil {
			t.Fatal(err)
		}
		p.client[s], p.store[s] = c, control.New(c, "test", s)
		t.Cleanup(func() {
			p.store[s].Close()
			_ = c.Close()
		})
	}
	return p
}

// embeddedPair is a pair of servers inside the process.
func embeddedPair(t testing.TB) *pair {
	t.Helper()
	var cfg [2]topology.Config
	for i := range cfg {
		s, err := embedded.Start(nil)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = s.Close() })
		cfg[i] = s.Config()
	}
	return newPair(t, cfg[0], cfg[1])
}

// realPair is a pair of standalone servers.
func realPair(t testing.TB) *pair {
	t.Helper()
	a := redistest.Standalone(t, redistest.Options{Password: "one"})
	b := redistest.Standalone(t, redistest.Options{Password: "two"})
	return newPair(t, envConfig(t, a.Env("REDIS")), envConfig(t, b.Env("REDIS")))
}

func envConfig(t testing.TB, env map[string]string) topology.Config {
	t.Helper()
	cfg, err := topology.FromEnv("REDIS", redistest.Getenv(env))
	if err != nil {
		t.Fatal(err)
	}
	return cfg
}

var testWorkloads = []Workload{{Name: "low", Prefixes: []string{"low:"}}, {Name: "high", Prefixes: []string{"high:"}}}

// member opens a client, which ends with the test.
func (p *pair) member(change ...func(*Options)) *Client {
	p.t.Helper()
	o := Options{Name: "test", Source: p.cfg[protocol.Source], Target: p.cfg[protocol.Target], Workloads: testWorkloads, ShadowReads: -1}
	for _, f := range change {
		f(&o)
	}
	c, err := Open(p.t.Context(), o)
	if err != nil {
		p.t.Fatal(err)
	}
	p.t.Cleanup(func() {
		if err := c.Close(); err != nil {
			p.t.Errorf("close: %v", err)
		}
	})
	if err := c.Ready(p.t.Context()); err != nil {
		p.t.Fatal(err)
	}
	return c
}

func (p *pair) stamp(recs ...protocol.Record) protocol.Stamp {
	p.serial++
	s := protocol.Stamp{Writer: "test", Nonce: fmt.Sprintf("nonce-%d", p.serial)}
	for _, r := range recs {
		s.Epoch = max(s.Epoch, r.Epoch)
	}
	s.Epoch++
	return s
}

func (p *pair) record(s protocol.Side) protocol.Record {
	p.t.Helper()
	r, err := p.store[s].Read(p.t.Context(), false)
	if err != nil {
		p.t.Fatal(err)
	}
	return r.Record
}

// change makes one step on one side's record.
func (p *pair) change(s protocol.Side, step func(protocol.Record, protocol.Stamp) (protocol.Record, error)) {
	p.t.Helper()
	r, err := p.store[s].Read(p.t.Context(), false)
	if err != nil {
		p.t.Fatal(err)
	}
	next, err := step(r.Record, p.stamp(r.Record, p.record(s.Other())))
	if err != nil {
		p.t.Fatal(err)
	}
	if mv := next.Move; mv != nil && mv.Stage == protocol.Held {
		next.Move.RunID = r.RunID
	}
	got, err := p.store[s].Change(p.t.Context(), protocol.Change{Side: s, Old: r.Record, New: next}, "", control.Event{Who: "test"})
	if err != nil || !got.Record.Same(next) {
		p.t.Fatalf("change of the %v: got %+v, %v; want %+v", s, got.Record, err, next)
	}
}

// shadow begins a migration, and waits until the members hold both leases.
func (p *pair) shadow(members ...*Client) {
	p.t.Helper()
	names := newPlan(testWorkloads).names
	for _, s := range protocol.Sides {
		p.change(s, func(r protocol.Record, st protocol.Stamp) (protocol.Record, error) {
			return protocol.Begin(r, "test", s, Plan(testWorkloads), names, st)
		})
	}
	p.obeyed(members...)
}

// obeyed waits until members obey both records as they are now, under leases.
func (p *pair) obeyed(members ...*Client) {
	p.t.Helper()
	for i, c := range members {
		redistest.Eventually(p.t, 10*time.Second, func() error {
			for _, s := range protocol.Sides {
				want := p.record(s)
				if got := c.m.obeyed(s); !got.Same(want) {
					return fmt.Errorf("member %d obeys epoch %d of the %v; want %d", i, got.Epoch, s, want.Epoch)
				}
				if v := c.m.view.Load(); v.leased && v.pools[s] == nil {
					return fmt.Errorf("member %d has no lease on the %v", i, s)
				}
			}
			return nil
		})
	}
}

// A testMove is a move that is taken step by step.
type testMove struct {
	p    *pair
	from protocol.Side
	id   string
	goal map[string]int
}

// prepare begins a move of workloads to a percentage.
func (p *pair) prepare(from protocol.Side, percent map[string]int) *testMove {
	p.t.Helper()
	p.serial++
	mv := &testMove{p: p, from: from, id: fmt.Sprintf("move-%d", p.serial), goal: map[string]int{}}
	for w, n := range percent {
		mv.goal[w] = protocol.Cut(n)
	}
	m := protocol.Move{ID: mv.id, From: from, Goal: mv.goal, HoldMS: 10_000}
	p.change(from, func(r protocol.Record, st protocol.Stamp) (protocol.Record, error) { return r.Prepare(m, st) })
	return mv
}

// acked waits until everybody on the roll has acknowledged a stage.
func (mv *testMove) acked(stage protocol.Stage) {
	mv.p.t.Helper()
	redistest.Eventually(mv.p.t, 15*time.Second, func() error {
		roll, err := mv.p.store[mv.from].Roll(mv.p.t.Context())
		if err != nil {
			return err
		}
		for _, e := range roll {
			if e.Ack != (protocol.Ack{Move: mv.id, Stage: stage}) {
				return fmt.Errorf("%s has acknowledged %+v; want %v of %s (%s)", e.ID, e.Ack, stage, mv.id, e.Note)
			}
		}
		if len(roll) == 0 {
			return errors.New("the roll is empty")
		}
		return nil
	})
}

func (mv *testMove) hold() {
	mv.p.t.Helper()
	mv.acked(protocol.Prepared)
	mv.p.change(mv.from, func(r protocol.Record, st protocol.Stamp) (protocol.Record, error) { return r.Hold(mv.id, "", st) })
	mv.acked(protocol.Held)
}

func (mv *testMove) abort() {
	mv.p.t.Helper()
	mv.p.change(mv.from, func(r protocol.Record, st protocol.Stamp) (protocol.Record, error) { return r.Abort(mv.id, st) })
}

// flip commits and grants what is held, after making both sides equal.
func (mv *testMove) flip() {
	mv.p.t.Helper()
	p, to := mv.p, mv.from.Other()
	mv.copyAll()
	held := p.record(mv.from).Move
	p.change(to, func(r protocol.Record, st protocol.Stamp) (protocol.Record, error) { return r.Offer(*held, st) })
	p.change(mv.from, func(r protocol.Record, st protocol.Stamp) (protocol.Record, error) { return r.Commit(mv.id, st) })
	mv.acked(protocol.Committed)
	redistest.Eventually(p.t, 5*time.Second, func() error { // members grant too, once all have acknowledged
		r, err := p.store[to].Read(p.t.Context(), false)
		if err != nil || r.Record.At(mv.id, protocol.Granted) {
			return err
		}
		next, err := r.Record.Grant(p.record(mv.from), p.stamp(r.Record, p.record(mv.from)))
		if err != nil {
			return err
		}
		_, err = p.store[to].Change(p.t.Context(), protocol.Change{Side: to, Old: r.Record, New: next}, "", control.Event{Who: "test"})
		if err != nil {
			return err
		}
		return errors.New("granting")
	})
}

// copyAll makes the taking side equal in all that moves.
func (mv *testMove) copyAll() {
	mv.p.t.Helper()
	plan := newPlan(testWorkloads)
	rec := mv.p.record(mv.from)
	var moving []string
	seen := map[string]bool{}
	for _, s := range protocol.Sides {
		for _, key := range mv.p.keys(s) {
			u := plan.unit(key)
			if !seen[key] && rec.Moving(plan.names[u.workload], int(u.slot)) {
				moving = append(moving, key)
			}
			seen[key] = true
		}
	}
	if len(moving) == 0 {
		return
	}
	if _, err := keysync.Sync(mv.p.t.Context(), mv.p.side(mv.from), mv.p.side(mv.from.Other()), moving, keysync.Options{}); err != nil {
		mv.p.t.Fatal(err)
	}
}

func (p *pair) side(s protocol.Side) *keysync.Side {
	if p.cfg[s].Mode == topology.Cluster {
		return keysync.NewClusterSide(p.client[s])
	}
	return keysync.NewSide(p.client[s])
}

// keys are the app's keys that a side has.
func (p *pair) keys(s protocol.Side) []string {
	p.t.Helper()
	nodes, err := masters(p.t.Context(), p.client[s])
	if err != nil {
		p.t.Fatal(err)
	}
	var all []string
	for _, node := range nodes {
		it := node.Scan(p.t.Context(), 0, "*", 1000).Iterator()
		for it.Next(p.t.Context()) {
			if !strings.HasPrefix(it.Val(), control.Reserved) {
				all = append(all, it.Val())
			}
		}
		if it.Err() != nil {
			p.t.Fatal(it.Err())
		}
	}
	return all
}

// move takes workloads to a percentage.
func (p *pair) move(from protocol.Side, percent map[string]int, members ...*Client) {
	p.t.Helper()
	mv := p.prepare(from, percent)
	mv.hold()
	mv.flip()
	p.obeyed(members...)
}

// everything is the percentage for every workload.
func everything(percent int) map[string]int {
	return map[string]int{"other": percent, "low": percent, "high": percent}
}

// finish ends the migration on both sides.
func (p *pair) finish(members ...*Client) {
	p.t.Helper()
	for _, s := range protocol.Sides {
		p.change(s, func(r protocol.Record, st protocol.Stamp) (protocol.Record, error) { return r.Finish(st) })
	}
	for i, c := range members {
		redistest.Eventually(p.t, 10*time.Second, func() error {
			if got := c.m.view.Load().phase; got != protocol.Done {
				return fmt.Errorf("member %d is in phase %v", i, got)
			}
			return nil
		})
	}
}

// get reads a key on one side, past the members. A missing key is "".
func (p *pair) get(s protocol.Side, key string) string {
	p.t.Helper()
	v, err := p.client[s].Get(p.t.Context(), key).Result()
	if err != nil && !errors.Is(err, redis.Nil) {
		p.t.Fatal(err)
	}
	return v
}

// mirrored waits until both sides have the same string.
func (p *pair) mirrored(key, want string) {
	p.t.Helper()
	redistest.Eventually(p.t, 5*time.Second, func() error {
		for _, s := range protocol.Sides {
			if got := p.get(s, key); got != want {
				return fmt.Errorf("%s on the %v: got %q; want %q", key, s, got, want)
			}
		}
		return nil
	})
}

// keyBelow makes a key of a prefix whose slot lies below the cut of a percentage
// or, if not below, at or above it.
func keyBelow(prefix string, percent int, below bool, n int) string {
	plan := newPlan(testWorkloads)
	for i := 0; ; i++ {
		key := fmt.Sprintf("%s%d", prefix, i)
		if (int(plan.unit(key).slot) < protocol.Cut(percent)) == below {
			if n--; n < 0 {
				return key
			}
		}
	}
}

func within(t testing.TB, d time.Duration) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), d)
	t.Cleanup(cancel)
	return ctx
}

// lookup returns what the router knows of a call.
func lookup(t testing.TB, args ...any) (*command.Command, []string, []any) {
	t.Helper()
	k, ok := command.Lookup(args)
	if !ok {
		t.Fatalf("%v is not in the table", args)
	}
	keys, err := k.AppendKeys(nil, args)
	if err != nil {
		t.Fatal(err)
	}
	return k, keys, args
}
