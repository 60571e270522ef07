package queue

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"time"
)

const (
	// relayFor is how long a process may relay after it was last heard of.
	relayFor = 30 * time.Second

	// relayAtOnce is how many jobs are taken out at a time.
	relayAtOnce = 100

	// relayEach is how often an outbox that is empty is looked at.
	relayEach = time.Second

	// storedFor is how long a job from an outbox is kept when it is done, at least: a
	// relay that ended between enqueuing and deleting enqueues it again, and must find
	// it.
	storedFor = 10 * time.Minute
)

// An Outbox keeps jobs in a table until Redis takes them: those for which Redis did
// not answer (Options.Outbox), and those that are to be enqueued if, and only if, a
// transaction of the app's is committed (Store). Relay takes them out, in the order
// of their entry. It is safe for concurrent use.
type Outbox struct {
	db                                 *sql.DB
	log                                *slog.Logger
	most                               int64
	insert, size, oldest, remove, mark string
	claim, claimNew, unclaim           string
}

// NewOutbox makes an outbox on a database that has the tables of Schema. It holds
// most jobs at most; 0 means 100,000. It asks the database nothing. The database
// stays the caller's. A nil logger discards.
func NewOutbox(db *sql.DB, d Dialect, most int, log *slog.Logger) (*Outbox, error) {
	text, err := d.dialect(db, "NewOutbox")
	if err != nil {
		return nil, err
	}
	if most == 0 {
		most = 100_000
	}
	if err := positive("NewOutbox", most); err != nil {
		return nil, err
	}
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	return &Outbox{db: db, log: log, most: int64(most),
		insert: text(`INSERT INTO transload_queue_outbox (job, payload, nonce, settings) VALUES ($1, $2, $3, $4)`),
		size:   text(`SELECT COALESCE(MAX(seq) - MIN(seq) + 1, 0) FROM transload_queue_outbox WHERE fault = ''`),
		oldest: text(fmt.Sprintf(`SELECT seq, job, payload, nonce, settings FROM transload_queue_outbox WHERE fault = '' ORDER BY seq LIMIT %d`, relayAtOnce)),
		remove: text(`DELETE FROM transload_queue_outbox WHERE seq = $1`),
		mark:   text(`UPDATE transload_queue_outbox SET fault = $2 WHERE seq = $1`),
		claim: text(`UPDATE transload_queue_relay SET owner = $1, until = NOW + CAST($2 AS BIGINT)
			WHERE name = 'relay' AND (owner = $1 OR until <= NOW)`),
		claimNew: text(`INSERT INTO transload_queue_relay (name, owner, until) VALUES ('relay', $1, NOW + CAST($2 AS BIGINT)) ON CONFLICT (name) DO NOTHING`),
		unclaim:  text(`DELETE FROM transload_queue_relay WHERE owner = $1`),
	}, nil
}

// Store puts a job into the outbox, within a transaction of the app's: it is enqueued
// if that is committed, and only then.
func (j *Job[T]) Store(ctx context.Context, o *Outbox, tx Execer, v T, opts ...Option) (Receipt, error) {
	e, err := j.entry(v, opts)
	if err != nil {
		return Receipt{}, err
	}
	if err := o.add(ctx, tx, []*entry{e}); err != nil {
		return Receipt{}, err
	}
	return e.receipt(), nil
}

// stored is a job's settings in their column.
type stored struct {
	Queue    string        `json:"queue"`
	ID       string        `json:"id"`
	Attempts int           `json:"attempts"`
	Timeout  time.Duration `json:"timeout"`
	Deadline time.Time     `json:"deadline,omitzero"`
	At       time.Time     `json:"at,omitzero"`
	Unique   time.Duration `json:"unique,omitempty"`
	Retain   time.Duration `json:"retain"`
	Replicas bool          `json:"replicated,omitempty"`
}

// add puts entries into the table, all or none if x is a transaction.
func (o *Outbox) add(ctx context.Context, x Execer, entries []*entry) error {
	var size int64
	if err := x.QueryRowContext(ctx, o.size).Scan(&size); err != nil {
		return fmt.Errorf("queue: outbox: %w", err)
	}
	if size+int64(len(entries)) > o.most {
		return fmt.Errorf("%w: %d jobs wait, of %d at most", ErrOutboxFull, size, o.most)
	}
	for _, e := range entries {
		s, err := json.Marshal(stored{e.queue, e.id, e.attempts, e.timeout, e.deadline, e.at, e.unique, max(e.retain, storedFor), e.replicated})
		if err != nil {
			return fmt.Errorf("queue: outbox: %w", err)
		}
		if _, err := x.ExecContext(ctx, o.insert, e.name, e.payload, e.nonce, string(s)); err != nil {
			return fmt.Errorf("queue: outbox: %w", err)
		}
		e.state = Stored
	}
	return nil
}

