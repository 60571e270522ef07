package suite

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/transload/transload/internal/cookies"
	"github.com/transload/transload/sessions"
)

// within is how long anything may take on a busy machine.
const within = time.Minute

// A place is a Redis with sessions of one user, on which managers are processes of
// an app.
type place struct {
	c    redis.UniversalClient
	user string
}

// manager makes one for a machine that does other things as well.
func (p place) manager(t *testing.T, change ...func(*sessions.Options)) *sessions.Manager {
	t.Helper()
	o := sessions.Options{Name: "suite", PerUser: 3, Budget: 20 * time.Second, Confirm: 5 * time.Second, Grace: time.Minute}
	for _, f := range change {
		f(&o)
	}
	m, err := sessions.New(p.c, o)
	must(t, err)
	t.Cleanup(func() { _ = m.Close() })
	return m
}

// A cart is what is kept in a session.
type cart struct{ Items []string }

// items returns what is in a session.
func items(t *testing.T, s *sessions.Session) string {
	t.Helper()
	var c cart
	must(t, s.Decode(&c))
	return strings.Join(c.Items, ",")
}

// A visitor is somebody with a browser.
type visitor struct {
	*cookies.Browser
	t *testing.T
}

func newVisitor(t *testing.T) visitor { return visitor{cookies.New(t), t} }

// clone is another request under way.
func (v visitor) clone() visitor { return visitor{v.Clone(), v.t} }

func (v visitor) login(m *sessions.Manager, user string, values any) (s *sessions.Session) {
	v.t.Helper()
	var err error
	v.Send(func(w http.ResponseWriter, r *http.Request) { s, err = m.Start(w, r, user, values) })
	must(v.t, err)
	return s
}

func (v visitor) logout(m *sessions.Manager) {
	v.t.Helper()
	var err error
	v.Send(func(w http.ResponseWriter, r *http.Request) { _, err = m.Logout(w, r) })
	must(v.t, err)
}

func (v visitor) rotate(m *sessions.Manager) (s *sessions.Session, err error) {
	v.Send(func(w http.ResponseWriter, r *http.Request) { s, err = m.Rotate(w, r) })
	return s, err
}

// is fails the test unless a visit has a session of a user; "" stands for nobody.
func (v visitor) is(m *sessions.Manager, user string) (s *sessions.Session) {
	v.t.Helper()
	var state sessions.State
	w := v.Send(m.Middleware(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { s, state = sessions.From(r.Context()) })).ServeHTTP)
	want := sessions.Live
	if user == "" {
		want = sessions.Anonymous
	}
	if state != want || (s != nil) != (user != "") || s != nil && s.User != user {
		v.t.Fatalf("got %v, status %d, %+v; want %v of %q", state, w.Code, s, want, user)
	}
	return s
}
