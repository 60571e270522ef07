package app

import (
	"context"
	"database/sql"
	"errors"
	"time"

	"github.com/transload/transload/examples/freight/store"
	"github.com/transload/transload/queue"
)

// A notice is a letter to be sent, by its name alone: what it says and to whom is in
// the database, and in no queue.
type notice struct {
	Event string `json:"event"`
}

// A way is a load whose way is to be measured.
type way struct {
	Load string `json:"load"`
	From string `json:"from"`
	To   string `json:"to"`
}

// The kinds of jobs. A replica has each before its row leaves the outbox.
var (
	mail    = notices("email.send", store.Email)
	text    = notices("sms.send", store.SMS)
	measure = queue.Define[way]("distance.measure", queue.In("distance"), queue.Timeout(time.Minute), queue.Replicated()).
		KeyBy(func(w way) string { return w.Load })
)

// notices are jobs whose key is why something is sent, so that nobody gets it twice.
func notices(name, in string) *queue.Job[notice] {
	return queue.Define[notice](name, queue.In(in), queue.MaxAttempts(8), queue.Timeout(20*time.Second), queue.Replicated()).
		KeyBy(func(n notice) string { return n.Event })
}

func (a *App) jobs(o Options) (err error) {
	_, dialect := o.Store.Dialects()
	if a.ledger, err = queue.NewSQLLedger(o.Store.DB(), dialect); err != nil {
		return err
	}
	if a.outbox, err = queue.NewOutbox(o.Store.DB(), dialect, 0, o.Logger); err != nil {
		return err
	}
	if a.Queue, err = queue.NewClient(o.Link.Client, queue.Options{Outbox: a.outbox, Logger: o.Logger}); err != nil {
		return err
	}
	a.workers, err = queue.NewServer(o.Link.Client, queue.Config{
		Queues: map[string]int{store.Email: 3, store.SMS: 3, "distance": 1}, Stop: 10 * time.Second, Logger: o.Logger})
	if err != nil {
		return err
	}
	return errors.Join(
		mail.Handle(a.workers, a.send(store.Email, a.to.Mail)),
		text.Handle(a.workers, a.send(store.SMS, a.to.SMS)),
		measure.Handle(a.workers, a.measure))
}

// owe enters a letter and the job that sends it: both, or neither, with tx.
func (a *App) owe(ctx context.Context, tx *sql.Tx, l store.Letter) error {
	if err := a.Store.Owe(ctx, tx, l); err != nil {
		return err
	}
	_, err := jobOf(l.Kind).Store(ctx, a.outbox, tx, notice{l.Event})
	return err
}

func jobOf(kind string) *queue.Job[notice] {
	if kind == store.SMS {
		return text
	}
	return mail
}

// send has a provider send a letter once, however often the job is run and whatever
// became of the queue: the effect's name is the letter's.
func (a *App) send(kind string, by Sender) func(context.Context, notice, queue.Meta) error {
	return func(ctx context.Context, n notice, _ queue.Meta) error {
		msg, err := a.write(ctx, kind, n.Event)
		if err != nil {
			return err
		}
		name := kind + ":" + n.Event
		err = queue.Once(ctx, a.ledger, name,
			func(ctx context.Context) error { return by.Send(ctx, name, msg) },
			queue.Ask(func(ctx context.Context) (bool, error) { return by.Sent(ctx, name) }))
		if err != nil {
			return err
		}
		return a.Store.Sent(ctx, kind, n.Event)
	}
}

// measure notes how far a load goes, in one transaction with the note that it was done.
func (a *App) measure(ctx context.Context, w way, _ queue.Meta) error {
	km, err := a.to.Distance(ctx, w.From, w.To)
	if err != nil {
		return err
	}
	err = a.ledger.Tx(ctx, "distance:"+w.Load, func(tx *sql.Tx) error { return a.Store.Measured(ctx, tx, w.Load, km) })
	if err != nil {
		return err
	}
	a.Catalog.forget(ctx, w.Load)
	a.announce(w.Load, "measured", km)
	return nil
}

// What is owed for longer than owedFor, while its job should have run in seconds, is
// enqueued again: a Redis that came back empty has lost its jobs. Those that are still
// there have the same key, and effects happen once.
const (
	owedFor   = time.Minute
	owedEvery = 15 * time.Second
	owedMost  = 500
)

// remind enqueues again what is owed, until ctx is done.
func (a *App) remind(ctx context.Context) error {
	for ctx.Err() == nil {
		sleep(ctx, owedEvery)
		if err := a.remindOnce(ctx); err != nil && ctx.Err() == nil {
			a.log.Warn("what is owed could not be enqueued again: it is tried again", "workload", "queue", "op", "remind", "err", err)
		}
	}
	return nil
}

func (a *App) remindOnce(ctx context.Context) error {
	letters, err := a.Store.Owed(ctx, owedFor, owedMost)
	if err != nil {
		return err
	}
	loads, err := a.Store.Unmeasured(ctx, owedFor, owedMost)
	if err != nil {
		return err
	}
	for _, l := range letters {
		if _, err := jobOf(l.Kind).Enqueue(ctx, a.Queue, notice{l.Event}); err != nil {
			return err
		}
	}
	for _, l := range loads {
		if _, err := measure.Enqueue(ctx, a.Queue, way{l.ID, l.From, l.To}); err != nil {
			return err
		}
	}
	return nil
}
