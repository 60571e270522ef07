package suite

import (
	"crypto/rand"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/transload/transload/internal/redistest"
	"github.com/transload/transload/sessions"
)

// Sessions is the contract of package sessions.
func Sessions(t *testing.T, c redis.UniversalClient) {
	user := "suite-" + rand.Text()
	for name, f := range map[string]func(*testing.T, place){
		"a session lives":          lives,
		"logout wins over a save":  logoutWins,
		"concurrent saves":         concurrentSaves,
		"rotate":                   rotates,
		"list and revoke":          listsAndRevokes,
		"revoke all against login": revokeAllAgainstLogin,
		"cap":                      capped,
		"every key expires":        everySessionExpires,
		"idle time begins anew":    idleBeginsAnew,
		"what is sent twice":       sentTwice,
		"scs":                      scsStore,
		"scs: a delete wins":       scsDeleteWins,
		"a probe passes":           probeSessions,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f(t, place{c, user + "-" + strings.ReplaceAll(name, " ", "-")})
		})
	}
}

func lives(t *testing.T, p place) {
	m, v := p.manager(t), newVisitor(t)
	v.is(m, "")
	s := v.login(m, p.user, cart{[]string{"pallet"}})
	if got := items(t, s); got != "pallet" {
		t.Errorf("got %q; want pallet", got)
	}
	if left := time.Until(s.Expires); left < 23*time.Hour || left > 25*time.Hour {
		t.Errorf("got an end in %v; want 24h", left)
	}
	s = v.is(m, p.user)
	must(t, m.Save(t.Context(), s, cart{[]string{"pallet", "crate"}}))
	if got := items(t, v.is(m, p.user)); got != "pallet,crate" {
		t.Errorf("got %q; want what was saved", got)
	}
	must(t, sessions.Update(t.Context(), m, s, func(c *cart) error { c.Items = c.Items[1:]; return nil }))
	if got := items(t, v.is(m, p.user)); got != "crate" {
		t.Errorf("got %q; want what was updated", got)
	}
	v.logout(m)
	v.is(m, "")
	if _, err := m.Reload(t.Context(), s); !errors.Is(err, sessions.ErrNotFound) {
		t.Errorf("reload after logout: got %v; want ErrNotFound", err)
	}
}

func logoutWins(t *testing.T, p place) {
	m, v := p.manager(t), newVisitor(t)
	v.login(m, p.user, cart{})
	other := v.clone()
	s := other.is(m, p.user) // a request under way
	v.logout(m)
	if err := m.Save(t.Context(), s, cart{[]string{"late"}}); !errors.Is(err, sessions.ErrNotFound) {
		t.Errorf("a save after the logout: got %v; want ErrNotFound", err)
	}
	if _, err := other.rotate(m); !errors.Is(err, sessions.ErrNotFound) {
		t.Errorf("a rotation after the logout: got %v; want ErrNotFound", err)
	}
	other.is(m, "")
}

// concurrentSaves has requests change a session at the same time: none is lost.
func concurrentSaves(t *testing.T, p place) {
	m, v := p.manager(t), newVisitor(t)
	s := v.login(m, p.user, cart{})
	first, second := *s, *s
	must(t, m.Save(t.Context(), &first, cart{[]string{"a"}}))
	if err := m.Save(t.Context(), &second, cart{[]string{"b"}}); !errors.Is(err, sessions.ErrConflict) {
		t.Errorf("a save of what was read before another: got %v; want ErrConflict", err)
	}
	var wg sync.WaitGroup
	const n = 4
	for i := range n {
		wg.Go(func() {
			mine := *s
			redistest.Eventually(t, within, func() error {
				return sessions.Update(t.Context(), m, &mine, func(c *cart) error { c.Items = append(c.Items, fmt.Sprint(i)); return nil })
			})
		})
	}
	wg.Wait()
	if got := items(t, v.is(m, p.user)); len(strings.Split(got, ",")) != n+1 {
		t.Errorf("got %q; want a and %d more", got, n)
	}
}

