package sessions

import (
	"context"
	"database/sql"
	"errors"
	"net/http"
	"testing"

	"github.com/redis/go-redis/v9"
)

// A meeting runs do once, right before a manager's client sends a script.
type meeting struct {
	script *redis.Script
	do     func()
}

func meet(m *Manager, script *redis.Script, do func()) {
	m.redis.c.(*redis.Client).AddHook(&meeting{script, do})
}

func (*meeting) DialHook(next redis.DialHook) redis.DialHook { return next }

func (*meeting) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return next
}

func (h *meeting) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		if do := h.do; do != nil && cmd.Name() == "evalsha" && cmd.Args()[1] == h.script.Hash() {
			h.do = nil
			do()
		}
		return next(ctx, cmd)
	}
}

// Another process saves while this one rotates: the new id has what was saved.
func TestSaveWhileRotating(t *testing.T) {
	var db *sql.DB
	m, s := mini(t, withSQL(t, &db))
	other := another(t, m, s)
	b := newBrowser(t)
	session := b.login(m, "alice", cart{})
	meet(m, retireScript, func() {
		if err := other.Save(t.Context(), session, cart{[]string{"pallet"}}); err != nil {
			t.Error(err)
		}
	})
	if _, err := b.rotate(m); err != nil {
		t.Fatal(err)
	}
	if got := items(t, b.is(m, Live, "alice")); got != "pallet" {
		t.Errorf("got %q; want what was saved meanwhile", got)
	}
	if n := rows(t, db); n != 1 {
		t.Errorf("got %d rows; want that of the new id", n)
	}
	if list, err := m.List(t.Context(), "alice"); len(list) != 1 || err != nil {
		t.Errorf("got %d sessions, %v; want that the first copy is gone", len(list), err)
	}
}

// Another process logs the user out while this one rotates: no id is left.
func TestLogoutWhileRotating(t *testing.T) {
	for name, script := range map[string]*redis.Script{"before the copy": createScript, "after it": retireScript} {
		t.Run(name, func(t *testing.T) {
			var db *sql.DB
			m, s := mini(t, withSQL(t, &db))
			other := another(t, m, s)
			b := newBrowser(t)
			b.login(m, "alice", cart{})
			meet(m, script, func() {
				if _, err := b.clone().logout(other); err != nil {
					t.Error(err)
				}
			})
			if _, err := b.rotate(m); !errors.Is(err, ErrNotFound) {
				t.Errorf("got %v; want ErrNotFound", err)
			}
			b.is(m, Anonymous, "")
			if list, err := m.List(t.Context(), "alice"); len(list) != 0 || err != nil || rows(t, db) != 0 {
				t.Errorf("got %d sessions, %v, %d rows; want none", len(list), err, rows(t, db))
			}
		})
	}
}

// All sessions of a user are revoked while he logs in or rotates: either that fails,
// or it began after the list was read.
func TestRevokeUserWhileBeginning(t *testing.T) {
	for name, tt := range map[string]struct {
		script *redis.Script
		fails  bool
	}{
		"before the entry":       {enlistScript, false},
		"between entry and copy": {createScript, true},
	} {
		t.Run(name, func(t *testing.T) {
			var db *sql.DB
			m, s := mini(t, withSQL(t, &db))
			other := another(t, m, s)
			b := newBrowser(t)
			meet(m, tt.script, func() {
				if _, err := other.RevokeUser(t.Context(), "alice"); err != nil {
					t.Error(err)
				}
			})
			var err error
			b.with(func(w http.ResponseWriter, r *http.Request) { _, err = m.Start(w, r, "alice", cart{}) })
			if tt.fails != errors.Is(err, ErrConflict) || tt.fails != (len(b.Cookies) == 0) || tt.fails != (rows(t, db) == 0) {
				t.Errorf("got %v, %d cookies, %d rows; want that it fails: %v", err, len(b.Cookies), rows(t, db), tt.fails)
			}
		})
	}
	t.Run("while rotating", func(t *testing.T) {
		m, s := mini(t)
		other := another(t, m, s)
		b := newBrowser(t)
		b.login(m, "alice", cart{})
		meet(m, retireScript, func() {
			if _, err := other.RevokeUser(t.Context(), "alice"); err != nil {
				t.Error(err)
			}
		})
		if _, err := b.rotate(m); !errors.Is(err, ErrNotFound) {
			t.Errorf("got %v; want ErrNotFound", err)
		}
		if list, err := m.List(t.Context(), "alice"); len(list) != 0 || err != nil {
			t.Errorf("got %d sessions, %v; want none", len(list), err)
		}
	})
}

// A save that was read before a logout, and is sent after it.
func TestLogoutWhileSaving(t *testing.T) {
	m, s := mini(t)
	other := another(t, m, s)
	b := newBrowser(t)
	session := b.login(m, "alice", cart{})
	meet(m, saveScript, func() {
		if _, err := b.clone().logout(other); err != nil {
			t.Error(err)
		}
	})
	if err := m.Save(t.Context(), session, cart{[]string{"late"}}); !errors.Is(err, ErrNotFound) {
		t.Errorf("got %v; want ErrNotFound", err)
	}
	b.is(m, Anonymous, "")
}
