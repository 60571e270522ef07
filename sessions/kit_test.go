package sessions

import (
	"crypto/rand"
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"

	"github.com/transload/transload/internal/cookies"
)

// within is how long anything may take on a busy machine.
const within = time.Minute

// patient are options for a machine that does other things as well.
func patient() Options {
	return Options{Budget: 20 * time.Second, Confirm: 5 * time.Second, Grace: time.Minute}
}

// A cart is what these tests keep in a session.
type cart struct{ Items []string }

// mini is a manager on a server inside the process, with a client whose deadlines
// end reads.
func mini(t testing.TB, change ...func(*Options)) (*Manager, *miniredis.Miniredis) {
	t.Helper()
	s := miniredis.RunT(t)
	o := patient()
	for _, f := range change {
		f(&o)
	}
	return managerOn(t, miniClient(t, s), o), s
}

func miniClient(t testing.TB, s *miniredis.Miniredis) *redis.Client {
	t.Helper()
	c := redis.NewClient(&redis.Options{Addr: s.Addr(), ContextTimeoutEnabled: true, DialerRetries: 1, MaxRetries: -1, DisableIdentity: true})
	t.Cleanup(func() { _ = c.Close() })
	return c
}

func managerOn(t testing.TB, c redis.UniversalClient, o Options) *Manager {
	t.Helper()
	m, err := New(c, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = m.Close() })
	return m
}

// A browser is one with a session, or none.
type browser struct {
	*cookies.Browser
	t testing.TB
}

func newBrowser(t testing.TB) *browser { return &browser{cookies.New(t), t} }

// clone is a browser with the same cookies: another request under way.
func (b *browser) clone() *browser { return &browser{b.Clone(), b.t} }

// with runs f as the handler of a request, without middleware.
func (b *browser) with(f func(http.ResponseWriter, *http.Request)) { b.Send(f) }

// An answer is what a request through the middleware saw.
type answer struct {
	status  int
	state   State
	session *Session
	header  http.Header
}

// visit sends a request through the middleware.
func (b *browser) visit(m *Manager) (a answer) {
	b.t.Helper()
	w := b.Send(m.Middleware(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		a.session, a.state = From(r.Context())
	})).ServeHTTP)
	a.status, a.header = w.Code, w.Header()
	return a
}

func (b *browser) login(m *Manager, user string, v any) *Session {
	b.t.Helper()
	var s *Session
	var err error
	b.with(func(w http.ResponseWriter, r *http.Request) { s, err = m.Start(w, r, user, v) })
	if err != nil {
		b.t.Fatalf("login of %s: %v", user, err)
	}
	return s
}

func (b *browser) logout(m *Manager) (confirmed bool, err error) {
	b.with(func(w http.ResponseWriter, r *http.Request) { confirmed, err = m.Logout(w, r) })
	return confirmed, err
}

func (b *browser) rotate(m *Manager) (s *Session, err error) {
	b.with(func(w http.ResponseWriter, r *http.Request) { s, err = m.Rotate(w, r) })
	return s, err
}

// is fails the test unless a visit has a state and, if it has a session, a user.
func (b *browser) is(m *Manager, want State, user string) *Session {
	b.t.Helper()
	a := b.visit(m)
	if a.state != want || (a.session != nil) != (user != "") || a.session != nil && a.session.User != user {
		b.t.Fatalf("got %v, status %d, %+v; want %v of %q", a.state, a.status, a.session, want, user)
	}
	return a.session
}

// items returns what is in a session.
func items(t testing.TB, s *Session) string {
	t.Helper()
	var c cart
	if err := s.Decode(&c); err != nil {
		t.Fatalf("decode: %v", err)
	}
	return strings.Join(c.Items, ",")
}

func key() []byte {
	b := make([]byte, minKey)
	_, _ = rand.Read(b)
	return b
}

func withKeys(o *Options) { o.Keys = [][]byte{key()} }

// raw is JSON of that many bytes.
func raw(n int) json.RawMessage { return json.RawMessage(`"` + strings.Repeat("x", n-2) + `"`) }
