package queue

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"sync"
	"testing"
	"time"

	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"
)

func sqlLedger(t testing.TB, db database) *SQLLedger {
	t.Helper()
	l, err := NewSQLLedger(db.DB, db.dialect)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func redisLedger(t testing.TB, c redis.UniversalClient) *RedisLedger {
	t.Helper()
	l, err := NewRedisLedger(c, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func TestOnce(t *testing.T) {
	t.Parallel()
	r, _ := mini(t)
	ledgerSuite(t, redisLedger(t, r))
}

func ledgerSuite(t *testing.T, l Ledger) {
	ctx := t.Context()
	t.Run("once", func(t *testing.T) {
		effect, n := newNonce(), 0
		for range 3 {
			if err := Once(ctx, l, effect, func(context.Context) error { n++; return nil }); err != nil {
				t.Fatal(err)
			}
		}
		if n != 1 {
			t.Errorf("it was applied %d times; want once", n)
		}
	})
	t.Run("an error gives it back", func(t *testing.T) {
		effect, n := newNonce(), 0
		for i, want := range []error{errors.ErrUnsupported, nil, nil} {
			if err := Once(ctx, l, effect, func(context.Context) error { n++; return want }); !errors.Is(err, want) {
				t.Errorf("call %d: got %v; want %v", i, err, want)
			}
		}
		if n != 2 {
			t.Errorf("it was tried %d times; want twice", n)
		}
	})
	t.Run("busy", func(t *testing.T) {
		effect := newNonce()
		err := Once(ctx, l, effect, func(context.Context) error {
			return Once(ctx, l, effect, func(context.Context) error { t.Error("it was applied inside itself"); return nil })
		})
		if !errors.Is(err, ErrBusy) {
			t.Errorf("got %v; want ErrBusy", err)
		}
	})
	t.Run("in doubt", func(t *testing.T) { inDoubt(t, l) })
	t.Run("calls made twice", func(t *testing.T) {
		effect := newNonce()
		for range 2 {
			if p, err := l.Begin(ctx, effect, "a", time.Hour); p != Fresh || err != nil {
				t.Errorf("begin: got %v, %v; want fresh", p, err)
			}
		}
		for range 2 {
			if err := l.Release(ctx, effect, "b"); err != nil {
				t.Error(err)
			}
		}
		if p, err := l.Begin(ctx, effect, "b", time.Hour); p != Busy || err != nil {
			t.Errorf("after another's release: got %v, %v; want busy", p, err)
		}
		for range 2 {
			if err := l.Commit(ctx, effect, "a"); err != nil {
				t.Error(err)
			}
		}
		if err := l.Release(ctx, effect, "a"); err != nil {
			t.Error(err)
		}
		if p, err := l.Begin(ctx, effect, "a", time.Hour); p != Applied || err != nil {
			t.Errorf("got %v, %v; want applied", p, err)
		}
	})
	t.Run("all at once", func(t *testing.T) {
		effect := newNonce()
		runs := newTally()
		var wg sync.WaitGroup
		for range 16 {
			wg.Go(func() {
				err := Once(ctx, l, effect, func(context.Context) error { runs.add(effect); return nil })
				if err != nil && !errors.Is(err, ErrBusy) {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		if n := runs.of(effect); n != 1 {
			t.Errorf("it was applied %d times; want once", n)
		}
	})
}

// A process has died between an effect and its note.
func inDoubt(t *testing.T, l Ledger) {
	ctx := t.Context()
	begun := func() string {
		effect := newNonce()
		if p, err := l.Begin(ctx, effect, "the dead", time.Millisecond); p != Fresh || err != nil {
			t.Fatalf("got %v, %v", p, err)
		}
		time.Sleep(5 * time.Millisecond) // the claim ends, on the ledger's clock
		return effect
	}
	never := func(context.Context) error { t.Error("it was applied"); return nil }
	effect := begun()
	err := Once(ctx, l, effect, never)
	if !errors.Is(err, ErrInDoubt) || !errors.Is(err, asynq.SkipRetry) {
		t.Errorf("got %v; want ErrInDoubt, permanent", err)
	}
	asked := func(applied bool, err error) OnceOption {
		return Ask(func(context.Context) (bool, error) { return applied, err })
	}
	if err := Once(ctx, l, effect, never, asked(true, nil)); err != nil {
		t.Errorf("it was applied, says who knows: got %v", err)
	}
	if err := Once(ctx, l, effect, never); err != nil {
		t.Errorf("after that: got %v; want that it is noted", err)
	}
	n := 0
	if err := Once(ctx, l, begun(), func(context.Context) error { n++; return nil }, asked(false, nil)); err != nil || n != 1 {
		t.Errorf("it was not applied, says who knows: got %v, applied %d times", err, n)
	}
	if err := Once(ctx, l, begun(), never, asked(false, errors.ErrUnsupported)); !errors.Is(err, errors.ErrUnsupported) {
		t.Errorf("who knows does not answer: got %v", err)
	}
	effect = newNonce()
	err = Once(ctx, l, effect, func(context.Context) error { return fmt.Errorf("time-out: %w", ErrInDoubt) })
	if !errors.Is(err, ErrInDoubt) {
		t.Errorf("got %v; want ErrInDoubt", err)
	}
	if err := Once(ctx, l, effect, never); !errors.Is(err, ErrBusy) {
		t.Errorf("within its claim: got %v; want ErrBusy", err)
	}
}

// An effect in the ledger's database is applied with its note, or not at all.
func onceTx(t *testing.T, db database) {
	l := sqlLedger(t, db)
	book := func(fail error) func(*sql.Tx) error {
		return func(tx *sql.Tx) error {
			_, err := tx.ExecContext(t.Context(), `INSERT INTO effects VALUES ('invoice')`)
			return errors.Join(err, fail)
		}
	}
	for i, fail := range []error{errors.ErrUnsupported, nil, nil} {
		if err := l.Tx(t.Context(), "invoice 7", book(fail)); !errors.Is(err, fail) {
			t.Errorf("call %d: got %v; want %v", i, err, fail)
		}
	}
	var n int
	if err := db.QueryRowContext(t.Context(), `SELECT count(*) FROM effects`).Scan(&n); err != nil || n != 1 {
		t.Errorf("got %d effects, %v; want one", n, err)
	}
	time.Sleep(5 * time.Millisecond)
	if n, err := l.Forget(t.Context(), time.Millisecond); err != nil || n != 1 {
		t.Errorf("forget: got %d, %v; want one", n, err)
	}
}

// The ledger is away when the effect has been applied: it is not applied again.
func TestLedgerAway(t *testing.T) {
	t.Parallel()
	r, s := mini(t)
	l := redisLedger(t, r)
	effect := newNonce()
	err := Once(t.Context(), l, effect, func(context.Context) error { s.SetError("LOADING away"); return nil }, Claim(time.Second))
	if err != nil {
		t.Errorf("got %v; want none: the effect was applied", err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond) // else it asks for 5s
	defer cancel()
	if err := Once(ctx, l, newNonce(), func(context.Context) error { t.Error("applied without a claim"); return nil }); !errors.Is(err, ErrUnavailable) {
		t.Errorf("got %v; want ErrUnavailable", err)
	}
	s.SetError("")
	never := func(context.Context) error { t.Error("it was applied again"); return nil }
	if err := Once(t.Context(), l, effect, never); !errors.Is(err, ErrBusy) && !errors.Is(err, ErrInDoubt) {
		t.Errorf("got %v; want ErrBusy or ErrInDoubt", err)
	}
}

func TestLedgerOptions(t *testing.T) {
	r, _ := mini(t)
	if _, err := NewRedisLedger(r, time.Second); !errors.Is(err, ErrOption) {
		t.Errorf("got %v; want ErrOption", err)
	}
	if _, err := NewSQLLedger(nil, SQLite); !errors.Is(err, ErrOption) {
		t.Errorf("got %v; want ErrOption", err)
	}
	if _, err := NewSQLLedger(&sql.DB{}, 0); !errors.Is(err, ErrOption) {
		t.Errorf("got %v; want ErrOption", err)
	}
	if err := Once(t.Context(), redisLedger(t, r), "", nil); !errors.Is(err, ErrOption) {
		t.Errorf("got %v; want ErrOption", err)
	}
}

// A deaf ledger does as it is told, and its answers to Begin are lost.
type deaf struct {
	Ledger
	left int
}

func (d *deaf) Begin(ctx context.Context, effect, owner string, claim time.Duration) (Progress, error) {
	p, err := d.Ledger.Begin(ctx, effect, owner, claim)
	if d.left--; d.left >= 0 {
		return 0, io.EOF
	}
	return p, err
}

// A claim that was noted without an answer is no doubt.
func TestBeginUnanswered(t *testing.T) {
	t.Parallel()
	r, _ := mini(t)
	l := redisLedger(t, r)
	n := 0
	apply := func(context.Context) error { n++; return nil }
	must(t, Once(t.Context(), &deaf{l, 1}, "one", apply))
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := Once(ctx, &deaf{l, 1 << 20}, "two", apply); !errors.Is(err, io.EOF) || n != 1 {
		t.Errorf("got %v, applied %d times; want the ledger's error", err, n)
	}
	must(t, Once(t.Context(), l, "two", apply))
	if n != 2 {
		t.Errorf("applied %d times; want once each", n)
	}
}