// Relay takes jobs out of the outbox and enqueues them by c, in order, until ctx is
// done. Every process may call it: one at a time relays, and another goes on within
// 30s of its end. It returns nil.
func (o *Outbox) Relay(ctx context.Context, c *Client) error {
	owner := newNonce()
	defer o.giveUp(ctx, owner)
	for {
		n, err := o.relay(ctx, c, owner)
		if err != nil && ctx.Err() == nil {
			o.log.Warn("the outbox could not be relayed: it is tried again", "workload", workload, "op", "relay", "err", err)
		}
		if n < relayAtOnce || err != nil {
			if !sleep(ctx, relayEach) {
				return nil
			}
		}
	}
}

// giveUp lets another process relay at once.
func (o *Outbox) giveUp(ctx context.Context, owner string) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
	defer cancel()
	_, _ = o.db.ExecContext(ctx, o.unclaim, owner) // else its claim ends by itself
}

// relay enqueues the oldest jobs, and says how many there were.
func (o *Outbox) relay(ctx context.Context, c *Client, owner string) (int, error) {
	rows, err := o.rows(ctx)
	if err != nil || len(rows) == 0 {
		return 0, err
	}
	for _, r := range rows {
		if mine, err := o.claimed(ctx, owner); err != nil || !mine {
			return 0, err
		}
		if err := o.send(ctx, c, r); err != nil {
			return 0, err
		}
	}
	return len(rows), nil
}

// claimed claims the relay, or does so again.
func (o *Outbox) claimed(ctx context.Context, owner string) (bool, error) {
	mine, err := changed(ctx, o.db, o.claim, owner, relayFor.Milliseconds())
	if err != nil || mine {
		return mine, err
	}
	return changed(ctx, o.db, o.claimNew, owner, relayFor.Milliseconds())
}

// A row is a job in the outbox.
type row struct {
	seq   int64
	entry *entry
	fault error
}

func (o *Outbox) rows(ctx context.Context) (list []row, err error) {
	rows, err := o.db.QueryContext(ctx, o.oldest)
	if err != nil {
		return nil, err
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		var text string
		r := row{entry: &entry{}}
		if err := rows.Scan(&r.seq, &r.entry.name, &r.entry.payload, &r.entry.nonce, &text); err != nil {
			return nil, err
		}
		r.fault = r.entry.restore(text)
		list = append(list, r)
	}
	return list, rows.Err()
}

// restore reads the column of settings, in which others may have written.
func (e *entry) restore(text string) error {
	var s stored
	if err := json.Unmarshal([]byte(text), &s); err != nil {
		return err
	}
	e.settings = settings{queue: s.Queue, id: s.ID, attempts: s.Attempts, timeout: s.Timeout, deadline: s.Deadline,
		at: s.At, unique: s.Unique, retain: s.Retain, replicated: s.Replicas}
	err := errors.Join(checkName("job", e.name), checkName("queue", s.Queue), checkName("id", s.ID),
		positive("attempts", s.Attempts), atLeastSecond("timeout", s.Timeout))
	if len(e.nonce) != nonceLen {
		err = errors.Join(err, fmt.Errorf("%w: nonce: it has %d letters, not %d", ErrOption, len(e.nonce), nonceLen))
	}
	return err
}

// send enqueues a job and deletes it. One that can never be enqueued is put aside,
// for a human to look, so that those behind it go on.
func (o *Outbox) send(ctx context.Context, c *Client, r row) error {
	err := r.fault
	if err == nil {
		err = c.relay(ctx, r.entry)
	}
	switch {
	case err == nil:
		_, err = o.db.ExecContext(ctx, o.remove, r.seq)
	case r.fault != nil:
		o.log.Warn("a job in the outbox cannot be enqueued: it is put aside", "workload", workload, "op", "relay", "seq", r.seq, "err", err)
		_, err = o.db.ExecContext(ctx, o.mark, r.seq, redact(err.Error(), r.entry.payload))
	}
	return err
}

// relay enqueues what comes from an outbox, which does not go back there.
func (c *Client) relay(ctx context.Context, e *entry) error {
	began, list := time.Now(), []*entry{e}
	err := c.deliver(ctx, list)
	c.meter.enqueued(list, began)
	return err
}
