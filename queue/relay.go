package queue

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"
)

const (
	// relayFor is how long a process may relay after it was last heard of.
	relayFor = 30 * time.Second

	// relayAtOnce is how many jobs are taken out at a time.
	relayAtOnce = 100

	// relayEach is how often an outbox that is empty is looked at, and how long a relay
	// waits after so many jobs of which Redis has refused some.
	relayEach = time.Second

	// relayTold is how often the same fault is logged.
	relayTold = time.Minute
)

// errTurn means that another process relays.
var errTurn = errors.New("another process relays")

// Relay takes jobs out of the outbox and enqueues them by c, in order, until ctx is
// done. Every process may call it: one at a time relays, and another goes on within
// 30s of its end. It returns nil.
func (o *Outbox) Relay(ctx context.Context, c *Client) error {
	owner := newNonce()
	defer o.giveUp(ctx, owner)
	var said string
	var at time.Time
	for {
		_, err := o.relay(ctx, c, owner)
		if err != nil && ctx.Err() == nil && (err.Error() != said || time.Since(at) > relayTold) {
			said, at = err.Error(), time.Now()
			o.log.Warn("the outbox could not be relayed: it is tried again", "workload", workload, "op", "relay", "err", err)
		}
		if !sleep(ctx, relayEach) {
			return nil
		}
	}
}

// giveUp lets another process relay at once.
func (o *Outbox) giveUp(ctx context.Context, owner string) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
	defer cancel()
	_, _ = o.db.ExecContext(ctx, o.unclaim, owner) // else its claim ends by itself
}

// A shift is one way through the outbox, from its head to its end.
type shift struct {
	*Outbox
	client  *Client
	owner   string
	after   int64   // the row from which it goes on
	refused []int64 // rows that Redis has not taken, in their order
	why     error   // the last one's
}

// relay goes once through the outbox, and says how many jobs it has settled.
func (o *Outbox) relay(ctx context.Context, c *Client, owner string) (n int, err error) {
	s := &shift{Outbox: o, client: c, owner: owner}
	for {
		rows, err := o.rows(ctx, o.next, s.after)
		if err != nil {
			return n, err
		}
		for _, r := range rows {
			if err := s.settle(ctx, r); err != nil {
				if errors.Is(err, errTurn) {
					err = nil
				}
				return n, err
			}
			n++
		}
		if len(rows) < relayAtOnce {
			return n, s.end()
		}
		if len(s.refused) > 0 && !sleep(ctx, relayEach) { // it may be all of Redis that refuses
			return n, nil
		}
	}
}

// settle enqueues a job, or passes it over if Redis refuses it. Whether that is the
// job's fault or Redis's is seen when Redis takes another: what it refuses then as
// well is put aside, so that those behind it go on.
func (s *shift) settle(ctx context.Context, r row) error {
	s.after = r.seq
	refusal, err := s.send(ctx, r)
	switch {
	case err != nil:
		return err
	case refusal != nil && r.fault == nil:
		s.refused, s.why = append(s.refused, r.seq), refusal
		return nil
	case refusal != nil:
		return s.setAside(ctx, r, refusal)
	}
	refused := s.refused
	s.refused = nil
	for _, seq := range refused {
		if err := s.again(ctx, seq); err != nil {
			return err
		}
	}
	return nil
}

// again tries a job once more that Redis refused before it took another.
func (s *shift) again(ctx context.Context, seq int64) error {
	rows, err := s.rows(ctx, s.one, seq)
	if err != nil || len(rows) == 0 {
		return err
	}
	refusal, err := s.send(ctx, rows[0])
	if refusal != nil {
		err = s.setAside(ctx, rows[0], refusal)
	}
	return err
}

// send enqueues a job and deletes its row. A refusal is of this job alone; an error
// means that nothing can be relayed now.
func (s *shift) send(ctx context.Context, r row) (refusal, err error) {
	if err := s.claimed(ctx); err != nil {
		return nil, err
	}
	if r.fault != nil {
		return r.fault, nil
	}
	switch err := s.client.relay(ctx, r.entry); {
	case err == nil:
		_, err = s.db.ExecContext(ctx, s.remove, r.seq)
		return nil, err
	case away(err) || errors.Is(err, ErrEvicts):
		return nil, err
	default:
		return err, nil
	}
}

// setAside keeps a job for a human to look at.
func (s *shift) setAside(ctx context.Context, r row, why error) error {
	text := redact(why.Error(), r.entry.payload)
	s.log.Warn("a job of the outbox cannot be enqueued: it is put aside", "workload", workload, "op", "relay", "job", r.entry.name, "seq", r.seq, "err", text)
	s.client.meter.aside.Inc()
	_, err := s.db.ExecContext(ctx, s.putAside, r.seq, text)
	return err
}

// end tells of what Redis refuses while there is nothing that it takes.
func (s *shift) end() error {
	if len(s.refused) == 0 {
		return nil
	}
	return fmt.Errorf("queue: outbox: redis refuses each of %d jobs: %w", len(s.refused), s.why)
}

// claimed claims the relay, or does so again.
func (s *shift) claimed(ctx context.Context) error {
	for _, how := range []string{s.claim, s.claimNew} {
		if mine, err := changed(ctx, s.db, how, s.owner, relayFor.Milliseconds()); err != nil || mine {
			return err
		}
	}
	return errTurn
}

// A row is a job in the outbox.
type row struct {
	seq   int64
	entry *entry
	fault error
}

func (o *Outbox) rows(ctx context.Context, query string, seq int64) (list []row, err error) {
	rows, err := o.db.QueryContext(ctx, query, seq)
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

// relay enqueues what comes from an outbox, which does not go back there.
func (c *Client) relay(ctx context.Context, e *entry) error {
	began, list := time.Now(), []*entry{e}
	err := c.deliver(ctx, list)
	c.meter.enqueued(list, began)
	return err
}
