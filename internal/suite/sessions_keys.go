package suite

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/transload/transload/internal/redistest"
	"github.com/transload/transload/sessions"
)

// expires looks at a key's expiry.
func (p place) expires(t *testing.T, key string, least, most time.Duration) {
	t.Helper()
	if got := p.c.PTTL(t.Context(), key).Val(); got < least || got > most {
		t.Errorf("%.12s…: got an expiry of %v; want %v to %v", key, got, least, most)
	}
}

func sessionKey(s *sessions.Session) string { return "sess:{" + s.Handle() + "}" }

// everySessionExpires looks at the keys that a life leaves.
func everySessionExpires(t *testing.T, p place) {
	m, v := p.manager(t), newVisitor(t)
	old := v.login(m, p.user, cart{})
	s, err := v.rotate(m)
	must(t, err)
	p.expires(t, sessionKey(old), 0, time.Minute)
	p.expires(t, sessionKey(s), 23*time.Hour, 24*time.Hour)
	p.expires(t, "sess:u:suite:{"+p.user+"}", 23*time.Hour, 25*time.Hour)
	must(t, m.Save(t.Context(), s, cart{[]string{"x"}}))
	p.expires(t, sessionKey(s), 23*time.Hour, 24*time.Hour)
	v.logout(m)
	p.expires(t, sessionKey(s), 23*time.Hour, 24*time.Hour) // the tombstone
}

func idleBeginsAnew(t *testing.T, p place) {
	ends := func(lifetime, idle time.Duration) *sessions.Manager {
		return p.manager(t, func(o *sessions.Options) { o.Lifetime, o.Idle = lifetime, idle })
	}
	one, v := ends(2*time.Hour, time.Hour), newVisitor(t)
	s := v.login(one, p.user, cart{})
	must(t, p.c.PExpire(t.Context(), sessionKey(s), time.Minute).Err())
	v.is(one, p.user)
	p.expires(t, sessionKey(s), 0, time.Minute) // one process does not note every request
	v.is(ends(2*time.Hour, time.Hour), p.user)
	p.expires(t, sessionKey(s), 59*time.Minute, time.Hour)
	v.is(ends(48*time.Hour, 24*time.Hour), p.user)
	p.expires(t, sessionKey(s), 110*time.Minute, 2*time.Hour) // the absolute end is not moved
}

// A twice client sends each script two times, as one does whose first reply was lost,
// and wants the same reply.
type twice struct {
	redis.UniversalClient
	t *testing.T
}

// EvalSha is what scripts are run by, and Eval where a server does not know them.
func (d twice) EvalSha(ctx context.Context, sha string, keys []string, args ...any) *redis.Cmd {
	return d.same(d.UniversalClient.EvalSha(ctx, sha, keys, args...), d.UniversalClient.EvalSha(ctx, sha, keys, args...))
}

// Eval is EvalSha.
func (d twice) Eval(ctx context.Context, script string, keys []string, args ...any) *redis.Cmd {
	return d.same(d.UniversalClient.Eval(ctx, script, keys, args...), d.UniversalClient.Eval(ctx, script, keys, args...))
}

func (d twice) same(first, again *redis.Cmd) *redis.Cmd {
	unknown := redis.HasErrorPrefix(first.Err(), "NOSCRIPT") // and known by the second time, from another test
	if !unknown && fmt.Sprint(first.Val()) != fmt.Sprint(again.Val()) {
		d.t.Errorf("got %v, then %v; want the same", first.Val(), again.Val())
	}
	return again
}

func sentTwice(t *testing.T, p place) {
	p.c = twice{p.c, t}
	change := func(o *sessions.Options) { o.Confirm, o.Idle = -1, time.Hour } // no WATCH, which has a client of its own
	m, v := p.manager(t, change), newVisitor(t)
	s := v.login(m, p.user, cart{})
	v.is(p.manager(t, change), p.user) // which begins the idle time anew
	stale := *s
	for _, item := range []string{"pallet", "crate"} {
		must(t, m.Save(t.Context(), s, cart{[]string{item}}))
	}
	if err := m.Save(t.Context(), &stale, cart{}); !errors.Is(err, sessions.ErrConflict) {
		t.Errorf("got %v; want ErrConflict", err)
	}
	_, err := v.rotate(m)
	must(t, err)
	if got := items(t, v.is(m, p.user)); got != "crate" {
		t.Errorf("got %q; want what was saved last", got)
	}
	v.logout(m)
	v.is(m, "")
}

// scsStore holds the store to what scs asks of one.
func scsStore(t *testing.T, p place) {
	ctx, s, token := t.Context(), p.manager(t).SCS(), "token-"+p.user
	find := func(want string, found bool) {
		t.Helper()
		b, ok, err := s.FindCtx(ctx, token)
		if string(b) != want || ok != found || err != nil {
			t.Errorf("got %q, %v, %v; want %q, %v", b, ok, err, want, found)
		}
	}
	commit := func(data string, left time.Duration) {
		t.Helper()
		must(t, s.CommitCtx(ctx, token, []byte(data), time.Now().Add(left)))
	}
	find("", false)
	commit("one", time.Hour)
	find("one", true)
	last := "two of " + p.user
	commit(last, 2*time.Hour)
	find(last, true)
	var handle string
	redistest.Eventually(t, within, func() error { // a walk is over one side of a migration
		all, err := s.AllCtx(ctx)
		for h, data := range all {
			if strings.Contains(h, token) {
				t.Error("got a token from the store; want handles")
			}
			if string(data) == last {
				handle = h
			}
		}
		if err == nil && handle == "" {
			err = errors.New("it is not among all")
		}
		return err
	})
	hash := strings.Split(handle, ".")[1]
	p.expires(t, "sess:scs:{"+hash+"}", time.Hour, 2*time.Hour)
	must(t, s.DeleteCtx(ctx, handle))
	find("", false)
	p.expires(t, "sess:scs:{"+hash+"}", time.Hour, 2*time.Hour) // the tombstone
	if err := s.CommitCtx(ctx, token, []byte("late"), time.Now().Add(time.Hour)); !errors.Is(err, sessions.ErrNotFound) {
		t.Errorf("a commit after the delete: got %v; want ErrNotFound", err)
	}
	find("", false)
	must(t, s.DeleteCtx(ctx, token)) // again
	if b, ok, err := s.FindCtx(ctx, "handle."+hash+".AAAA"); ok || err != nil {
		t.Errorf("a forged handle: got %q, %v, %v; want not found", b, ok, err)
	}
}

// scsDeleteWins over commits that come at the same time, in any order, and over one
// that comes when the tombstone is there.
func scsDeleteWins(t *testing.T, p place) {
	ctx, s := t.Context(), p.manager(t).SCS()
	for i := range 5 {
		token := fmt.Sprint("racing-", p.user, i)
		commit := func() error { return s.CommitCtx(ctx, token, []byte("values"), time.Now().Add(time.Hour)) }
		must(t, commit())
		var wg sync.WaitGroup
		for range 4 {
			wg.Go(func() {
				if err := commit(); err != nil && !errors.Is(err, sessions.ErrNotFound) {
					t.Error(err)
				}
			})
		}
		must(t, s.DeleteCtx(ctx, token))
		wg.Wait()
		if b, found, err := s.FindCtx(ctx, token); found || err != nil {
			t.Errorf("got %q, %v, %v; want that the delete wins", b, found, err)
		}
	}
}
