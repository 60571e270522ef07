package store

import (
	"context"
	"time"
)

// A Message is an e-mail or a text message that the log in place of a provider has
// sent.
type Message struct {
	Kind    string    `json:"kind"`
	To      string    `json:"-"` // a user's id
	Subject string    `json:"subject"`
	Body    string    `json:"body"`
	Event   string    `json:"event"` // why it was sent
	Request string    `json:"-"`     // the name that the provider was given for it
	Created time.Time `json:"created"`
}

// Deliver enters a message as sent. Like a provider, it does not look whether it was
// sent before.
func (s *Store) Deliver(ctx context.Context, m Message) error {
	_, err := s.db.ExecContext(ctx, `INSERT INTO messages (id, kind, recipient, subject, body, event, request, created)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8)`, newID(), m.Kind, m.To, m.Subject, m.Body, m.Event, m.Request, now())
	return err
}

// Delivered reports whether a message was sent under a name.
func (s *Store) Delivered(ctx context.Context, request string) (bool, error) {
	n, err := one(ctx, s.db, func(row scanner) (n int, err error) {
		err = row.Scan(&n)
		return n, err
	}, `SELECT COUNT(*) FROM messages WHERE request = $1`, request)
	return n > 0, err
}

// Messages returns what was sent to a user, the newest first.
func (s *Store) Messages(ctx context.Context, user string, most int) ([]Message, error) {
	return many(ctx, s.db, func(row scanner) (m Message, err error) {
		var created int64
		err = row.Scan(&m.Kind, &m.To, &m.Subject, &m.Body, &m.Event, &m.Request, &created)
		m.Created = time.UnixMilli(created).UTC()
		return m, err
	}, `SELECT kind, recipient, subject, body, event, request, created FROM messages WHERE recipient = $1 ORDER BY created DESC, id LIMIT $2`, user, most)
}
