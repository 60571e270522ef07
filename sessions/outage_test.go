package sessions

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	miniserver "github.com/alicebob/miniredis/v2/server"
	"github.com/redis/go-redis/v9"

	"github.com/transload/transload/internal/redistest"
)

// A second process of the app: the same server and keys, another memory.
func another(t *testing.T, m *Manager, s *miniredis.Miniredis) *Manager {
	t.Helper()
	o := m.opt
	o.Logger = nil
	return managerOn(t, miniClient(t, s), o)
}

func TestOutageIsNeverAnonymous(t *testing.T) {
	m, s := mini(t) // without envelopes
	fresh := another(t, m, s)
	b := newBrowser(t)
	b.login(m, "alice", cart{[]string{"pallet"}})
	nobody := newBrowser(t)
	s.Close()

	session := b.is(m, Degraded, "alice")
	if items(t, session) != "pallet" {
		t.Errorf("got %s; want the values that were seen", session.Data)
	}
	if err := m.Save(t.Context(), session, cart{}); !errors.Is(err, ErrUnavailable) {
		t.Errorf("save: got %v; want ErrUnavailable", err)
	}
	before := b.Cookies["__Host-sid"].Value
	a := b.visit(fresh) // one that has never seen the session
	if a.status != http.StatusServiceUnavailable || a.header["Set-Cookie"] != nil || a.header.Get("Retry-After") == "" {
		t.Errorf("got %d, %v; want 503, when to try again, and the cookie left alone", a.status, a.header)
	}
	if b.Cookies["__Host-sid"].Value != before {
		t.Error("the cookie was changed")
	}
	nobody.is(m, Anonymous, "") // who brings no id is nobody, Redis or not
	nobody.with(func(w http.ResponseWriter, r *http.Request) {
		if _, err := m.Start(w, r, "bob", nil); !errors.Is(err, ErrUnavailable) || len(w.Header()["Set-Cookie"]) != 0 {
			t.Errorf("login: got %v, %v; want ErrUnavailable and no cookie", err, w.Header())
		}
	})
	if _, err := b.rotate(m); !errors.Is(err, ErrUnavailable) {
		t.Errorf("rotate: got %v; want ErrUnavailable", err)
	}
	for name, f := range map[string]func() error{
		"list":   func() error { _, err := m.List(t.Context(), "alice"); return err },
		"reload": func() error { _, err := m.Reload(t.Context(), session); return err },
		"probe":  func() error { return m.Probe(t.Context()) },
	} {
		if err := f(); !errors.Is(err, ErrUnavailable) {
			t.Errorf("%s: got %v; want ErrUnavailable", name, err)
		}
	}
	if err := s.Restart(); err != nil {
		t.Fatal(err)
	}
	redistest.Eventually(t, within, func() error {
		if a := b.visit(fresh); a.state != Live {
			return fmt.Errorf("got %v; want Live", a.state)
		}
		return nil
	})
}

func TestOutageEndsInTime(t *testing.T) {
	m, s := mini(t, withKeys)
	fresh := another(t, m, s)
	b := newBrowser(t)
	id := b.login(m, "alice", cart{}).id
	s.Close()
	b.is(m, Degraded, "alice")
	b.is(fresh, Degraded, "alice")

	rec, _ := m.memory.recall(id)
	old := time.Now().Add(-m.opt.Outage)
	m.memory.keep(id, rec, old, false)
	b.Cookies["__Host-sid.e"].Value = m.envelope(id, rec, old)
	for name, m := range map[string]*Manager{"memory": m, "envelope": fresh} {
		if a := b.visit(m); a.status != http.StatusServiceUnavailable {
			t.Errorf("%s of before: got %d, %v; want 503", name, a.status, a.state)
		}
	}
}

