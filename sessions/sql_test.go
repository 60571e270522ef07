package sessions

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"testing"
	"time"

	_ "github.com/jackc/pgx/v5/stdlib"
	_ "modernc.org/sqlite"

	"github.com/transload/transload/internal/redistest"
)

// withSQL gives a manager a fall-back.
func withSQL(t *testing.T, db **sql.DB) func(*Options) {
	t.Helper()
	d, dialect := database(t)
	if _, err := d.ExecContext(t.Context(), Schema); err != nil {
		t.Fatal(err)
	}
	f, err := NewSQL(d, dialect)
	if err != nil {
		t.Fatal(err)
	}
	*db = d
	return func(o *Options) { o.Fallback = f }
}

// database is SQLite, or where POSTGRES_URL leads, there in a schema of the test's own.
func database(t *testing.T) (*sql.DB, Dialect) {
	t.Helper()
	opened := func(driver, name string) *sql.DB {
		d, err := sql.Open(driver, name)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = d.Close() })
		return d
	}
	to := os.Getenv("POSTGRES_URL")
	if to == "" {
		return opened("sqlite", filepath.Join(t.TempDir(), "sessions.db")+"?_pragma=busy_timeout(20000)"), SQLite
	}
	schema := "test_" + newNonce()
	admin := opened("pgx", to)
	if _, err := admin.ExecContext(t.Context(), "CREATE SCHEMA "+schema); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _, _ = admin.ExecContext(context.Background(), "DROP SCHEMA "+schema+" CASCADE") })
	at, err := url.Parse(to)
	if err != nil {
		t.Fatal(err)
	}
	q := at.Query()
	q.Set("search_path", schema)
	at.RawQuery = q.Encode()
	return opened("pgx", at.String()), Postgres
}

