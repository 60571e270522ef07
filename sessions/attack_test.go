package sessions

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
)

// An attacker plants the id of a session of his own in the victim's browser, and
// waits for the victim to log in.
func TestFixation(t *testing.T) {
	m, _ := mini(t)
	attacker := newBrowser(t)
	attacker.login(m, "", cart{[]string{"bait"}})
	victim := attacker.clone()
	victim.login(m, "alice", cart{[]string{"secret"}})
	victim.is(m, Live, "alice")
	if a := attacker.visit(m); a.session == nil || a.session.User != "" || items(t, a.session) != "bait" {
		t.Errorf("got %+v; want that the planted id never leads to the victim's session", a.session)
	}
	if victim.Cookies["__Host-sid"].Value == attacker.Cookies["__Host-sid"].Value {
		t.Error("got the planted id; want a new one")
	}
}

// An id that nobody gave out is not taken over.
func TestInventedID(t *testing.T) {
	m, s := mini(t)
	b := newBrowser(t)
	invented := base64.RawURLEncoding.EncodeToString(bytes.Repeat([]byte{7}, 32))
	b.Cookies["__Host-sid"] = &http.Cookie{Name: "__Host-sid", Value: invented}
	b.is(m, Anonymous, "")
	if _, err := b.logout(m); err != nil {
		t.Fatal(err)
	}
	if keys := s.Keys(); len(keys) != 0 {
		t.Errorf("got keys %v; want that logouts with invented ids fill no memory", keys)
	}
	b.Cookies["__Host-sid"] = &http.Cookie{Name: "__Host-sid", Value: invented}
	b.login(m, "alice", cart{})
	if b.Cookies["__Host-sid"].Value == invented {
		t.Error("got the invented id; want a new one")
	}
}

// Who reads the server gets hashes, none of which is good as a cookie.
func TestStolenHash(t *testing.T) {
	var log bytes.Buffer
	m, s := mini(t, withKeys, func(o *Options) { o.Logger = slog.New(slog.NewTextHandler(&log, nil)) })
	b := newBrowser(t)
	session := b.login(m, "alice", cart{})
	id := b.Cookies["__Host-sid"].Value
	for _, key := range s.Keys() {
		if strings.Contains(key, id) || strings.Contains(s.Dump(), id) {
			t.Fatal("got the id on the server; want its hash alone")
		}
	}
	thief := newBrowser(t)
	for _, value := range []string{session.Handle(), "sess:{" + session.Handle() + "}", session.Handle() + "=", "", strings.Repeat("A", 5000)} {
		thief.Cookies["__Host-sid"] = &http.Cookie{Name: "__Host-sid", Value: value}
		thief.is(m, Anonymous, "")
	}
	s.Close()
	_, err := b.logout(m)
	text := fmt.Sprint(err, log.String(), session, *session)
	slog.New(slog.NewTextHandler(&log, nil)).Info("x", "session", session)
	if text += log.String(); strings.Contains(text, id) {
		t.Errorf("got the id in a log or an error: %s", text)
	}
}

// Two texts that decode to the same id are not both good.
func TestOneTextOneID(t *testing.T) {
	m, _ := mini(t)
	b := newBrowser(t)
	b.login(m, "alice", cart{})
	c := *b.Cookies["__Host-sid"]
	last := strings.IndexByte("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_", c.Value[42])
	c.Value = c.Value[:42] + string("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"[last|1]) // bits that no byte has
	b.Cookies[c.Name] = &c
	b.is(m, Anonymous, "")
}

// The session of one manager is none of another's on the same server.
func TestAnotherManagersID(t *testing.T) {
	m, s := mini(t)
	o := patient()
	o.Name = "admin"
	admin := managerOn(t, miniClient(t, s), o)
	b := newBrowser(t)
	b.login(m, "alice", cart{})
	b.Cookies["__Host-admin"] = &http.Cookie{Name: "__Host-admin", Value: b.Cookies["__Host-sid"].Value}
	b.is(admin, Anonymous, "")
}

