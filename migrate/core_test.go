package migrate

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/transload/transload/internal/control"
	"github.com/transload/transload/internal/protocol"
	"github.com/transload/transload/internal/redisproc"
	"github.com/transload/transload/internal/redistest"
	"github.com/transload/transload/topology"
)

// A rig is two sides whose records a test moves by hand, as a coordinator would.
type rig struct {
	t     *testing.T
	cfg   [3]topology.Config
	ctl   [3]*topology.Client
	store [3]*control.Store
	rec   [3]protocol.Record
	run   [3]string
	epoch uint64

	goodbye map[*member]func()
}

func newRig(t *testing.T, source, target topology.Config) *rig {
	t.Helper()
	r := &rig{t: t, goodbye: map[*member]func(){}}
	for s, cfg := range map[protocol.Side]topology.Config{protocol.Source: source, protocol.Target: target} {
		ctl, err := topology.Open(cfg, topology.WithoutRetries())
		if err != nil {
			t.Fatal(err)
		}
		r.cfg[s], r.ctl[s], r.store[s] = cfg, ctl, control.New(ctl, "test", s)
		t.Cleanup(func() {
			r.store[s].Close()
			_ = ctl.Close()
		})
	}
	return r
}

// config returns the settings of a server or a set.
func config(t *testing.T, s interface {
	Env(string) map[string]string
}) topology.Config {
	t.Helper()
	cfg, err := topology.FromEnv("R", redistest.Getenv(s.Env("R")))
	if err != nil {
		t.Fatal(err)
	}
	return cfg
}

// twoServers starts two standalone servers, with the rig of both.
func twoServers(t *testing.T) (r *rig, source, target *redisproc.Server) {
	t.Helper()
	source = redistest.Standalone(t, redistest.Options{})
	target = redistest.Standalone(t, redistest.Options{})
	return newRig(t, config(t, source), config(t, target)), source, target
}

// options are those of a rig's members.
func (r *rig) options() Options {
	return Options{Name: "test", Source: r.cfg[protocol.Source], Target: r.cfg[protocol.Target], ShadowReads: -1}
}

// member starts a member, which is closed with the test.
func (r *rig) member(o Options) *member {
	r.t.Helper()
	o, err := o.withDefaults()
	if err != nil {
		r.t.Fatal(err)
	}
	m, err := newMember(o)
	if err != nil {
		r.t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.WithoutCancel(r.t.Context()))
	m.run(ctx)
	r.goodbye[m] = sync.OnceFunc(func() {
		stop()
		m.stop(r.t)
	})
	r.t.Cleanup(r.goodbye[m])
	return m
}

// stop closes a member within a bound; its context must be done.
func (m *member) stop(t *testing.T) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), 10*time.Second)
	defer cancel()
	m.close(ctx)
}

func (r *rig) stamp() protocol.Stamp {
	r.epoch++
	return protocol.Stamp{Epoch: r.epoch, Writer: "rig", Nonce: "n" + strconv.FormatUint(r.epoch, 10)}
}

// write makes a change, which must be won.
func (r *rig) write(s protocol.Side, next protocol.Record, err error) {
	r.t.Helper()
	if err != nil {
		r.t.Fatal(err)
	}
	got, err := r.store[s].Change(r.t.Context(), protocol.Change{Side: s, Old: r.rec[s], New: next}, "", control.Event{Who: "rig", What: "test"})
	if err != nil {
		r.t.Fatal(err)
	}
	if !got.Record.Same(next) {
		r.t.Fatalf("change of the %v was lost: got %+v", s, got.Record)
	}
	r.rec[s], r.run[s] = got.Record, got.RunID
}

// read takes the records as they are: somebody else has changed them.
func (r *rig) read() {
	r.t.Helper()
	for _, s := range protocol.Sides {
		var got control.Reading
		redistest.Eventually(r.t, 10*time.Second, func() (err error) { // after a failover the first try finds that out
			got, err = r.store[s].Read(r.t.Context(), false)
			return err
		})
		r.rec[s], r.run[s] = got.Record, got.RunID
		r.epoch = max(r.epoch, got.Record.Epoch)
	}
}

// begin takes both sides to shadow.
func (r *rig) begin() {
	r.t.Helper()
	names := newPlan(DefaultWorkloads()).names
	for _, s := range protocol.Sides {
		next, err := protocol.Begin(r.rec[s], "test", s, Plan(DefaultWorkloads()), names, r.stamp())
		r.write(s, next, err)
	}
}

