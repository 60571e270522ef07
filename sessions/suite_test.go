package sessions

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/transload/transload/internal/redistest"
)

// suite is the contract of the package on any client.
func suite(t *testing.T, c redis.UniversalClient) {
	user := "suite-" + newNonce()
	for name, f := range map[string]func(*testing.T, *Manager, redis.UniversalClient, string){
		"a session lives":          lives,
		"logout wins over a save":  logoutWins,
		"concurrent saves":         concurrentSaves,
		"rotate":                   rotates,
		"list and revoke":          listsAndRevokes,
		"revoke all against login": revokeAllAgainstLogin,
		"cap":                      capped,
		"every key expires":        everyKeyExpires,
		"idle time begins anew":    idleBeginsAnew,
		"a script that runs twice": scriptsTwice,
		"scs":                      scsStore,
		"scs: a delete wins":       scsDeleteWins,
		"a probe leaves nothing":   probeLeavesNothing,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := patient()
			o.Name = "suite"
			o.PerUser = 3
			f(t, managerOn(t, c, o), c, user+"-"+strings.ReplaceAll(name, " ", "-"))
		})
	}
}

func TestSuiteOnMiniredis(t *testing.T) {
	_, s := mini(t)
	suite(t, miniClient(t, s))
}

func lives(t *testing.T, m *Manager, _ redis.UniversalClient, user string) {
	b := newBrowser(t)
	b.is(m, Anonymous, "")
	s := b.login(m, user, cart{[]string{"pallet"}})
	if got := items(t, s); got != "pallet" {
		t.Errorf("got %q; want pallet", got)
	}
	if left := time.Until(s.Expires); left < 23*time.Hour || left > 25*time.Hour {
		t.Errorf("got an end in %v; want 24h", left)
	}
	s = b.is(m, Live, user)
	if err := m.Save(t.Context(), s, cart{[]string{"pallet", "crate"}}); err != nil {
		t.Fatal(err)
	}
	if got := items(t, b.is(m, Live, user)); got != "pallet,crate" {
		t.Errorf("got %q; want what was saved", got)
	}
	if err := Update(t.Context(), m, s, func(c *cart) error { c.Items = c.Items[1:]; return nil }); err != nil {
		t.Fatal(err)
	}
	if got := items(t, b.is(m, Live, user)); got != "crate" {
		t.Errorf("got %q; want what was updated", got)
	}
	if _, err := b.logout(m); err != nil {
		t.Fatal(err)
	}
	b.is(m, Anonymous, "")
	if _, err := m.Reload(t.Context(), s); !errors.Is(err, ErrNotFound) {
		t.Errorf("reload after logout: got %v; want ErrNotFound", err)
	}
}

func logoutWins(t *testing.T, m *Manager, _ redis.UniversalClient, user string) {
	b := newBrowser(t)
	b.login(m, user, cart{})
	other := b.clone()
	s := other.is(m, Live, user) // a request under way
	if _, err := b.logout(m); err != nil {
		t.Fatal(err)
	}
	if err := m.Save(t.Context(), s, cart{[]string{"late"}}); !errors.Is(err, ErrNotFound) {
		t.Errorf("a save after the logout: got %v; want ErrNotFound", err)
	}
	if _, err := other.rotate(m); !errors.Is(err, ErrNotFound) {
		t.Errorf("a rotation after the logout: got %v; want ErrNotFound", err)
	}
	other.is(m, Anonymous, "")
}

// concurrentSaves has requests change a session at the same time: none is lost.
func concurrentSaves(t *testing.T, m *Manager, _ redis.UniversalClient, user string) {
	b := newBrowser(t)
	s := b.login(m, user, cart{})
	first, second := *s, *s
	if err := m.Save(t.Context(), &first, cart{[]string{"a"}}); err != nil {
		t.Fatal(err)
	}
	if err := m.Save(t.Context(), &second, cart{[]string{"b"}}); !errors.Is(err, ErrConflict) {
		t.Errorf("a save of what was read before another: got %v; want ErrConflict", err)
	}
	var wg sync.WaitGroup
	const n = 4
	for i := range n {
		wg.Go(func() {
			mine := *s
			redistest.Eventually(t, within, func() error {
				return Update(t.Context(), m, &mine, func(c *cart) error { c.Items = append(c.Items, fmt.Sprint(i)); return nil })
			})
		})
	}
	wg.Wait()
	if got := items(t, b.is(m, Live, user)); len(strings.Split(got, ",")) != n+1 {
		t.Errorf("got %q; want a and %d more", got, n)
	}
}