func rotates(t *testing.T, p place) {
	m, v := p.manager(t), newVisitor(t)
	was := v.login(m, p.user, cart{[]string{"pallet"}})
	before := v.clone()
	now, err := v.rotate(m)
	must(t, err)
	if now.Handle() == was.Handle() || !now.Expires.Equal(was.Expires) || !now.Created.Equal(was.Created) {
		t.Errorf("got %v to %v; want another id and the same times as %v to %v", now.Created, now.Expires, was.Created, was.Expires)
	}
	if got := items(t, v.is(m, p.user)); got != "pallet" {
		t.Errorf("got %q; want what was there before", got)
	}
	// A request under way with the old id reads, and does not write.
	s := before.is(m, p.user)
	if err := m.Save(t.Context(), s, cart{}); !errors.Is(err, sessions.ErrConflict) {
		t.Errorf("a save by the old id: got %v; want ErrConflict", err)
	}
	if _, err := before.rotate(m); !errors.Is(err, sessions.ErrConflict) {
		t.Errorf("a rotation of the old id: got %v; want ErrConflict", err)
	}
	before.logout(m) // ends the session all the same
	v.is(m, "")
}

func listsAndRevokes(t *testing.T, p place) {
	m := p.manager(t)
	var vs []visitor
	var handles []string
	for range 3 {
		v := newVisitor(t)
		handles = append(handles, v.login(m, p.user, cart{}).Handle())
		vs = append(vs, v)
	}
	list, err := m.List(t.Context(), p.user)
	if err != nil || len(list) != 3 {
		t.Fatalf("got %d sessions, %v; want 3", len(list), err)
	}
	must(t, m.Revoke(t.Context(), handles[1]))
	vs[1].is(m, "")
	vs[0].is(m, p.user)
	if n, err := m.RevokeUser(t.Context(), p.user, handles[0]); n != 1 || err != nil {
		t.Errorf("got %d, %v; want the one that is neither spared nor ended", n, err)
	}
	vs[0].is(m, p.user)
	vs[2].is(m, "")
	_, err = m.RevokeUser(t.Context(), p.user)
	must(t, err)
	vs[0].is(m, "")
	if list, err := m.List(t.Context(), p.user); len(list) != 0 || err != nil {
		t.Errorf("got %v, %v; want none", list, err)
	}
	if err := m.Revoke(t.Context(), handles[0]); err != nil {
		t.Errorf("what has ended already: got %v; want nil", err)
	}
}

// revokeAllAgainstLogin runs logins beside a revocation of all. Whoever got a session
// before the revocation was called has none afterwards, and so has every one that is
// not in the list.
func revokeAllAgainstLogin(t *testing.T, p place) {
	m := p.manager(t, func(o *sessions.Options) { o.PerUser = -1 })
	var wg sync.WaitGroup
	var mu sync.Mutex
	var all []*sessions.Session
	begun := make(chan struct{}, 6)
	for range 6 {
		wg.Go(func() {
			begun <- struct{}{}
			newVisitor(t).Send(func(w http.ResponseWriter, r *http.Request) {
				s, err := m.Start(w, r, p.user, cart{})
				if errors.Is(err, sessions.ErrConflict) {
					return // revoked as it began
				}
				if err != nil {
					t.Error(err)
					return
				}
				mu.Lock()
				all = append(all, s)
				mu.Unlock()
			})
		})
	}
	<-begun
	_, err := m.RevokeUser(t.Context(), p.user)
	must(t, err)
	wg.Wait()
	_, err = m.RevokeUser(t.Context(), p.user)
	must(t, err)
	for _, s := range all {
		if _, err := m.Reload(t.Context(), s); !errors.Is(err, sessions.ErrNotFound) {
			t.Errorf("a session that was in no list: got %v; want ErrNotFound", err)
		}
	}
}

func capped(t *testing.T, p place) {
	m := p.manager(t)
	var vs []visitor
	for range 4 {
		v := newVisitor(t)
		v.login(m, p.user, cart{})
		vs = append(vs, v)
		time.Sleep(2 * time.Millisecond) // entries of one millisecond have no order
	}
	vs[0].is(m, "")
	for _, v := range vs[1:] {
		v.is(m, p.user)
	}
}

func probeSessions(t *testing.T, p place) { must(t, p.manager(t).Probe(t.Context())) }
