package queue

import (
	"context"
	"database/sql"
	"fmt"
	"strings"
	"time"
)

// A Dialect is how a database wants its SQL.
type Dialect uint8

const (
	// Postgres is PostgreSQL 12 or later, by any driver with $1 for parameters.
	Postgres Dialect = iota + 1
	// SQLite is 3.35 or later.
	SQLite
)

// Schema returns what makes the tables of an outbox and of a ledger. Put it into the
// app's migrations.
func Schema(d Dialect) string {
	seq, blob := "BIGSERIAL PRIMARY KEY", "BYTEA"
	if d == SQLite {
		seq, blob = "INTEGER PRIMARY KEY AUTOINCREMENT", "BLOB"
	}
	return strings.NewReplacer("SEQ", seq, "BYTES", blob).Replace(`CREATE TABLE IF NOT EXISTS transload_queue_outbox (
	seq      SEQ,
	job      TEXT   NOT NULL,
	payload  BYTES  NOT NULL,
	nonce    TEXT   NOT NULL,
	settings TEXT   NOT NULL,
	fault    TEXT   NOT NULL DEFAULT ''
);
CREATE TABLE IF NOT EXISTS transload_queue_relay (
	name  TEXT   PRIMARY KEY,
	owner TEXT   NOT NULL,
	until BIGINT NOT NULL
);
CREATE TABLE IF NOT EXISTS transload_queue_effects (
	effect TEXT   PRIMARY KEY,
	owner  TEXT   NOT NULL,
	state  TEXT   NOT NULL,
	until  BIGINT NOT NULL,
	noted  BIGINT NOT NULL
);
CREATE INDEX IF NOT EXISTS transload_queue_effects_noted ON transload_queue_effects (noted);`)
}

// dialect makes texts of ours the database's own. NOW is its clock in milliseconds.
func (d Dialect) dialect(db *sql.DB, who string) (func(string) string, error) {
	now, ok := map[Dialect]string{
		Postgres: `CAST(extract(epoch FROM clock_timestamp()) * 1000 AS BIGINT)`,
		SQLite:   `CAST((julianday('now') - 2440587.5) * 86400000 AS INTEGER)`,
	}[d]
	if db == nil || !ok {
		return nil, fmt.Errorf("%w: %s: it needs a database, and Postgres or SQLite as its dialect", ErrOption, who)
	}
	return func(s string) string {
		s = strings.ReplaceAll(s, "NOW", now)
		if d == SQLite { // ?1 stands where Postgres has $1
			s = strings.ReplaceAll(s, "$", "?")
		}
		return s
	}, nil
}

// An Execer is a *sql.DB, or a *sql.Tx of the app's own.
type Execer interface {
	ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}

// changed reports whether a statement changed a row.
func changed(ctx context.Context, x Execer, statement string, args ...any) (bool, error) {
	res, err := x.ExecContext(ctx, statement, args...)
	if err != nil {
		return false, err
	}
	n, err := res.RowsAffected()
	return n > 0, err
}

// A SQLLedger keeps effects in the app's database, by the database's clock.
type SQLLedger struct {
	db                                                    *sql.DB
	begin, look, retake, commit, release, applied, forget string
}

// NewSQLLedger makes a ledger on a database that has the tables of Schema. It asks
// the database nothing. The database stays the caller's.
func NewSQLLedger(db *sql.DB, d Dialect) (*SQLLedger, error) {
	text, err := d.dialect(db, "NewSQLLedger")
	if err != nil {
		return nil, err
	}
	const insert = `INSERT INTO transload_queue_effects (effect, owner, state, until, noted) VALUES `
	return &SQLLedger{db: db,
		begin: text(insert + `($1, $2, 'begun', NOW + CAST($3 AS BIGINT), NOW) ON CONFLICT (effect) DO NOTHING`),
		look:  text(`SELECT owner, state, CASE WHEN until > NOW THEN 1 ELSE 0 END FROM transload_queue_effects WHERE effect = $1`),
		retake: text(`UPDATE transload_queue_effects SET owner = $2, until = NOW + CAST($3 AS BIGINT)
			WHERE effect = $1 AND state = 'begun' AND (owner = $2 OR until <= NOW)`),
		commit:  text(insert + `($1, $2, 'applied', 0, NOW) ON CONFLICT (effect) DO UPDATE SET state = 'applied', noted = NOW`),
		release: text(`DELETE FROM transload_queue_effects WHERE effect = $1 AND owner = $2 AND state = 'begun'`),
		applied: text(insert + `($1, '', 'applied', 0, NOW) ON CONFLICT (effect) DO NOTHING`),
		forget:  text(`DELETE FROM transload_queue_effects WHERE noted < NOW - CAST($1 AS BIGINT)`),
	}, nil
}

// Begin implements Ledger.
func (l *SQLLedger) Begin(ctx context.Context, effect, owner string, claim time.Duration) (Progress, error) {
	fresh, err := changed(ctx, l.db, l.begin, effect, owner, claim.Milliseconds())
	if err != nil || fresh {
		return Fresh, err
	}
	var by, state string
	var alive bool
	err = l.db.QueryRowContext(ctx, l.look, effect).Scan(&by, &state, &alive)
	switch {
	case err != nil: // also one that was released at this moment: the job comes again
		return 0, err
	case state == "applied":
		return Applied, nil
	case by == owner:
		return Fresh, nil
	case alive:
		return Busy, nil
	}
	return Doubt, nil
}

// Retake implements Ledger.
func (l *SQLLedger) Retake(ctx context.Context, effect, owner string, claim time.Duration) (bool, error) {
	return changed(ctx, l.db, l.retake, effect, owner, claim.Milliseconds())
}

// Commit implements Ledger.
func (l *SQLLedger) Commit(ctx context.Context, effect, owner string) error {
	_, err := changed(ctx, l.db, l.commit, effect, owner)
	return err
}

// Release implements Ledger.
func (l *SQLLedger) Release(ctx context.Context, effect, owner string) error {
	_, err := changed(ctx, l.db, l.release, effect, owner)
	return err
}

// Tx applies an effect that is rows in this database, in one transaction with its
// note: exactly once, whatever ends when. What was applied before is left out, and is
// no error.
func (l *SQLLedger) Tx(ctx context.Context, effect string, apply func(tx *sql.Tx) error) error {
	tx, err := l.db.BeginTx(ctx, nil)
	if err != nil {
		return fmt.Errorf("queue: once: %w", err)
	}
	defer func() { _ = tx.Rollback() }() // does nothing after a commit
	fresh, err := changed(ctx, tx, l.applied, effect)
	if err != nil {
		return fmt.Errorf("queue: once: %w", err)
	}
	if !fresh {
		return nil
	}
	if err := apply(tx); err != nil {
		return err
	}
	if err := tx.Commit(); err != nil {
		return fmt.Errorf("queue: once: %w", err)
	}
	return nil
}

// Forget deletes notes that are older than keep, which must be longer than any job
// can wait for a run, such as DefaultKeep, and says how many there were. Call it once
// a day or so: nothing else does.
func (l *SQLLedger) Forget(ctx context.Context, keep time.Duration) (int64, error) {
	res, err := l.db.ExecContext(ctx, l.forget, keep.Milliseconds())
	if err != nil {
		return 0, fmt.Errorf("queue: forget: %w", err)
	}
	return res.RowsAffected()
}
