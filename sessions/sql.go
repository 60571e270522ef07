package sessions

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"time"
)

// A Dialect is how a database wants its SQL.
type Dialect uint8

const (
	// Postgres is PostgreSQL 12 or later, by any driver with $1 for parameters. It was
	// tried with 15 and pgx.
	Postgres Dialect = iota + 1
	// SQLite is 3.24 or later.
	SQLite
)

// Schema makes the table of a fall-back, in either dialect. Put it into the app's
// migrations.
const Schema = `CREATE TABLE IF NOT EXISTS transload_sessions (
	hash    TEXT   PRIMARY KEY,
	user_id TEXT   NOT NULL,
	data    TEXT   NOT NULL,
	version BIGINT NOT NULL,
	created BIGINT NOT NULL,
	ends    BIGINT NOT NULL,
	idle    BIGINT NOT NULL
);
CREATE INDEX IF NOT EXISTS transload_sessions_user ON transload_sessions (user_id);
CREATE INDEX IF NOT EXISTS transload_sessions_ends ON transload_sessions (ends);`

const (
	// sqlAtOnce bounds the calls of a database that are under way, so that an outage
	// of Redis is none of the database: so many that look an id up, and so many others.
	// Who sends ids that he invented has the former for himself, and keeps nobody from
	// logging in or out.
	sqlAtOnce = 16

	// sqlWithin bounds one of them, with its wait for a turn.
	sqlWithin = time.Second
)

// A SQL is a fall-back: a database that knows every session too, so that a Redis
// that has lost some, or all, logs nobody out. Sessions are written to it when they
// begin, change and end, and read from it when Redis does not have them or does not
// answer. It is safe for concurrent use.
//
// Times are by the database's own clock, in milliseconds. The idle time of a session
// is noted each quarter of Options.Idle, so that one which Redis has lost may be over
// that much early.
type SQL struct {
	db                                             *sql.DB
	insert, find, save, prolong, remove, of, sweep string
	looks, turns                                   chan struct{}
}

// clocks tell the database's time, in ms since 1970.
var clocks = map[Dialect]string{
	Postgres: `CAST(extract(epoch FROM clock_timestamp()) * 1000 AS BIGINT)`,
	SQLite:   `CAST((julianday('now') - 2440587.5) * 86400000 AS INTEGER)`,
}

// NewSQL makes a fall-back on a database that has the table of Schema. It asks the
// database nothing. The database stays the caller's.
func NewSQL(db *sql.DB, d Dialect) (*SQL, error) {
	now, ok := clocks[d]
	if db == nil || !ok {
		return nil, fmt.Errorf("%w: Fallback: it needs a database, and Postgres or SQLite as its dialect", ErrOption)
	}
	text := func(s string) string {
		s = strings.NewReplacer("NOW", now, "TABLE", "transload_sessions").Replace(s)
		if d == SQLite { // ?1 stands where Postgres has $1
			s = strings.ReplaceAll(s, "$", "?")
		}
		return s
	}
	return &SQL{db: db, looks: make(chan struct{}, sqlAtOnce), turns: make(chan struct{}, sqlAtOnce),
		insert: text(`INSERT INTO TABLE (hash, user_id, data, version, created, ends, idle)
			VALUES ($1, $2, $3, $4, NOW - CAST($5 AS BIGINT), NOW + CAST($6 AS BIGINT), NOW + CAST($7 AS BIGINT)) ON CONFLICT (hash) DO NOTHING`),
		find:    text(`SELECT user_id, data, version, NOW - created, ends - NOW FROM TABLE WHERE hash = $1 AND ends > NOW AND idle > NOW`),
		save:    text(`UPDATE TABLE SET data = $2, version = $3 WHERE hash = $1 AND version < $3`),
		prolong: text(`UPDATE TABLE SET idle = NOW + CAST($2 AS BIGINT) WHERE hash = $1 AND idle < NOW + CAST($2 AS BIGINT) * 3 / 4`),
		remove:  text(`DELETE FROM TABLE WHERE hash = $1`),
		of:      text(`SELECT hash FROM TABLE WHERE user_id = $1 AND created <= NOW - CAST($2 AS BIGINT)`),
		sweep:   text(`DELETE FROM TABLE WHERE ends < NOW OR idle < NOW`),
	}, nil
}

// Sweep deletes the sessions that are over, and says how many there were. Call it
// once an hour or so: nothing else does.
func (s *SQL) Sweep(ctx context.Context) (int64, error) {
	res, err := s.db.ExecContext(ctx, s.sweep)
	if err != nil {
		return 0, fmt.Errorf("sessions: sweep: %w", err)
	}
	return res.RowsAffected()
}

// call waits for a turn and runs f, within sqlWithin. Its errors are ErrUnavailable,
// but for ErrNotFound.
func (s *SQL) call(ctx context.Context, turns chan struct{}, f func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, sqlWithin)
	defer cancel()
	select {
	case turns <- struct{}{}:
		defer func() { <-turns }()
	case <-ctx.Done():
		return fmt.Errorf("%w: fall-back: %w", ErrUnavailable, context.Cause(ctx))
	}
	err := f(ctx)
	if err != nil && !errors.Is(err, ErrNotFound) {
		return fmt.Errorf("%w: fall-back: %w", ErrUnavailable, err)
	}
	return err
}

// exec runs a statement, and returns how many rows it changed.
func (s *SQL) exec(ctx context.Context, statement string, args ...any) (n int64, err error) {
	err = s.call(ctx, s.turns, func(ctx context.Context) error {
		res, err := s.db.ExecContext(ctx, statement, args...)
		if err == nil {
			n, err = res.RowsAffected()
		}
		return err
	})
	return n, err
}

// row reads a session, and how old it is and how long it has to live.
func (s *SQL) row(ctx context.Context, id hash) (r *record, at span, err error) {
	var age, left int64
	r = &record{}
	err = s.call(ctx, s.looks, func(ctx context.Context) error {
		var data string
		err := s.db.QueryRowContext(ctx, s.find, id.String()).Scan(&r.user, &data, &r.version, &age, &left)
		if errors.Is(err, sql.ErrNoRows) {
			return ErrNotFound
		}
		r.data = []byte(data)
		return err
	})
	if err != nil {
		return nil, span{}, err
	}
	at = aged(time.Duration(age)*time.Millisecond, time.Duration(left)*time.Millisecond)
	now := time.Now() // where Redis is away, its clock is too
	r.created, r.ends = now.Add(-at.age).UnixMilli(), now.Add(at.left).UnixMilli()
	return r, at, nil
}

// ids returns those of a user's sessions that are older than an age.
func (s *SQL) ids(ctx context.Context, user string, age time.Duration) (list []hash, err error) {
	err = s.call(ctx, s.turns, func(ctx context.Context) error {
		rows, err := s.db.QueryContext(ctx, s.of, user, age.Milliseconds())
		if err != nil {
			return err
		}
		defer func() { _ = rows.Close() }()
		for rows.Next() {
			var text string
			if err := rows.Scan(&text); err != nil {
				return err
			}
			if id, ok := parseHandle(text); ok {
				list = append(list, id)
			}
		}
		return rows.Err()
	})
	return list, err
}
