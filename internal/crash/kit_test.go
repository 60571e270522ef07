package crash

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/transload/transload/internal/load"
	"github.com/transload/transload/internal/protocol"
	"github.com/transload/transload/internal/redistest"
	"github.com/transload/transload/migrate"
	"github.com/transload/transload/migrate/coordinator"
	"github.com/transload/transload/topology"
)

// within is how long anything may take on a busy machine.
const within = 90 * time.Second

// mostResent bounds what may be there twice when a server was killed: what three
// workers a member had under way, pipelines among it, a few times each.
const mostResent = 50

// A migration is what a row is played on: two sides, and the app's processes.
type migration struct {
	t       *testing.T
	places  map[protocol.Side]*place
	env     map[string]string // as members have it
	members []*member
	ended   []*member // by a row, in good order or not
	resent  bool      // the server of authority was killed: what had no reply was sent again, as go-redis does, and may be doubled
}

// begin makes a migration, without members.
func begin(t *testing.T, source, target *place) *migration {
	t.Helper()
	m := &migration{t: t, places: map[protocol.Side]*place{protocol.Source: source, protocol.Target: target}}
	// A member on a busy machine must not take a slow answer for none.
	m.env = redistest.Merge(source.env("REDIS"), target.env("REDIS_TARGET"), map[string]string{"REDIS_READ_TIMEOUT": "5s", "REDIS_TARGET_READ_TIMEOUT": "5s"})
	return m
}

// app starts members under load.
func (m *migration) app(n int) {
	m.t.Helper()
	for range n {
		m.join(busy(), nil)
	}
}

// join starts one more member, with so many operations a second; env may lead it
// other ways.
func (m *migration) join(rate int, env map[string]string) *member {
	m.t.Helper()
	one := startMember(m.t, fmt.Sprintf("m%d", len(m.members)+len(m.ended)), rate, m.env, env)
	m.members = append(m.members, one)
	return one
}

// leave takes a member that has ended, or will, off those that must work. Its
// journal still counts.
func (m *migration) leave(one *member) {
	m.members = slices.DeleteFunc(m.members, func(x *member) bool { return x == one })
	m.ended = append(m.ended, one)
}

// operator opens a coordinator in this process: for verbs that nobody attacks.
func (m *migration) operator(change ...func(*coordinator.Options)) *coordinator.Coordinator {
	m.t.Helper()
	o := options(0)
	o.Source, o.Target = config(m.t, m.env, protocol.Source), config(m.t, m.env, protocol.Target)
	o.Logger = slog.New(slog.NewTextHandler(writer{m.t}, &slog.HandlerOptions{Level: slog.LevelWarn})).With("who", "operator")
	for _, f := range change {
		f(&o)
	}
	c, err := coordinator.Open(o)
	if err != nil {
		m.t.Fatal(err)
	}
	m.t.Cleanup(func() { _ = c.Close() })
	return c
}

type writer struct{ t *testing.T }

func (w writer) Write(b []byte) (int, error) {
	logLine(w.t, string(b[:len(b)-1]))
	return len(b), nil
}

// shadow runs `migrate shadow` in this process, returns once the sides are equal,
// and begins it again if it ends, as an operator would, until stop is called or
// the test ends.
func (m *migration) shadow(change ...func(*coordinator.Options)) (stop func()) {
	m.t.Helper()
	equal := make(chan struct{}, 1)
	c := m.operator(append(change, func(o *coordinator.Options) {
		o.Progress = func(p coordinator.Progress) {
			if p.Equal {
				select {
				case equal <- struct{}{}:
				default:
				}
			}
		}
	})...)
	ctx, cancel := context.WithCancel(context.WithoutCancel(m.t.Context()))
	var wg sync.WaitGroup
	wg.Go(func() {
		for ctx.Err() == nil {
			err := c.Shadow(ctx)
			logLine(m.t, fmt.Sprintf("shadow ended: %v", err))
			if err == nil {
				return // the migration is over
			}
		}
	})
	stop = sync.OnceFunc(func() { cancel(); wg.Wait() })
	m.t.Cleanup(stop)
	select {
	case <-equal:
	case <-time.After(within):
		m.t.Fatalf("the sides were not equal within %v", within)
	}
	return stop
}

// cutover moves authority, as an operator would: a move that is given up is said
// again, and a gate that is shut for the moment is waited for.
func (m *migration) cutover(c *coordinator.Coordinator, to ...int) {
	m.t.Helper()
	m.again("cutover", func() error {
		res, err := c.Cutover(m.t.Context(), coordinator.CutoverRequest{To: to})
		m.t.Logf("cutover to %v: %+v, %v", to, res.Moves, err)
		return err
	})
}

func (m *migration) rollback(c *coordinator.Coordinator) {
	m.t.Helper()
	m.again("rollback", func() error {
		res, err := c.Rollback(m.t.Context(), coordinator.RollbackRequest{})
		m.t.Logf("rollback: %+v, %v", res.Moves, err)
		return err
	})
}

func (m *migration) again(verb string, move func() error) {
	m.t.Helper()
	deadline := time.Now().Add(within)
	for {
		err := move()
		if err == nil {
			return
		}
		if _, refused := errors.AsType[*coordinator.Refusal](err); !refused && !errors.Is(err, coordinator.ErrAborted) || time.Now().After(deadline) {
			m.t.Fatalf("%s: %v", verb, err)
		}
		time.Sleep(200 * time.Millisecond)
	}
}

