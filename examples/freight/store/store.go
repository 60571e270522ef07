// Package store is the freight app's database, and with it the truth: what Redis holds
// is a copy, a count or a message on its way. It is PostgreSQL or SQLite, by one SQL.
package store

import (
	"context"
	"crypto/rand"
	"database/sql"
	_ "embed"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	_ "github.com/jackc/pgx/v5/stdlib" // the driver "pgx"
	_ "modernc.org/sqlite"             // the driver "sqlite"

	"github.com/transload/transload/queue"
	"github.com/transload/transload/sessions"
)

var (
	// ErrNotFound means that there is no such thing, or not for who asks.
	ErrNotFound = errors.New("store: not found")

	// ErrTaken means that a load has been booked already.
	ErrTaken = errors.New("store: the load is booked")

	// ErrChanged means that a bid has another price than who accepts it has seen.
	ErrChanged = errors.New("store: the bid has changed")

	// ErrURL means that DATABASE_URL cannot be used; the error that wraps it says why.
	ErrURL = errors.New("store: DATABASE_URL")
)

//go:embed schema.sql
var schema string

// A Store is the database. It is safe for concurrent use.
type Store struct {
	db       *sql.DB
	postgres bool
}

// Open connects to a database, by postgres://… or sqlite:PATH, and makes the tables
// that are missing.
func Open(ctx context.Context, dsn string) (*Store, error) {
	driver, name, err := source(dsn)
	if err != nil {
		return nil, err
	}
	db, err := sql.Open(driver, name)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrURL, err)
	}
	s := &Store{db: db, postgres: driver == "pgx"}
	db.SetMaxOpenConns(16)
	db.SetMaxIdleConns(16)
	if err := s.migrate(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("store: make the tables: %w", err), db.Close())
	}
	return s, nil
}

// source tells which driver a URL is for. Errors hold no URL: it has a password.
func source(dsn string) (driver, name string, err error) {
	scheme, path, _ := strings.Cut(dsn, ":")
	switch scheme {
	case "postgres", "postgresql":
		return "pgx", dsn, nil
	case "sqlite":
		// Writers queue up for the file instead of failing, from their first statement on.
		set := url.Values{"_txlock": {"immediate"}, "_pragma": {"busy_timeout(10000)", "journal_mode(WAL)", "synchronous(NORMAL)"}}
		return "sqlite", "file:" + strings.TrimPrefix(path, "//") + "?" + set.Encode(), nil
	}
	return "", "", fmt.Errorf("%w: want postgres://USER:PASSWORD@HOST/NAME or sqlite:PATH", ErrURL)
}

// migrate makes the tables. Of several processes that begin at once on Postgres, one
// does, and the others wait: CREATE TABLE IF NOT EXISTS may fail for those that race.
func (s *Store) migrate(ctx context.Context) error {
	return s.tx(ctx, func(tx *sql.Tx) error {
		if s.postgres {
			if _, err := tx.ExecContext(ctx, `SELECT pg_advisory_xact_lock(7265)`); err != nil {
				return err
			}
		}
		_, queues := s.Dialects()
		for _, text := range []string{schema, sessions.Schema, queue.Schema(queues)} {
			if _, err := tx.ExecContext(ctx, text); err != nil {
				return err
			}
		}
		return nil
	})
}

// DB is the database itself, for the outbox, the ledger and the sessions' fall-back.
func (s *Store) DB() *sql.DB { return s.db }

// Dialects tell those which SQL it wants.
func (s *Store) Dialects() (sessions.Dialect, queue.Dialect) {
	if s.postgres {
		return sessions.Postgres, queue.Postgres
	}
	return sessions.SQLite, queue.SQLite
}

// Ping asks whether the database answers.
func (s *Store) Ping(ctx context.Context) error { return s.db.PingContext(ctx) }

// Close closes the database.
func (s *Store) Close() error { return s.db.Close() }

// tx runs f in a transaction, which is undone if f fails.
func (s *Store) tx(ctx context.Context, f func(*sql.Tx) error) error {
	tx, err := s.db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	if err := f(tx); err != nil {
		return errors.Join(err, tx.Rollback())
	}
	return tx.Commit()
}

// newID is a name that nobody has given yet.
func newID() string { return strings.ToLower(rand.Text()[:12]) }

// now is the time as the tables have it: milliseconds since 1970.
func now() int64 { return time.Now().UnixMilli() }
