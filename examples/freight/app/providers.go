package app

import (
	"context"
	"fmt"
	"log/slog"

	"github.com/transload/transload/examples/freight/atlas"
	"github.com/transload/transload/examples/freight/store"
	"github.com/transload/transload/queue"
)

// A Sender sends messages: an SMTP server, a text service. It is given a key that is
// the message's own, so that it can tell one that is sent again.
type Sender interface {
	// Send sends a message. An error means that it was not sent.
	Send(ctx context.Context, key string, m store.Message) error

	// Sent reports whether a message with that key was sent: it is asked when a process
	// has died while it sent one.
	Sent(ctx context.Context, key string) (bool, error)
}

// A Router knows how far it is by road, in km. What has failed is asked again, unless the
// error is a queue.Permanent one.
type Router func(ctx context.Context, from, to string) (int64, error)

// Providers are adapters to services outside. Zero fields mean a log.
type Providers struct {
	Mail, SMS Sender
	Distance  Router
}

func (p Providers) or(s *store.Store, log *slog.Logger) Providers {
	if p.Mail == nil {
		p.Mail = logged{s, log}
	}
	if p.SMS == nil {
		p.SMS = logged{s, log}
	}
	if p.Distance == nil {
		p.Distance = byAtlas
	}
	return p
}

// logged sends nothing: it enters messages in the database, where their recipients find
// them under "Messages".
type logged struct {
	store *store.Store
	log   *slog.Logger
}

func (l logged) Send(ctx context.Context, key string, m store.Message) error {
	m.Request = key
	if err := l.store.Deliver(ctx, m); err != nil {
		return err
	}
	l.log.Info("message sent", "workload", "queue", "op", m.Kind, "event", m.Event)
	return nil
}

func (l logged) Sent(ctx context.Context, key string) (bool, error) {
	return l.store.Delivered(ctx, key)
}

func byAtlas(_ context.Context, from, to string) (int64, error) {
	a, ok := atlas.Find(from)
	b, ok2 := atlas.Find(to)
	if !ok || !ok2 {
		return 0, queue.Permanent(fmt.Errorf("freight: no road from %q to %q", from, to))
	}
	return int64(atlas.Plan(a, b).Length()), nil
}