// status is what `migrate status` tells.
func (m *migration) status(c *coordinator.Coordinator) coordinator.Status {
	m.t.Helper()
	st, err := c.Status(m.t.Context())
	if err != nil {
		m.t.Fatal(err)
	}
	return st
}

// record reads the control record of one side past everybody.
func record(ctx context.Context, c redis.Cmdable) protocol.Record {
	text, _ := c.Get(ctx, "transload:{default}:control").Result()
	rec, _ := protocol.Decode(text)
	return rec
}

// work waits until every member has had so many more writes acknowledged.
func (m *migration) work(writes int, limit time.Duration) {
	m.t.Helper()
	from := map[*member]int{}
	for _, one := range m.members {
		from[one] = one.acked()
	}
	redistest.Eventually(m.t, limit, func() error {
		for one, n := range from {
			if n = one.acked() - n; n < writes {
				return fmt.Errorf("%s had %d writes acknowledged; want %d", one.who, n, writes)
			}
		}
		return nil
	})
}

// verdict ends the app and judges it by all journals, held against the side that
// has the authority now. What the app was shown is for unhurt.
func (m *migration) verdict() load.Verdict {
	m.t.Helper()
	for _, one := range m.members {
		if err := one.end(); err != nil {
			m.t.Errorf("%s: %v", one.who, err)
		}
	}
	var journals []*load.Journal
	for _, one := range slices.Concat(m.members, m.ended) {
		journals = append(journals, one.read())
	}
	v, err := load.Check(m.t.Context(), m.authority(), journals...)
	if err != nil {
		m.t.Fatal(err)
	}
	m.t.Logf("verdict: %+v", v)
	judged := v
	if m.resent && v.Doubled <= mostResent {
		judged.Doubled = 0
	}
	if !judged.OK() || v.Acknowledged == 0 {
		m.t.Errorf("got verdict %+v; want nothing lost", v)
	}
	return v
}

// authority returns a plain client of the side that answers for all keys. Where
// both have some, it is a member.
func (m *migration) authority() redis.UniversalClient {
	m.t.Helper()
	st := m.status(m.operator())
	if st.Moving != nil {
		m.t.Fatalf("a move is under way: %+v", st.Moving)
	}
	switch st.Phase {
	case protocol.Off, protocol.Shadow:
		return m.plain(protocol.Source)
	case protocol.Soak, protocol.Done:
		return m.plain(protocol.Target)
	}
	c, err := migrate.Open(m.t.Context(), migrate.Options{Source: config(m.t, m.env, protocol.Source), Target: config(m.t, m.env, protocol.Target)})
	if err != nil {
		m.t.Fatal(err)
	}
	m.t.Cleanup(func() { _ = c.Close() })
	return c
}

// plain returns a client of one side that knows nothing of the migration.
func (m *migration) plain(s protocol.Side) *topology.Client {
	m.t.Helper()
	return open(m.t, config(m.t, m.env, s))
}

// unhurt fails the test if the app was shown an error.
func unhurt(t *testing.T, v load.Verdict) {
	t.Helper()
	if len(v.Errors) > 0 {
		t.Errorf("the app was shown %v; want no error", v.Errors)
	}
}

// unhurt does so for some members alone.
func (m *migration) unhurt(list ...*member) {
	m.t.Helper()
	for _, one := range list {
		if j := one.read(); len(j.Errors) > 0 {
			m.t.Errorf("the app of %s was shown %v; want no error", one.who, j.Errors)
		}
	}
}

// leftEqual fails the test if the sides differ while nobody shadows: what came late
// to either of them shows. Keys that a script writes without declaring them are
// left to who shadows.
func (m *migration) leftEqual() {
	m.t.Helper()
	rep, err := m.operator().Verify(m.t.Context(), coordinator.VerifyRequest{})
	if err != nil && !errors.Is(err, coordinator.ErrDiffer) {
		m.t.Fatal(err)
	}
	if delete(rep.Workloads, "pubsub"); len(rep.Workloads) > 0 {
		m.t.Errorf("got %+v; want no difference", rep)
	}
}

// seed writes keys of every type to a side.
func (m *migration) seed(s protocol.Side, n int) {
	m.t.Helper()
	c, err := topology.Open(config(m.t, m.env, s))
	if err != nil {
		m.t.Fatal(err)
	}
	defer c.Close() // a writer that stays connected shuts a gate
	p := c.Pipeline()
	for i := range n {
		p.Set(m.t.Context(), fmt.Sprintf("sess:{%d}", i), fmt.Sprint("value ", i), time.Hour)
		p.HSet(m.t.Context(), fmt.Sprintf("h:%d", i), "a", i, "b", "x")
		p.RPush(m.t.Context(), fmt.Sprintf("l:%d", i), 1, 2, i)
		p.ZAdd(m.t.Context(), fmt.Sprintf("rl:z:%d", i), redis.Z{Score: float64(i), Member: "m"})
		p.XAdd(m.t.Context(), &redis.XAddArgs{Stream: fmt.Sprintf("live:{%d}:x", i), Values: []any{"a", i}})
	}
	if _, err := p.Exec(m.t.Context()); err != nil {
		m.t.Fatal(err)
	}
}
