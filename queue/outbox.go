package queue

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"log/slog"
	"time"
)

// storedFor is how long a job from an outbox is kept when it is done, at least: a relay
// that ended between enqueuing and deleting enqueues it again, and must find it.
const storedFor = 10 * time.Minute

// An Outbox keeps jobs in a table until Redis takes them: those for which Redis did
// not answer or was full (Options.Outbox), and those that are to be enqueued if, and
// only if, a transaction of the app's is committed (Store). Relay takes them out, in
// the order of their entry. One that Redis refuses while it takes others is put aside:
// see Aside. It is safe for concurrent use.
type Outbox struct {
	db                       *sql.DB
	log                      *slog.Logger
	most                     int64
	insert, span, sizes      string
	next, one, remove        string
	putAside, aside, back    string
	claim, claimNew, unclaim string
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
	const row = `SELECT seq, job, payload, nonce, settings FROM transload_queue_outbox`
	return &Outbox{db: db, log: log, most: int64(most),
		insert: text(`INSERT INTO transload_queue_outbox (job, payload, nonce, settings) VALUES ($1, $2, $3, $4)`),
		span:   text(`SELECT COALESCE(MAX(seq) - MIN(seq) + 1, 0) FROM transload_queue_outbox WHERE fault = ''`),
		sizes: text(`SELECT COALESCE(SUM(CASE WHEN fault = '' THEN 1 ELSE 0 END), 0), COALESCE(SUM(CASE WHEN fault = '' THEN 0 ELSE 1 END), 0)
			FROM transload_queue_outbox`),
		next:     text(fmt.Sprintf(row+` WHERE fault = '' AND seq > $1 ORDER BY seq LIMIT %d`, relayAtOnce)),
		one:      text(row + ` WHERE fault = '' AND seq = $1`),
		remove:   text(`DELETE FROM transload_queue_outbox WHERE seq = $1`),
		putAside: text(`UPDATE transload_queue_outbox SET fault = $2 WHERE seq = $1`),
		aside:    text(`SELECT seq, job, settings, fault FROM transload_queue_outbox WHERE fault <> '' ORDER BY seq LIMIT $1`),
		back:     text(`UPDATE transload_queue_outbox SET fault = '' WHERE seq = $1 AND fault <> ''`),
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
	if err := o.room(ctx, x, int64(len(entries))); err != nil {
		return err
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

// room refuses what is more than the outbox may hold. Counting all rows would take as
// long as there are many, so that the first and the last say whether there may be too
// many.
func (o *Outbox) room(ctx context.Context, x Execer, more int64) error {
	var span, waiting, aside int64
	err := x.QueryRowContext(ctx, o.span).Scan(&span)
	if err == nil && span+more <= o.most {
		return nil
	}
	if err == nil {
		err = x.QueryRowContext(ctx, o.sizes).Scan(&waiting, &aside)
	}
	switch {
	case err != nil:
		return fmt.Errorf("queue: outbox: %w", err)
	case waiting+more > o.most:
		return fmt.Errorf("%w: %d jobs wait, of %d at most", ErrOutboxFull, waiting, o.most)
	}
	return nil
}

// Size says how many jobs wait for Redis, and how many were put aside. It counts rows,
// so that it takes the longer the more there are.
func (o *Outbox) Size(ctx context.Context) (waiting, aside int64, err error) {
	if err := o.db.QueryRowContext(ctx, o.sizes).Scan(&waiting, &aside); err != nil {
		return 0, 0, fmt.Errorf("queue: outbox: %w", err)
	}
	return waiting, aside, nil
}

// An AsideJob is a job that was put aside.
type AsideJob struct {
	Seq             int64 // its place in the outbox
	ID, Queue, Name string
	Fault           string // why Redis did not take it, without what is in its payload
}

// Aside returns the oldest jobs that were put aside: those that nobody could ever
// enqueue, for their row is damaged, and those that Redis refused twice, before and
// after it took one that came later. Nothing deletes them.
func (o *Outbox) Aside(ctx context.Context, most int) (list []AsideJob, err error) {
	rows, err := o.db.QueryContext(ctx, o.aside, most)
	if err != nil {
		return nil, fmt.Errorf("queue: outbox: %w", err)
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		var job AsideJob
		var text string
		if err := rows.Scan(&job.Seq, &job.Name, &text, &job.Fault); err != nil {
			return nil, fmt.Errorf("queue: outbox: %w", err)
		}
		var s stored
		_ = json.Unmarshal([]byte(text), &s) // that it is damaged may be the fault
		job.ID, job.Queue = s.ID, s.Queue
		list = append(list, job)
	}
	return list, rows.Err()
}

// PutBack has a job that was put aside tried again, in the place that it had: before
// all that came later and still waits.
func (o *Outbox) PutBack(ctx context.Context, seq int64) error {
	was, err := changed(ctx, o.db, o.back, seq)
	if err == nil && !was {
		err = fmt.Errorf("%w: no job with the number %d was put aside", ErrNotFound, seq)
	}
	return err
}