// A logout that Redis could not be told of holds in this process, and is told later.
func TestLogoutInOutage(t *testing.T) {
	m, s := mini(t, withKeys)
	b, device := newBrowser(t), newBrowser(t)
	b.login(m, "alice", cart{})
	device.login(m, "alice", cart{})
	thief, second := b.clone(), device.clone()
	s.Close()
	if _, err := b.logout(m); !errors.Is(err, ErrUnavailable) || len(b.Cookies) != 0 {
		t.Errorf("got %v, cookies %v; want ErrUnavailable and none", err, b.Cookies)
	}
	thief.is(m, Anonymous, "")
	second.is(m, Degraded, "alice")
	if _, err := m.RevokeUser(t.Context(), "alice"); !errors.Is(err, ErrUnavailable) {
		t.Errorf("revoke all: got %v; want ErrUnavailable", err)
	}
	second.is(m, Anonymous, "")
	if err := s.Restart(); err != nil {
		t.Fatal(err)
	}
	redistest.Eventually(t, within, func() error {
		if n := m.queue.n.Load(); n != 0 {
			return fmt.Errorf("%d revocations wait", n)
		}
		return nil
	})
	fresh := another(t, m, s)
	thief.is(fresh, Anonymous, "")
	second.is(fresh, Anonymous, "")
}

func TestCloseTellsWhatIsLost(t *testing.T) {
	m, s := mini(t)
	b := newBrowser(t)
	b.login(m, "alice", cart{})
	s.Close()
	_, _ = b.logout(m)
	for range 2 {
		if err := m.Close(); !errors.Is(err, ErrUnavailable) {
			t.Errorf("got %v; want ErrUnavailable", err)
		}
	}
}

// A server that answers nonsense gives no answer.
func TestNonsense(t *testing.T) {
	m, s := mini(t)
	b := newBrowser(t)
	id := b.login(m, "alice", cart{}).id
	m.memory.forget(id)
	s.HSet(id.key(), "v", "many")
	if a := b.visit(m); a.status != http.StatusServiceUnavailable {
		t.Errorf("got %d, %v; want 503", a.status, a.state)
	}
	s.Del(id.key())
	_ = s.Set(id.key(), "a string")
	if a := b.visit(m); a.status != http.StatusServiceUnavailable {
		t.Errorf("of another type: got %d, %v; want 503", a.status, a.state)
	}
	scs := m.SCS()
	of, _ := scs.id("token")
	_ = s.Set(scsKey(of), "short")
	if _, _, err := scs.FindCtx(t.Context(), "token"); !errors.Is(err, ErrUnavailable) {
		t.Errorf("scs: got %v; want ErrUnavailable", err)
	}
}

// A client whose reads no deadline ends is left behind at the budget, and the breaker
// keeps the next callers from waiting.
func TestBudget(t *testing.T) {
	for name, heeds := range map[string]bool{"deadlines end reads": true, "they do not": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := miniredis.RunT(t)
			c := redis.NewClient(&redis.Options{Addr: s.Addr(), ContextTimeoutEnabled: heeds, ReadTimeout: 3 * time.Second, MaxRetries: -1, DisableIdentity: true})
			t.Cleanup(func() { _ = c.Close() })
			m := managerOn(t, c, Options{Budget: 100 * time.Millisecond})
			b := newBrowser(t)
			patiently := managerOn(t, miniClient(t, s), patient())
			b.login(patiently, "alice", cart{})
			gate := make(chan struct{})
			t.Cleanup(func() { close(gate) })
			s.Server().SetPreHook(hang(gate))
			began := time.Now()
			for range 10 {
				if a := b.visit(m); a.status != http.StatusServiceUnavailable {
					t.Fatalf("got %d; want 503", a.status)
				}
			}
			if took := time.Since(began); took > 2900*time.Millisecond {
				t.Errorf("got %v for ten requests; want some 100ms each", took)
			}
			if !m.redis.open() {
				t.Error("the breaker is closed; want it open after ten without an answer")
			}
		})
	}
}

func TestRequireLive(t *testing.T) {
	m, s := mini(t)
	b, nobody := newBrowser(t), newBrowser(t)
	b.login(m, "alice", cart{})
	h := RequireLive(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) }))
	status := func(h http.Handler, b *browser) int {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, b.Request())
		return w.Code
	}
	if got := status(h, b); got != http.StatusInternalServerError {
		t.Errorf("without the middleware: got %d; want 500", got)
	}
	h = m.Middleware(h)
	if got := status(h, b); got != http.StatusNoContent {
		t.Errorf("live: got %d; want 204", got)
	}
	if got := status(h, nobody); got != http.StatusUnauthorized {
		t.Errorf("anonymous: got %d; want 401", got)
	}
	s.Close()
	if got := status(h, b); got != http.StatusServiceUnavailable {
		t.Errorf("degraded: got %d; want 503", got)
	}
}