func TestOversizedValues(t *testing.T) {
	m, _ := mini(t, func(o *Options) { o.MaxData = 100 })
	b := newBrowser(t)
	s := b.login(m, "alice", raw(100))
	if err := m.Save(t.Context(), s, raw(101)); !errors.Is(err, ErrTooLarge) {
		t.Errorf("save: got %v; want ErrTooLarge", err)
	}
	if string(b.is(m, Live, "alice").Data) != string(raw(100)) {
		t.Error("got other values; want those of before")
	}
	b.with(func(w http.ResponseWriter, r *http.Request) {
		if _, err := m.Start(w, r, "alice", raw(101)); !errors.Is(err, ErrTooLarge) || !strings.Contains(err.Error(), "MaxData") {
			t.Errorf("start: got %v; want ErrTooLarge that names the option", err)
		}
		if _, err := m.Start(w, r, "alice", make(chan int)); err == nil {
			t.Error("values that are no JSON: got no error")
		}
	})
}

func TestBadUsers(t *testing.T) {
	m, _ := mini(t)
	for name, user := range map[string]string{"brace": "a{b}", "long": strings.Repeat("u", 257), "control": "a\nb", "no text": "\xff"} {
		t.Run(name, func(t *testing.T) {
			newBrowser(t).with(func(w http.ResponseWriter, r *http.Request) {
				if _, err := m.Start(w, r, user, nil); !errors.Is(err, ErrUser) || len(w.Header()["Set-Cookie"]) > 0 {
					t.Errorf("got %v, %v; want ErrUser and no cookie", err, w.Header())
				}
			})
			if _, err := m.RevokeUser(t.Context(), user); !errors.Is(err, ErrUser) {
				t.Errorf("revoke: got %v; want ErrUser", err)
			}
		})
	}
}

// A flood of sessions does not fill the memory of a process.
func TestMemoryIsBounded(t *testing.T) {
	m, _ := mini(t, func(o *Options) { o.Memory = 100 * (overhead + 2) })
	for i := range 300 {
		_, id := newToken("sid")
		m.memory.keep(id, &record{data: []byte(fmt.Sprintf("%02d", i%100)), ends: time.Now().Add(time.Hour).UnixMilli()}, time.Now(), true)
	}
	if n, bytes := m.memory.figures(); n != 100 || bytes > m.opt.Memory {
		t.Errorf("got %d sessions of %d bytes; want 100 of at most %d", n, bytes, m.opt.Memory)
	}
}

func TestCookies(t *testing.T) {
	m, _ := mini(t, withKeys, func(o *Options) { o.SameSite = http.SameSiteStrictMode })
	b := newBrowser(t)
	b.login(m, "alice", cart{})
	for _, name := range []string{"__Host-sid", "__Host-sid.e"} {
		if c := b.Cookies[name]; c == nil || c.SameSite != http.SameSiteStrictMode || c.MaxAge <= 0 { // the browser looks at the rest
			t.Errorf("%s: got %+v; want SameSite=Strict and an age", name, c)
		}
	}
	a := b.visit(m)
	if a.header.Get("Cache-Control") != "no-store" || a.header.Get("Vary") != "Cookie" {
		t.Errorf("got %v; want that no cache keeps the response", a.header)
	}
	if _, err := b.logout(m); err != nil || len(b.Cookies) != 0 {
		t.Errorf("after a logout: got %v, %v; want no cookies", b.Cookies, err)
	}
	// One response, one cookie of a name, whatever was done.
	b.with(func(w http.ResponseWriter, r *http.Request) {
		for range 2 {
			if _, err := m.Start(w, r, "alice", nil); err != nil {
				t.Fatal(err)
			}
		}
		if n := len(w.Header()["Set-Cookie"]); n != 2 {
			t.Errorf("got %d cookies; want the id and the envelope", n)
		}
	})
}

