package store

import (
	"context"
	"database/sql"
	"time"
)

// The kinds of letters.
const (
	Email = "email"
	SMS   = "sms"
)

// A Letter is an e-mail or a text message that somebody is owed.
type Letter struct {
	Event string // why: bid:ID:WHEN or booked:LOAD
	Kind  string
	To    string // a user's id
	Load  string
	Price int64
}

const letterColumns = `event, kind, recipient, load, price`

func scanLetter(s scanner) (l Letter, err error) {
	err = s.Scan(&l.Event, &l.Kind, &l.To, &l.Load, &l.Price)
	return l, err
}

// Owe enters a letter, once for each event and kind.
func (s *Store) Owe(ctx context.Context, tx *sql.Tx, l Letter) error {
	_, err := tx.ExecContext(ctx, `INSERT INTO letters (`+letterColumns+`, sent, created) VALUES ($1, $2, $3, $4, $5, 0, $6)
		ON CONFLICT (event, kind) DO NOTHING`, l.Event, l.Kind, l.To, l.Load, l.Price, now())
	return err
}

// Letter returns what is owed for an event.
func (s *Store) Letter(ctx context.Context, kind, event string) (Letter, error) {
	return one(ctx, s.db, scanLetter, `SELECT `+letterColumns+` FROM letters WHERE kind = $1 AND event = $2`, kind, event)
}

// Sent notes that a letter is owed no more.
func (s *Store) Sent(ctx context.Context, kind, event string) error {
	_, err := s.db.ExecContext(ctx, `UPDATE letters SET sent = $1 WHERE kind = $2 AND event = $3 AND sent = 0`, now(), kind, event)
	return err
}

// Owed returns letters that have been owed for so long, the oldest first.
func (s *Store) Owed(ctx context.Context, since time.Duration, most int) ([]Letter, error) {
	return many(ctx, s.db, scanLetter, `SELECT `+letterColumns+` FROM letters WHERE sent = 0 AND created < $1 ORDER BY created LIMIT $2`,
		now()-since.Milliseconds(), most)
}

// Unmeasured returns loads whose way has not been measured for so long.
func (s *Store) Unmeasured(ctx context.Context, since time.Duration, most int) ([]Load, error) {
	return many(ctx, s.db, scanLoad, `SELECT `+loadColumns+` FROM loads WHERE measured = 0 AND created < $1 ORDER BY created LIMIT $2`,
		now()-since.Milliseconds(), most)
}