func rotates(t *testing.T, m *Manager, _ redis.UniversalClient, user string) {
	b := newBrowser(t)
	was := b.login(m, user, cart{[]string{"pallet"}})
	before := b.clone()
	now, err := b.rotate(m)
	if err != nil {
		t.Fatal(err)
	}
	if now.Handle() == was.Handle() || !now.Expires.Equal(was.Expires) || !now.Created.Equal(was.Created) {
		t.Errorf("got %v to %v; want another id and the same times as %v to %v", now.Created, now.Expires, was.Created, was.Expires)
	}
	if got := items(t, b.is(m, Live, user)); got != "pallet" {
		t.Errorf("got %q; want what was there before", got)
	}
	// A request under way with the old id reads, and does not write.
	s := before.is(m, Live, user)
	if err := m.Save(t.Context(), s, cart{}); !errors.Is(err, ErrConflict) {
		t.Errorf("a save by the old id: got %v; want ErrConflict", err)
	}
	if _, err := before.rotate(m); !errors.Is(err, ErrConflict) {
		t.Errorf("a rotation of the old id: got %v; want ErrConflict", err)
	}
	// Its logout ends the session all the same.
	if _, err := before.logout(m); err != nil {
		t.Fatal(err)
	}
	b.is(m, Anonymous, "")
}

func listsAndRevokes(t *testing.T, m *Manager, _ redis.UniversalClient, user string) {
	var bs []*browser
	var handles []string
	for range 3 {
		b := newBrowser(t)
		handles = append(handles, b.login(m, user, cart{}).Handle())
		bs = append(bs, b)
	}
	list, err := m.List(t.Context(), user)
	if err != nil || len(list) != 3 {
		t.Fatalf("got %d sessions, %v; want 3", len(list), err)
	}
	if err := m.Revoke(t.Context(), handles[1]); err != nil {
		t.Fatal(err)
	}
	bs[1].is(m, Anonymous, "")
	bs[0].is(m, Live, user)
	if n, err := m.RevokeUser(t.Context(), user, handles[0]); n != 1 || err != nil {
		t.Errorf("got %d, %v; want the one that is neither spared nor ended", n, err)
	}
	bs[0].is(m, Live, user)
	bs[2].is(m, Anonymous, "")
	if _, err := m.RevokeUser(t.Context(), user); err != nil {
		t.Fatal(err)
	}
	bs[0].is(m, Anonymous, "")
	if list, err := m.List(t.Context(), user); len(list) != 0 || err != nil {
		t.Errorf("got %v, %v; want none", list, err)
	}
	if err := m.Revoke(t.Context(), handles[0]); err != nil {
		t.Errorf("what has ended already: got %v; want nil", err)
	}
}