func rows(t *testing.T, db *sql.DB) (n int) {
	t.Helper()
	if err := db.QueryRowContext(t.Context(), `SELECT count(*) FROM transload_sessions`).Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

// Redis restarts empty: nobody is logged out.
func TestRedisLosesEverything(t *testing.T) {
	var db *sql.DB
	m, s := mini(t, withSQL(t, &db))
	b := newBrowser(t)
	was := b.login(m, "alice", cart{[]string{"pallet"}})
	if err := m.Save(t.Context(), was, cart{[]string{"crate"}}); err != nil {
		t.Fatal(err)
	}
	s.FlushAll()
	now := b.is(another(t, m, s), Live, "alice")
	if items(t, now) != "crate" || now.Expires.Sub(was.Expires).Abs() > within {
		t.Errorf("got %s until %v; want crate until %v", now.Data, now.Expires, was.Expires)
	}
	if err := m.Save(t.Context(), now, cart{[]string{"box"}}); err != nil {
		t.Errorf("a save after it was restored: %v", err)
	}
	if list, err := m.List(t.Context(), "alice"); len(list) != 1 || err != nil {
		t.Errorf("got %d sessions, %v; want it back in the list", len(list), err)
	}
	if _, err := b.clone().logout(m); err != nil {
		t.Fatal(err)
	}
	b.is(m, Anonymous, "")
	if n := rows(t, db); n != 0 {
		t.Errorf("got %d rows; want none after the logout", n)
	}
	s.FlushAll()
	b.is(m, Anonymous, "")
}

// Redis is away: who logs in has a session all the same, and a logout is known.
func TestFallbackInOutage(t *testing.T) {
	var db *sql.DB
	m, s := mini(t, withSQL(t, &db))
	old := newBrowser(t)
	old.login(m, "bob", cart{})
	o := m.opt
	o.Fallback = nil
	unwritten := newBrowser(t)
	unwritten.login(managerOn(t, miniClient(t, s), o), "carol", cart{}) // begun before there was a database
	fresh := another(t, m, s)
	s.Close()
	b := newBrowser(t)
	session := b.login(m, "alice", cart{[]string{"pallet"}})
	if !session.Confirmed {
		t.Error("got an unconfirmed session; want the fall-back's word")
	}
	if got := items(t, b.is(fresh, Degraded, "alice")); got != "pallet" {
		t.Errorf("got %q; want pallet", got)
	}
	if _, err := old.clone().logout(m); !errors.Is(err, ErrUnavailable) {
		t.Errorf("logout: got %v; want ErrUnavailable", err)
	}
	for name, b := range map[string]*browser{"ended, as the database tells another process": old, "begun without the database": unwritten} {
		if a := b.visit(fresh); a.status != http.StatusServiceUnavailable || a.header["Set-Cookie"] != nil {
			t.Errorf("%s: got %d, %v; want 503", name, a.status, a.state)
		}
	}
	if err := s.Restart(); err != nil {
		t.Fatal(err)
	}
	s.FlushAll()
	waitLive(t, b, fresh)
	old.is(fresh, Anonymous, "")
}

func waitLive(t *testing.T, b *browser, m *Manager) {
	t.Helper()
	for end := time.Now().Add(within); ; time.Sleep(10 * time.Millisecond) {
		a := b.visit(m)
		if a.state == Live {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("got %v; want Live", a.state)
		}
	}
}

// Who ends a session while another process restores it wins.
func TestRestoreAgainstLogout(t *testing.T) {
	var db *sql.DB
	m, s := mini(t, withSQL(t, &db))
	b := newBrowser(t)
	id := b.login(m, "alice", cart{}).id
	s.FlushAll()
	row, at, err := m.opt.Fallback.row(t.Context(), id) // a process has read the row, and stops
	if err != nil {
		t.Fatal(err)
	}
	if _, err := b.clone().logout(m); err != nil {
		t.Fatal(err)
	}
	if _, _, err := m.put(t.Context(), id, *row, at); !errors.Is(err, errGone) { // and goes on
		t.Errorf("got %v; want a tombstone", err)
	}
	b.is(m, Anonymous, "")
}

func TestFallbackAway(t *testing.T) {
	var db *sql.DB
	m, s := mini(t, withSQL(t, &db))
	b := newBrowser(t)
	b.login(m, "alice", cart{})
	_ = db.Close()
	b.is(m, Live, "alice") // not asked
	other := newBrowser(t)
	other.login(m, "bob", cart{})
	s.FlushAll()
	if a := b.visit(another(t, m, s)); a.status != http.StatusServiceUnavailable {
		t.Errorf("got %d, %v; want 503: nobody can say", a.status, a.state)
	}
	if _, err := b.logout(m); !errors.Is(err, ErrUnavailable) {
		t.Errorf("logout: got %v; want ErrUnavailable", err)
	}
}

func TestIdleInFallback(t *testing.T) {
	var db *sql.DB
	m, s := mini(t, withSQL(t, &db), func(o *Options) { o.Idle = time.Hour })
	b := newBrowser(t)
	b.login(m, "alice", cart{})
	clock := clocks[SQLite]
	if os.Getenv("POSTGRES_URL") != "" {
		clock = clocks[Postgres]
	}
	idle := func(left time.Duration) {
		t.Helper()
		if _, err := db.ExecContext(t.Context(), fmt.Sprintf(`UPDATE transload_sessions SET idle = %s + %d`, clock, left.Milliseconds())); err != nil {
			t.Fatal(err)
		}
	}
	idle(30 * time.Minute)
	b.is(another(t, m, s), Live, "alice") // notes the use
	s.FlushAll()
	b.is(another(t, m, s), Live, "alice")
	idle(-time.Second)
	s.FlushAll()
	b.is(another(t, m, s), Anonymous, "")
	if n, err := m.opt.Fallback.Sweep(t.Context()); n != 1 || err != nil {
		t.Errorf("sweep: got %d, %v; want 1", n, err)
	}
}

func TestRevokeUserInFallback(t *testing.T) {
	var db *sql.DB
	m, s := mini(t, withSQL(t, &db))
	b, kept := newBrowser(t), newBrowser(t)
	b.login(m, "alice", cart{})
	handle := kept.login(m, "alice", cart{}).Handle()
	s.FlushAll() // in no list any more
	if n, err := m.RevokeUser(t.Context(), "alice", handle); n != 1 || err != nil {
		t.Errorf("got %d, %v; want 1", n, err)
	}
	b.is(m, Anonymous, "")
	kept.is(m, Live, "alice")
	if _, err := kept.rotate(m); err != nil {
		t.Fatal(err)
	}
	if n := rows(t, db); n != 1 {
		t.Errorf("got %d rows; want that of the new id", n)
	}
}

// An id that was replaced while the database did not take it out is not restored when
// its grace is over.
func TestReplacedIsNotRestored(t *testing.T) {
	if os.Getenv("POSTGRES_URL") != "" {
		t.Skip("the trigger is SQLite's")
	}
	var db *sql.DB
	m, s := mini(t, withSQL(t, &db), func(o *Options) { o.Grace = time.Second })
	run := func(statement string) {
		t.Helper()
		if _, err := db.ExecContext(t.Context(), statement); err != nil {
			t.Fatal(err)
		}
	}
	b := newBrowser(t)
	b.login(m, "alice", cart{})
	old := b.clone()
	run(`CREATE TRIGGER keep BEFORE DELETE ON transload_sessions BEGIN SELECT RAISE(ABORT, 'kept'); END`)
	if _, err := b.rotate(m); err != nil {
		t.Fatal(err)
	}
	old.is(another(t, m, s), Live, "alice") // in its grace
	run(`DROP TRIGGER keep`)
	redistest.Eventually(t, within, func() error {
		if n := m.queue.n.Load(); n != 0 {
			return fmt.Errorf("%d revocations wait", n)
		}
		return nil
	})
	s.FastForward(m.opt.Grace)
	old.is(another(t, m, s), Anonymous, "")
	b.is(m, Live, "alice")
}

// A failover loses a save, and the user saves again: that is what the database has
// afterwards, and who read what was lost does not write over it.
func TestSaveAfterALostOne(t *testing.T) {
	var db *sql.DB
	m, s := mini(t, withSQL(t, &db))
	b := newBrowser(t)
	first := b.login(m, "alice", cart{})
	before := *first
	promoted := map[string]string{} // what a replica has that lacks the saves
	for _, field := range []string{"v", "n", "d"} {
		promoted[field] = s.HGet(first.id.key(), field)
	}
	for _, item := range []string{"lost", "lost too"} {
		if err := m.Save(t.Context(), first, cart{[]string{item}}); err != nil {
			t.Fatal(err)
		}
	}
	for field, was := range promoted {
		s.HSet(first.id.key(), field, was)
	}
	time.Sleep(5 * time.Millisecond) // a failover takes longer
	if err := m.Save(t.Context(), &before, cart{[]string{"kept"}}); err != nil {
		t.Fatal(err)
	}
	if err := m.Save(t.Context(), first, cart{[]string{"of what was lost"}}); !errors.Is(err, ErrConflict) {
		t.Errorf("a save of what was lost: got %v; want ErrConflict", err)
	}
	s.FlushAll()
	if got := items(t, b.is(another(t, m, s), Live, "alice")); got != "kept" {
		t.Errorf("got %q from the database; want kept", got)
	}
}
