package queue

import (
	"database/sql"
	"path/filepath"
	"testing"

	_ "modernc.org/sqlite"

	"github.com/transload/transload/internal/pgtest"
)

// A database has our tables, and one of the app's.
type database struct {
	*sql.DB
	dialect Dialect
}

func databaseOn(t testing.TB, driver, dsn string, d Dialect) database {
	t.Helper()
	db, err := sql.Open(driver, dsn)
	must(t, err)
	t.Cleanup(func() { _ = db.Close() })
	_, err = db.ExecContext(t.Context(), Schema(d)+`; CREATE TABLE effects (name TEXT)`)
	must(t, err)
	return database{db, d}
}

func sqlite(t testing.TB) database {
	path := filepath.Join(t.TempDir(), "app.db")
	return databaseOn(t, "sqlite", path+"?_pragma=busy_timeout(60000)&_pragma=journal_mode(WAL)&_pragma=synchronous(OFF)&_txlock=immediate", SQLite)
}

// sqlSuite is what holds on every database. Each test has one of its own.
var sqlSuite = map[string]func(*testing.T, database){
	"spool":                spool,
	"transactional outbox": transactionalOutbox,
	"relay dies":           relayDies,
	"relay turns":          relayTurns,
	"relay waits":          relayWaits,
	"relay refused":        relayRefused,
	"relay full":           relayFull,
	"stored what passes":   storedWhatPasses,
	"stored in time":       storedInTime,
	"ledger":               func(t *testing.T, db database) { ledgerSuite(t, sqlLedger(t, db)) },
	"effect in its tx":     onceTx,
}

func TestSQLite(t *testing.T) {
	t.Parallel()
	for name, f := range sqlSuite {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f(t, sqlite(t))
		})
	}
}

// PostgreSQL is tried where there is one, by the driver that most apps use.
func TestPostgres(t *testing.T) {
	if testing.Short() {
		t.Skip("needs a PostgreSQL server: left out by -short")
	}
	t.Parallel()
	dsn := pgtest.Start(t)
	admin, err := sql.Open("pgx", dsn)
	must(t, err)
	t.Cleanup(func() { _ = admin.Close() })
	for name, f := range sqlSuite {
		t.Run(name, func(t *testing.T) {
			schema := "s" + newNonce()
			_, err := admin.ExecContext(t.Context(), `CREATE SCHEMA `+schema)
			must(t, err)
			f(t, databaseOn(t, "pgx", dsn+"&search_path="+schema, Postgres))
		})
	}
}
