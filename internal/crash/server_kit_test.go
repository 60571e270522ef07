package crash

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/transload/transload/internal/protocol"
	"github.com/transload/transload/internal/redisproc"
	"github.com/transload/transload/internal/redistest"
	"github.com/transload/transload/migrate/coordinator"
)

// hasty makes sentinels quick: how long an outage lasts is not what is asked here.
var hasty = redistest.Options{Hasty: true}

// kept makes a server keep its data over a kill: every write that it acknowledged
// was handed to the kernel before.
var kept = redistest.Options{Args: []string{"--appendonly", "yes"}}

// patient bounds a hold in rows that must come to a later step of it.
const patient = 8 * time.Second

// members is how many processes of the app a row has.
func members() int {
	if isLong() {
		return 3
	}
	return 2
}

// moving makes a migration whose app works, in shadow, with the sides equal.
func moving(t *testing.T, source, target *place) *migration {
	t.Helper()
	m := begin(t, source, target)
	m.seed(protocol.Source, 50)
	m.app(members() - 1)
	m.shadow()
	m.work(10, within)
	return m
}

// killLevel kills the primary of a set when its replicas have all that it has
// acknowledged. What Redis itself loses in a failover is nothing then, and every
// write that is missing afterwards was lost by the migration.
func (p *place) killLevel(t *testing.T) *redisproc.Server {
	t.Helper()
	old := p.primary(t.Context())
	conn := redistest.Conn(t, old)
	for _, cmd := range [][]string{
		{"CLIENT", "PAUSE", "10000", "WRITE"}, // what comes from now on is not acknowledged
		{"PING"},                              // WAIT covers what was written before this connection's last command
		{"WAIT", fmt.Sprint(len(p.set.Nodes) - 1), "5000"},
	} {
		got, err := conn.Do(t.Context(), cmd...)
		if err != nil {
			t.Fatal(err)
		}
		if n, ok := got.(int64); ok && n < int64(len(p.set.Nodes)-1) {
			t.Fatalf("%d replicas have what was acknowledged; want all %d", n, len(p.set.Nodes)-1)
		}
	}
	if err := old.Kill(); err != nil {
		t.Fatal(err)
	}
	return old
}

// recover waits until another server is the primary, starts the old one again, and
// waits until it follows: a missing replica is a gate.
func (p *place) recover(t *testing.T, old *redisproc.Server) {
	t.Helper()
	seldom(t, within, func() error {
		for _, n := range p.set.Primaries(t.Context()) {
			if n != old {
				return nil
			}
		}
		return errors.New("no replica was promoted")
	})
	restart(t, old)
	seldom(t, within, func() error {
		now := p.primary(t.Context())
		if now == nil || now == old {
			return errors.New("the old primary is not a replica yet")
		}
		info := fmt.Sprint(redistest.Do(t, now, "INFO", "replication"))
		if n := strings.Count(info, "state=online"); n < len(p.set.Nodes)-1 {
			return fmt.Errorf("%d replicas are online", n)
		}
		return nil
	})
}

// seldom is redistest.Eventually for what costs much to ask, when many ask.
func seldom(t *testing.T, limit time.Duration, f func() error) {
	t.Helper()
	redistest.Eventually(t, limit, func() error {
		err := f()
		if err != nil {
			time.Sleep(100 * time.Millisecond)
		}
		return err
	})
}

func restart(t *testing.T, s *redisproc.Server) {
	t.Helper()
	if err := s.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// freeze stops a server for a while, and returns when it goes on.
func freeze(t *testing.T, s *redisproc.Server, d time.Duration) {
	t.Helper()
	if err := s.Freeze(); err != nil {
		t.Error(err)
		return
	}
	time.Sleep(d)
	if err := s.Thaw(); err != nil {
		t.Error(err)
	}
}

// told waits until `migrate status` is such, and returns it.
func (m *migration) told(what string, is func(coordinator.Status) bool) (st coordinator.Status) {
	m.t.Helper()
	c := m.operator()
	seldom(m.t, within, func() (err error) {
		if st, err = c.Status(m.t.Context()); err == nil && !is(st) {
			err = fmt.Errorf("status: %v, blockers %q, waits for %q, dirty %d; want %s", st.Phase, st.Blockers, st.WaitsFor, st.Dirty, what)
		}
		return err
	})
	return st
}

// blocked reports whether a status names something that keeps the migration from
// going on, in these words.
func blocked(words string) func(coordinator.Status) bool {
	return func(st coordinator.Status) bool { return strings.Contains(strings.Join(st.Blockers, "\n"), words) }
}

// healed reports whether a status shows nothing that is still to be made good.
func healed(st coordinator.Status) bool {
	return len(st.Blockers) == 0 && st.Sync.Done && st.Dirty < 256
}

// refused returns the refusal that a verb was met with.
func refused(t *testing.T, err error) *coordinator.Refusal {
	t.Helper()
	r, ok := errors.AsType[*coordinator.Refusal](err)
	if !ok || r.Next == "" {
		t.Fatalf("got %v; want a refusal with the next step", err)
	}
	return r
}

// sideError wants an error that tells what to do about a side, in these words, and
// no password.
func sideError(t *testing.T, err error, words string) {
	t.Helper()
	e, ok := errors.AsType[*coordinator.SideError](err)
	if !ok || !strings.Contains(e.Next, words) || strings.Contains(err.Error(), secret) {
		t.Fatalf("got %v; want an error whose next step is about %q, and no secret", err, words)
	}
}

// secret is the password of rows that have one.
const secret = "correct-horse"