// revokeAllAgainstLogin runs logins beside a revocation of all. Whoever got a session
// before the revocation was called has none afterwards, and so has every one that is
// not in the list.
func revokeAllAgainstLogin(t *testing.T, m *Manager, _ redis.UniversalClient, user string) {
	m.opt.PerUser = -1
	var wg sync.WaitGroup
	var mu sync.Mutex
	var all []*Session
	begun := make(chan struct{}, 6)
	for range 6 {
		wg.Go(func() {
			b := newBrowser(t)
			begun <- struct{}{}
			b.with(func(w http.ResponseWriter, r *http.Request) {
				s, err := m.Start(w, r, user, cart{})
				if errors.Is(err, ErrConflict) {
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
	if _, err := m.RevokeUser(t.Context(), user); err != nil {
		t.Fatal(err)
	}
	wg.Wait()
	if _, err := m.RevokeUser(t.Context(), user); err != nil {
		t.Fatal(err)
	}
	for _, s := range all {
		if _, err := m.Reload(t.Context(), s); !errors.Is(err, ErrNotFound) {
			t.Errorf("a session that was in no list: got %v; want ErrNotFound", err)
		}
	}
}

func capped(t *testing.T, m *Manager, _ redis.UniversalClient, user string) {
	var bs []*browser
	for range 4 {
		b := newBrowser(t)
		b.login(m, user, cart{})
		bs = append(bs, b)
		time.Sleep(2 * time.Millisecond) // entries of one millisecond have no order
	}
	bs[0].is(m, Anonymous, "")
	for _, b := range bs[1:] {
		b.is(m, Live, user)
	}
}

// everyKeyExpires looks at the keys that a life leaves.
func everyKeyExpires(t *testing.T, m *Manager, c redis.UniversalClient, user string) {
	b := newBrowser(t)
	s := b.login(m, user, cart{})
	old := s.id.key()
	s, err := b.rotate(m)
	if err != nil {
		t.Fatal(err)
	}
	expires := func(key string, least, most time.Duration) {
		t.Helper()
		if got := c.PTTL(t.Context(), key).Val(); got < least || got > most {
			t.Errorf("%.12s…: got an expiry of %v; want %v to %v", key, got, least, most)
		}
	}
	expires(old, 0, time.Minute)
	expires(s.id.key(), 23*time.Hour, 24*time.Hour)
	expires(m.listKey(user), 23*time.Hour, 25*time.Hour)
	if err := m.Save(t.Context(), s, cart{[]string{"x"}}); err != nil {
		t.Fatal(err)
	}
	expires(s.id.key(), 23*time.Hour, 24*time.Hour)
	if _, err := b.logout(m); err != nil {
		t.Fatal(err)
	}
	expires(s.id.key(), 23*time.Hour, 24*time.Hour) // the tombstone
}

func idleBeginsAnew(t *testing.T, m *Manager, c redis.UniversalClient, user string) {
	m.opt.Idle = time.Hour
	b := newBrowser(t)
	s := b.login(m, user, cart{})
	left := func() time.Duration { return c.PTTL(t.Context(), s.id.key()).Val() }
	if err := c.PExpire(t.Context(), s.id.key(), time.Minute).Err(); err != nil {
		t.Fatal(err)
	}
	b.is(m, Live, user)
	if got := left(); got > time.Minute {
		t.Errorf("got %v; want that one process does not note every request", got)
	}
	m.memory.forget(s.id) // another process
	b.is(m, Live, user)
	if got := left(); got < 59*time.Minute || got > time.Hour {
		t.Errorf("got %v; want an hour", got)
	}
	// The absolute end is not moved.
	m.opt.Idle = 48 * time.Hour
	m.memory.forget(s.id)
	if _, err := m.load(t.Context(), s.id, true); err != nil {
		t.Fatal(err)
	}
	if got := left(); got > 24*time.Hour {
		t.Errorf("got %v; want the absolute end", got)
	}
}

// scriptsTwice runs each script again, as a client does whose reply was lost.
func scriptsTwice(t *testing.T, m *Manager, c redis.UniversalClient, user string) {
	ctx := t.Context()
	_, id := newToken(m.opt.Name)
	_, next := newToken(m.opt.Name)
	twice := func(script *redis.Script, args ...any) {
		t.Helper()
		first, err := script.Run(ctx, c, []string{id.key()}, args...).Result()
		if err != nil {
			t.Fatal(err)
		}
		again, err := script.Run(ctx, c, []string{id.key()}, args...).Result()
		if err != nil || fmt.Sprint(first) != fmt.Sprint(again) {
			t.Errorf("got %v, then %v, %v; want the same", first, again, err)
		}
	}
	twice(createScript, "-0", "+60000", 60000, user, "{}", "n1", 1)
	twice(touchScript, 30000)
	twice(saveScript, 1, "n2", `{"a":1}`)
	twice(retireScript, 2, 10000, next.String())
	twice(revokeScript, 0)
	// What comes later than the revocation does nothing.
	for name, late := range map[string]*redis.Cmd{
		"create": createScript.Run(ctx, c, []string{id.key()}, "-0", "+60000", 60000, user, "{}", "n1", 1),
		"save":   saveScript.Run(ctx, c, []string{id.key()}, 2, "n3", "{}"),
		"retire": retireScript.Run(ctx, c, []string{id.key()}, "*", 1000, next.String()),
	} {
		if got := fmt.Sprint(late.Val()); late.Err() != nil || got != "0" && got != "[0]" {
			t.Errorf("a late %s: got %v, %v; want 0", name, got, late.Err())
		}
	}
	if _, err := m.load(ctx, id, false); !errors.Is(err, ErrNotFound) {
		t.Errorf("got %v; want ErrNotFound", err)
	}
	// A revocation that comes before a creation wins too.
	_, id = newToken(m.opt.Name)
	twice(revokeScript, 60000)
	twice(createScript, "-0", "+60000", 60000, user, "{}", "n1", 1)
	if _, err := m.load(ctx, id, false); !errors.Is(err, ErrNotFound) {
		t.Errorf("created after its revocation: got %v; want ErrNotFound", err)
	}
}

func probeLeavesNothing(t *testing.T, m *Manager, _ redis.UniversalClient, _ string) {
	if err := m.Probe(t.Context()); err != nil {
		t.Fatal(err)
	}
}
