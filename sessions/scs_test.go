package sessions

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/alexedwards/scs/v2"
	"github.com/redis/go-redis/v9"

	"github.com/transload/transload/internal/redistest"
)

var (
	_ scs.CtxStore         = (*SCS)(nil)
	_ scs.IterableCtxStore = (*SCS)(nil)
)

// scsStore holds the store to what scs asks of one.
func scsStore(t *testing.T, m *Manager, c redis.UniversalClient, user string) {
	ctx := t.Context()
	s := m.SCS()
	token := "token-" + user
	find := func(want string, found bool) {
		t.Helper()
		b, ok, err := s.FindCtx(ctx, token)
		if string(b) != want || ok != found || err != nil {
			t.Errorf("got %q, %v, %v; want %q, %v", b, ok, err, want, found)
		}
	}
	commit := func(data string, left time.Duration) {
		t.Helper()
		if err := s.CommitCtx(ctx, token, []byte(data), time.Now().Add(left)); err != nil {
			t.Fatal(err)
		}
	}
	find("", false)
	commit("one", time.Hour)
	find("one", true)
	commit("two", 2*time.Hour)
	find("two", true)
	id, _ := s.id(token)
	if got := c.PTTL(ctx, scsKey(id)).Val(); got < time.Hour || got > 2*time.Hour {
		t.Errorf("got an expiry in %v; want 2h", got)
	}
	var all map[string][]byte
	redistest.Eventually(t, within, func() (err error) { // a walk is over one side of a migration
		if all, err = s.AllCtx(ctx); err == nil && string(all[s.handle(id)]) != "two" {
			err = errors.New("it is not among all")
		}
		return err
	})
	for handle := range all {
		if strings.Contains(handle, token) {
			t.Error("got a token from the store; want handles")
		}
	}
	if err := s.DeleteCtx(ctx, s.handle(id)); err != nil {
		t.Fatal(err)
	}
	find("", false)
	if got := c.PTTL(ctx, scsKey(id)).Val(); got < time.Hour || got > 2*time.Hour {
		t.Errorf("got an expiry of the tombstone in %v; want that of the session", got)
	}
	if err := s.CommitCtx(ctx, token, []byte("late"), time.Now().Add(time.Hour)); !errors.Is(err, ErrNotFound) {
		t.Errorf("a commit after the delete: got %v; want ErrNotFound", err)
	}
	find("", false)
	if err := s.DeleteCtx(ctx, token); err != nil {
		t.Errorf("again: %v", err)
	}
	if b, ok, err := s.FindCtx(ctx, "handle."+id.String()+".AAAA"); ok || err != nil {
		t.Errorf("a forged handle: got %q, %v, %v; want not found", b, ok, err)
	}
}

// scsDeleteWins over commits that come at the same time, in any order, and over one
// that comes when the tombstone is there.
func scsDeleteWins(t *testing.T, m *Manager, _ redis.UniversalClient, user string) {
	ctx, s := t.Context(), m.SCS()
	for i := range 5 {
		token := fmt.Sprint("racing-", user, i)
		commit := func() error { return s.CommitCtx(ctx, token, []byte("values"), time.Now().Add(time.Hour)) }
		if err := commit(); err != nil {
			t.Fatal(err)
		}
		var wg sync.WaitGroup
		for range 4 {
			wg.Go(func() {
				if err := commit(); err != nil && !errors.Is(err, ErrNotFound) {
					t.Error(err)
				}
			})
		}
		if err := s.DeleteCtx(ctx, token); err != nil {
			t.Fatal(err)
		}
		wg.Wait()
		if b, found, err := s.FindCtx(ctx, token); found || err != nil {
			t.Errorf("got %q, %v, %v; want that the delete wins", b, found, err)
		}
	}
}

// scs itself, from login to logout.
func TestSCSManager(t *testing.T) {
	m, srv := mini(t)
	sm := scs.New()
	sm.Store = m.SCS()
	var failed error
	sm.ErrorFunc = func(w http.ResponseWriter, _ *http.Request, err error) {
		failed = err
		w.WriteHeader(http.StatusServiceUnavailable)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("/login", func(_ http.ResponseWriter, r *http.Request) {
		if err := sm.RenewToken(r.Context()); err != nil {
			t.Error(err)
		}
		sm.Put(r.Context(), "user", "alice")
	})
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		_, _ = w.Write([]byte(sm.GetString(r.Context(), "user")))
	})
	mux.HandleFunc("/logout", func(_ http.ResponseWriter, r *http.Request) { _ = sm.Destroy(r.Context()) })
	h := sm.LoadAndSave(mux)
	var cookie *http.Cookie
	get := func(path string) *httptest.ResponseRecorder {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, path, nil)
		if cookie != nil {
			r.AddCookie(cookie)
		}
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		for _, c := range w.Result().Cookies() {
			cookie = c
		}
		return w
	}
	get("/login")
	if got := get("/").Body.String(); got != "alice" {
		t.Fatalf("got %q; want alice", got)
	}
	n := 0
	err := sm.Iterate(t.Context(), func(ctx context.Context) error { n++; return nil })
	if n != 1 || err != nil {
		t.Errorf("iterate: got %d, %v; want 1", n, err)
	}
	srv.Close()
	if got := get("/").Body.String(); got != "alice" {
		t.Errorf("Redis away: got %q; want alice from memory", got)
	}
	kept := *cookie
	cookie.Value = strings.Repeat("A", 43)
	if w := get("/"); w.Code != http.StatusServiceUnavailable || !errors.Is(failed, ErrUnavailable) || w.Header()["Set-Cookie"] != nil {
		t.Errorf("unknown: got %d, %v, %v; want 503 and the cookie left alone", w.Code, failed, w.Header())
	}
	if err := srv.Restart(); err != nil {
		t.Fatal(err)
	}
	cookie = &kept
	for end := time.Now().Add(within); get("/logout").Code != http.StatusOK; {
		if time.Now().After(end) {
			t.Fatal("no logout")
		}
	}
	kept.MaxAge = 0
	cookie = &kept
	if got := get("/").Body.String(); got != "" {
		t.Errorf("after logout: got %q; want nobody", got)
	}
	if _, ok, err := m.SCS().Find("x"); ok || err != nil {
		t.Errorf("find: got %v, %v", ok, err)
	}
}