// hang has a server read commands and answer none until gate is closed.
func hang(gate <-chan struct{}) func(*miniserver.Peer, string, ...string) bool {
	return func(*miniserver.Peer, string, ...string) bool {
		<-gate
		return false
	}
}

// A replica that has not heard of a login yet logs nobody out.
func TestReplicaIsBehind(t *testing.T) {
	m, _ := mini(t)
	b := newBrowser(t)
	b.login(m, "alice", cart{})
	behind := &behind{}
	m.redis.c.(*redis.Client).AddHook(behind)
	b.is(m, Live, "alice")
	if behind.asked == 0 {
		t.Error("the replica was not asked; want that this test tries something")
	}
	s, asked := m.SCS(), behind.asked
	if err := s.CommitCtx(t.Context(), "token", []byte("values"), time.Now().Add(time.Hour)); err != nil {
		t.Fatal(err)
	}
	if b, found, err := s.FindCtx(t.Context(), "token"); string(b) != "values" || !found || err != nil || behind.asked == asked {
		t.Errorf("scs: got %q, %v, %v, asked %v; want what the primary has", b, found, err, behind.asked > asked)
	}
	if err := s.DeleteCtx(t.Context(), "token"); err != nil {
		t.Fatal(err)
	}
	if _, found, err := s.FindCtx(t.Context(), "token"); found || err != nil {
		t.Errorf("scs, after its delete: got %v, %v; want not found", found, err)
	}
}

// behind answers HMGET and GET as a replica does that has nothing.
type behind struct{ asked int }

func (*behind) DialHook(next redis.DialHook) redis.DialHook { return next }

func (*behind) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return next
}

func (h *behind) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		if c, ok := cmd.(*redis.SliceCmd); ok && cmd.Name() == "hmget" {
			h.asked++
			c.SetVal(make([]any, len(cmd.Args())-2))
			return nil
		}
		if cmd.Name() == "get" {
			h.asked++
			cmd.SetErr(redis.Nil)
			return redis.Nil
		}
		return next(ctx, cmd)
	}
}

// What Redis has told this process of before it went away holds: who was logged out
// is not let in by an envelope, nor by a save whose reply comes late.
func TestEndedStaysEndedInOutage(t *testing.T) {
	m, s := mini(t, withKeys)
	fresh := another(t, m, s)
	b, late := newBrowser(t), newBrowser(t)
	b.login(m, "alice", cart{})
	id := late.login(m, "bob", cart{}).id
	thief, second := b.clone(), late.clone()
	rec, _ := m.memory.recall(id)
	for _, b := range []*browser{b, late} {
		if _, err := b.logout(m); err != nil {
			t.Fatal(err)
		}
	}
	m.memory.keep(id, rec, time.Now(), false)
	thief.is(fresh, Anonymous, "") // by the tombstone
	s.Close()
	thief.is(m, Anonymous, "")
	thief.is(fresh, Anonymous, "")
	second.is(m, Anonymous, "")
}

// An id that was replaced is good for Grace, and no longer in an outage.
func TestGraceInOutage(t *testing.T) {
	m, s := mini(t, withKeys, func(o *Options) { o.Grace = 10 * time.Millisecond })
	b := newBrowser(t)
	b.login(m, "alice", cart{})
	old := b.clone()
	if _, err := b.rotate(m); err != nil {
		t.Fatal(err)
	}
	s.Close()
	time.Sleep(20 * time.Millisecond)
	if a := old.visit(m); a.status != http.StatusServiceUnavailable || a.header["Set-Cookie"] != nil {
		t.Errorf("the id of before: got %d, %v; want 503", a.status, a.state)
	}
	b.is(m, Degraded, "alice")
}