func TestOptions(t *testing.T) {
	_, s := mini(t)
	_, err := New(miniClient(t, s), Options{Name: "a b", Lifetime: -1, Idle: 100 * time.Hour, Grace: -1, MaxData: 1, SameSite: http.SameSiteNoneMode,
		Memory: -1, Budget: -1, Keys: [][]byte{{1}}})
	for _, name := range []string{"Name", "Lifetime", "Idle", "Grace", "MaxData", "SameSite", "Memory", "Budget", "Keys"} {
		if !errors.Is(err, ErrOption) || !strings.Contains(err.Error(), name+":") {
			t.Errorf("got %v; want ErrOption with %s in it", err, name)
		}
	}
	if _, err := New(nil, Options{}); !errors.Is(err, ErrOption) {
		t.Errorf("no client: got %v; want ErrOption", err)
	}
	if _, err := NewSQL(nil, Postgres); !errors.Is(err, ErrOption) {
		t.Errorf("no database: got %v; want ErrOption", err)
	}
}

// What From returns for a request without a session is no session to save.
func TestNobodysSession(t *testing.T) {
	m, _ := mini(t)
	s := newBrowser(t).is(m, Anonymous, "")
	for name, err := range map[string]error{
		"save":   m.Save(t.Context(), s, cart{}),
		"update": Update(t.Context(), m, s, func(*cart) error { return nil }),
		"reload": func() error { _, err := m.Reload(t.Context(), s); return err }(),
	} {
		if !errors.Is(err, ErrNotFound) {
			t.Errorf("%s: got %v; want ErrNotFound", name, err)
		}
	}
}

// Who forgets a context, or uses what an Open that failed has returned, is told so.
func TestMisuse(t *testing.T) {
	m, _ := mini(t)
	var none context.Context
	for name, f := range map[string]func() error{
		"list":   func() error { _, err := m.List(none, "alice"); return err },
		"revoke": func() error { return m.Revoke(none, hash{}.String()) },
		"all":    func() error { _, err := m.RevokeUser(none, "alice"); return err },
		"probe":  func() error { return m.Probe(none) },
		"scs":    func() error { _, _, err := m.SCS().FindCtx(none, "token"); return err },
	} {
		if err := f(); err == nil || !strings.Contains(err.Error(), "context is nil") {
			t.Errorf("%s: got %v; want that the context is nil", name, err)
		}
	}
	if n := m.queue.n.Load(); n != 0 {
		t.Errorf("got %d revocations that wait; want none of calls without a context", n)
	}
	if _, err := New((*redis.Client)(nil), Options{}); !errors.Is(err, ErrOption) {
		t.Errorf("a client that is a nil pointer: got %v; want ErrOption", err)
	}
}

// A server that refuses is no reason to log anybody out, whatever its words are.
func TestServerRefuses(t *testing.T) {
	for _, word := range []string{"LOADING Redis is loading", "READONLY You can't write", "OOM command not allowed", "MOVED 1234 127.0.0.1:1",
		"CLUSTERDOWN The cluster is down", "MASTERDOWN Link with MASTER is down", "NOPERM this user has no permissions", "NOAUTH Authentication required.",
		"BUSY Redis is busy", "MISCONF Redis is configured to save RDB snapshots"} {
		name, _, _ := strings.Cut(word, " ")
		t.Run(name, func(t *testing.T) {
			m, s := mini(t)
			fresh := another(t, m, s)
			b, nobody := newBrowser(t), newBrowser(t)
			session := b.login(m, "alice", cart{[]string{"pallet"}})
			s.SetError(word)
			if got := items(t, b.is(m, Degraded, "alice")); got != "pallet" {
				t.Errorf("got %q; want what was seen", got)
			}
			if a := b.visit(fresh); a.status != http.StatusServiceUnavailable || a.header["Set-Cookie"] != nil {
				t.Errorf("another process: got %d, %v; want 503, and the cookies left alone", a.status, a.header)
			}
			if err := m.Save(t.Context(), session, cart{}); !errors.Is(err, ErrUnavailable) {
				t.Errorf("save: got %v; want ErrUnavailable", err)
			}
			nobody.with(func(w http.ResponseWriter, r *http.Request) {
				if _, err := m.Start(w, r, "bob", nil); !errors.Is(err, ErrUnavailable) || len(w.Header()["Set-Cookie"]) != 0 {
					t.Errorf("login: got %v, %v; want ErrUnavailable and no cookie", err, w.Header())
				}
			})
			s.SetError("")
			b.is(fresh, Live, "alice")
		})
	}
}