// prepare begins a move of every workload to a percentage.
func (r *rig) prepare(id string, from protocol.Side, percent int, hold time.Duration) {
	r.t.Helper()
	mv := protocol.Move{ID: id, From: from, Goal: map[string]int{}, HoldMS: hold.Milliseconds()}
	for _, w := range newPlan(DefaultWorkloads()).names {
		mv.Goal[w] = protocol.Cut(percent)
	}
	next, err := r.rec[from].Prepare(mv, r.stamp())
	r.write(from, next, err)
}

func (r *rig) hold(from protocol.Side) {
	r.t.Helper()
	next, err := r.rec[from].Hold(r.rec[from].Move.ID, r.run[from], r.stamp())
	r.write(from, next, err)
}

func (r *rig) offer(from protocol.Side) {
	r.t.Helper()
	next, err := r.rec[from.Other()].Offer(*r.rec[from].Move, r.stamp())
	r.write(from.Other(), next, err)
}

func (r *rig) commit(from protocol.Side) {
	r.t.Helper()
	next, err := r.rec[from].Commit(r.rec[from].Move.ID, r.stamp())
	r.write(from, next, err)
}

func (r *rig) grant(from protocol.Side) {
	r.t.Helper()
	next, err := r.rec[from.Other()].Grant(r.rec[from], r.stamp())
	r.write(from.Other(), next, err)
}

// move carries out a whole move, with every acknowledgement but no proof: the
// test has seen to it that both sides are equal.
func (r *rig) move(id string, from protocol.Side, percent int) {
	r.t.Helper()
	r.prepare(id, from, percent, 5*time.Second)
	r.acked(from, id, protocol.Prepared)
	r.hold(from)
	r.acked(from, id, protocol.Held)
	r.offer(from)
	r.commit(from)
	r.acked(from, id, protocol.Committed)
	r.grant(from)
}

// acked waits until everybody on the roll has acknowledged a stage.
func (r *rig) acked(from protocol.Side, id string, stage protocol.Stage) {
	r.t.Helper()
	redistest.Eventually(r.t, 10*time.Second, func() error {
		roll, err := r.store[from].Roll(r.t.Context())
		if err != nil {
			return err
		}
		for _, e := range roll {
			if e.Ack != (protocol.Ack{Move: id, Stage: stage}) {
				return fmt.Errorf("%s has acknowledged %+v, not %s of %s (%s)", e.ID, e.Ack, stage, id, e.Note)
			}
		}
		return nil
	})
}

// reaches waits until a member's view is in a phase.
func (m *member) reaches(t *testing.T, p protocol.Phase) {
	t.Helper()
	redistest.Eventually(t, 10*time.Second, func() error {
		v := m.view.Load()
		if v.phase != p {
			return fmt.Errorf("phase %v; want %v (%s)", v.phase, p, m.waitsFor())
		}
		return nil
	})
}

// ready waits until a member holds both leases.
func (m *member) ready(t *testing.T) {
	t.Helper()
	redistest.Eventually(t, 10*time.Second, func() error {
		m.mu.Lock()
		defer m.mu.Unlock()
		if !m.proto.Ready(m.now()) {
			return errors.New("not both leases")
		}
		return nil
	})
}

// run carries out one command as the front does, without retries of errors.
func (m *member) do(ctx context.Context, write bool, args ...any) (*redis.Cmd, error) {
	key := args[1].(string)
	units := []unit{m.plan.unit(key)}
	for {
		p, err := m.enter(ctx, units, write)
		if err != nil {
			return nil, err
		}
		cmd := redis.NewCmd(ctx, args...)
		err = p.pool.client.Process(ctx, cmd)
		v := m.leave(p, units)
		if errors.Is(err, errStale) || errors.Is(err, redis.ErrClosed) || v == again {
			continue // never sent, or a read: admitted anew
		}
		if v == unknown {
			return cmd, ErrUnknownOutcome
		}
		if write && err == nil {
			m.mirror.mark(p.view, key)
		}
		return cmd, err
	}
}

func (m *member) set(ctx context.Context, key, value string) error {
	_, err := m.do(ctx, true, "set", key, value)
	return err
}

func (m *member) get(ctx context.Context, key string) (string, error) {
	cmd, err := m.do(ctx, false, "get", key)
	if err != nil {
		return "", err
	}
	return cmd.Text()
}

// holds waits until a key has a value on a server; "" stands for none.
func holds(t *testing.T, s *redisproc.Server, key, want string) {
	t.Helper()
	redistest.Eventually(t, 10*time.Second, func() error {
		got, _ := redistest.Do(t, s, "GET", key).(string)
		if got != want {
			return fmt.Errorf("%s is %q; want %q", key, got, want)
		}
		return nil
	})
}
