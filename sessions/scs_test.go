package sessions

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/alexedwards/scs/v2"
)

var (
	_ scs.CtxStore         = (*SCS)(nil)
	_ scs.IterableCtxStore = (*SCS)(nil)
)

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

// A commit whose reply comes after the delete leaves nothing to answer with while Redis
// is away.
func TestSCSDeletedInOutage(t *testing.T) {
	m, server := mini(t)
	s, ctx := m.SCS(), t.Context()
	if err := s.CommitCtx(ctx, "token", []byte("values"), time.Now().Add(time.Hour)); err != nil {
		t.Fatal(err)
	}
	id, _ := s.id("token")
	rec, at := m.memory.recall(id)
	if err := s.DeleteCtx(ctx, "token"); err != nil {
		t.Fatal(err)
	}
	m.memory.keep(id, rec, at, false)
	server.Close()
	if b, found, err := s.FindCtx(ctx, "token"); found || err != nil {
		t.Errorf("got %q, %v, %v; want not found", b, found, err)
	}
}
