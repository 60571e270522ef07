package sessions

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/transload/transload/internal/redistest"
	"github.com/transload/transload/topology"
)

// open is the client that an app has.
func open(t testing.TB, s interface {
	Env(string) map[string]string
}) *topology.Client {
	t.Helper()
	cfg, err := topology.FromEnv("REDIS", redistest.Getenv(s.Env("REDIS")))
	if err != nil {
		t.Fatal(err)
	}
	c, err := topology.Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// A login is confirmed where there is a replica, and does not wait where there is
// none.
func TestConfirmed(t *testing.T) {
	for name, tt := range map[string]struct {
		client func(*testing.T) redis.UniversalClient
		want   bool
	}{
		"standalone": {func(t *testing.T) redis.UniversalClient { return open(t, redistest.SharedStandalone(t)) }, false},
		"sentinel":   {func(t *testing.T) redis.UniversalClient { return open(t, redistest.SharedSentinel(t)) }, true},
		"cluster":    {func(t *testing.T) redis.UniversalClient { return open(t, redistest.SharedCluster(t)) }, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := patient()
			o.Confirm = within
			m := managerOn(t, tt.client(t), o)
			b := newBrowser(t)
			began := time.Now()
			if s := b.login(m, "alice-"+newNonce(), cart{}); s.Confirmed != tt.want {
				t.Errorf("login: got %v; want %v", s.Confirmed, tt.want)
			}
			if s, err := b.rotate(m); err != nil || s.Confirmed != tt.want {
				t.Errorf("rotate: got %+v, %v; want %v", s, err, tt.want)
			}
			if ok, err := b.logout(m); err != nil || ok != tt.want {
				t.Errorf("logout: got %v, %v; want %v", ok, err, tt.want)
			}
			if took := time.Since(began); took > within/2 {
				t.Errorf("got %v; want that what no replica will confirm is not waited for", took)
			}
		})
	}
}

// A reply is lost on its way: the client sends the script again, and it counts once.
func TestLostReplies(t *testing.T) {
	s := redistest.SharedStandalone(t)
	proxy := redistest.Proxy(t, s)
	c := redis.NewClient(&redis.Options{Network: s.Network(), Addr: proxy.Addr(), ContextTimeoutEnabled: true, ReadTimeout: 200 * time.Millisecond, DisableIdentity: true})
	t.Cleanup(func() { _ = c.Close() })
	o := patient()
	o.Confirm = -1
	m := managerOn(t, c, o)
	b := newBrowser(t)
	session := b.login(m, "alice-"+newNonce(), cart{})
	// The connection that is there answers no more; the next one does.
	lose := func() {
		for _, l := range proxy.Links() {
			l.HoldReplies()
		}
	}
	lose()
	if err := m.Save(t.Context(), session, cart{[]string{"pallet"}}); err != nil {
		t.Fatalf("a save whose reply was lost: %v", err)
	}
	if now, err := m.Reload(t.Context(), session); err != nil || now.version != session.version {
		t.Errorf("got %+v, %v; want version %d: the save counts once", now, err, session.version)
	}
	lose()
	if _, err := b.rotate(m); err != nil {
		t.Fatalf("a rotation whose replies were lost: %v", err)
	}
	if got := items(t, b.is(m, Live, session.User)); got != "pallet" {
		t.Errorf("got %q; want pallet", got)
	}
	lose()
	other := newBrowser(t)
	other.login(m, session.User, cart{})
	lose()
	if _, err := b.clone().logout(m); err != nil {
		t.Fatalf("a logout whose reply was lost: %v", err)
	}
	for _, l := range proxy.Links() {
		l.Release() // what was held arrives, and changes nothing
	}
	b.is(m, Anonymous, "")
	other.is(m, Live, session.User)
}

// A server that is stopped, not dead, is no reason to log anybody out.
func TestFrozen(t *testing.T) {
	t.Parallel()
	s := redistest.Standalone(t, redistest.Options{})
	m := managerOn(t, open(t, s), Options{Budget: 200 * time.Millisecond})
	b, unknown := newBrowser(t), newBrowser(t)
	b.login(m, "alice", cart{})
	unknown.login(m, "bob", cart{})
	m.memory.forget(unknown.is(m, Live, "bob").id)
	if err := s.Freeze(); err != nil {
		t.Fatal(err)
	}
	for range 12 {
		b.is(m, Degraded, "alice")
		if a := unknown.visit(m); a.status != http.StatusServiceUnavailable {
			t.Fatalf("got %d; want 503", a.status)
		}
	}
	if err := s.Thaw(); err != nil {
		t.Fatal(err)
	}
	redistest.Eventually(t, within, func() error {
		if a := unknown.visit(m); a.state != Live {
			return fmt.Errorf("got %d, %v", a.status, a.state)
		}
		return nil
	})
}

// A request that is cancelled is not anonymous either.
func TestCancelled(t *testing.T) {
	m := managerOn(t, open(t, redistest.SharedStandalone(t)), patient())
	b := newBrowser(t)
	id := b.login(m, "alice-"+newNonce(), cart{}).id
	m.memory.forget(id)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	w := httptest.NewRecorder()
	m.Middleware(http.NotFoundHandler()).ServeHTTP(w, b.Request().WithContext(ctx))
	if w.Code != http.StatusServiceUnavailable {
		t.Errorf("got %d; want 503", w.Code)
	}
	if m.redis.open() {
		t.Error("the breaker is open; want that who cancels says nothing of Redis")
	}
}
