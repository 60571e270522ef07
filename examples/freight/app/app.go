// Package app is what the freight app does, without how it is shown: a market of loads,
// for which drivers bid, and a fleet of trucks that can be watched. The database is the
// truth. Redis has five workloads, and each goes on in its own way while that is away:
//
//	ratelimit  users and routes      each process grants its share
//	sessions   who is signed in      from memory, the database or a signed cookie
//	queue      e-mail, SMS, routes   jobs wait in the database's outbox
//	pubsub     positions, news       sockets stay open and say how old what they show is
//	cache      loads, carriers       from memory, then the database within a limit
package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/transload/transload/examples/freight/link"
	"github.com/transload/transload/examples/freight/store"
	"github.com/transload/transload/pubsub"
	"github.com/transload/transload/queue"
	"github.com/transload/transload/ratelimit"
	"github.com/transload/transload/sessions"
)

// Options are what an App is made of. Store and Link are required, and stay the
// caller's.
type Options struct {
	Store *store.Store
	Link  *link.Link
	// Keys sign what keeps users signed in while Redis is away: see sessions.Options.
	Keys [][]byte
	// Providers carry out e-mail, SMS and distances. The default is a log.
	Providers Providers
	// Logger takes what a human should look at. The default discards.
	Logger *slog.Logger
}

// An App is one process of it. Make it with New, and have Run run.
type App struct {
	Store    *store.Store
	Link     *link.Link
	Limits   *ratelimit.Limiter
	Sessions *sessions.Manager
	Hub      *pubsub.Hub
	Queue    *queue.Client
	Catalog  *Catalog
	Fleet    *Fleet
	Registry *prometheus.Registry

	log     *slog.Logger
	sql     *sessions.SQL
	ledger  *queue.SQLLedger
	outbox  *queue.Outbox
	workers *queue.Server
	to      Providers
	news    chan item
	began   time.Time
	status  atomic.Pointer[Status]
	guests  guests
}

// New makes an App. It asks neither Redis nor the database.
func New(o Options) (*App, error) {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	a := &App{Store: o.Store, Link: o.Link, log: o.Logger, to: o.Providers.or(o.Store, o.Logger),
		news:  make(chan item, 1024), // news of loads: what does not fit is dropped, and seen at the next look
		began: time.Now(), Registry: prometheus.NewRegistry(), guests: guests{all: map[string]Guest{}}}
	for _, part := range []func(Options) error{a.limits, a.sessions, a.live, a.jobs, a.catalog, a.metrics} {
		if err := part(o); err != nil {
			return nil, fmt.Errorf("freight: %w", err)
		}
	}
	return a, nil
}

// limits tell how much one user may do. LocalShare for signing in as well: while Redis
// is away it works by the database, and what each process grants is bounded.
var limits = []ratelimit.Policy{
	{Name: "pages", Limit: 1200, Per: time.Minute},
	{Name: "sign-in", Limit: 600, Per: 15 * time.Minute},            // by address, which an office shares
	{Name: "password", Limit: GuessesAtOnce, Per: 15 * time.Minute}, // by account, and only if it was wrong
	{Name: "post", Limit: 60, Per: time.Minute, Algorithm: ratelimit.GCRA, Burst: 20},
	{Name: "bid", Limit: 120, Per: time.Minute, Algorithm: ratelimit.GCRA, Burst: 40},
	{Name: "gps", Limit: 10, Per: time.Second, Algorithm: ratelimit.GCRA, Burst: 40},
}

func (a *App) limits(o Options) (err error) {
	a.Limits, err = ratelimit.New(o.Link.Client, limits, ratelimit.WithLogger(o.Logger))
	return err
}

// GuessesAtOnce is how many wrong passwords an account may be sent in a quarter of an
// hour.
const GuessesAtOnce = 10

// Guess counts a password for an account before it is looked at, and reports whether it
// may be. Right takes that back.
func (a *App) Guess(ctx context.Context, email string) (bool, error) {
	d, err := a.Limits.Take(ctx, account(email), ratelimit.Only("password"))
	return d.Allowed, err
}

// Right says that the password was right. That it cannot be told costs the user one of
// his guesses, and no more.
func (a *App) Right(ctx context.Context, email string) {
	_ = a.Limits.Refund(ctx, account(email), ratelimit.Only("password"))
}

func account(email string) string { return "account " + strings.ToLower(strings.TrimSpace(email)) }

// A Visitor is what a session holds.
type Visitor struct {
	Name string `json:"name"`
	Role string `json:"role"`
}

func (a *App) sessions(o Options) (err error) {
	dialect, _ := o.Store.Dialects()
	if a.sql, err = sessions.NewSQL(o.Store.DB(), dialect); err != nil {
		return err
	}
	a.Sessions, err = sessions.New(o.Link.Client, sessions.Options{Keys: o.Keys, Fallback: a.sql, Logger: o.Logger})
	return err
}

// metrics gathers those of all that there is.
func (a *App) metrics(o Options) error {
	all := append(o.Link.Collectors(), a.Limits.Metrics(), a.Sessions.Metrics(), a.Hub.Metrics(), a.Catalog.Metrics(), a.Queue.Figures())
	var err error
	for _, c := range all {
		err = errors.Join(err, a.Registry.Register(c))
	}
	role := func(name string) prometheus.Registerer {
		return prometheus.WrapRegistererWith(prometheus.Labels{"part": name}, a.Registry)
	}
	return errors.Join(err, role("client").Register(a.Queue.Metrics()), role("server").Register(a.workers.Metrics()))
}

// Run works until ctx is done: it listens, runs jobs, publishes positions, and sweeps.
// It returns when all of that has ended.
func (a *App) Run(ctx context.Context) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	parts := []func(context.Context) error{
		a.Hub.Run, a.workers.Run, a.Fleet.Run, a.tell, a.watch, a.remind, a.sweep, a.Catalog.Run,
		func(ctx context.Context) error { return a.outbox.Relay(ctx, a.Queue) },
	}
	var wg sync.WaitGroup
	errs := make(chan error, len(parts))
	for _, run := range parts {
		wg.Go(func() {
			if err := run(ctx); err != nil && ctx.Err() == nil {
				errs <- err
				stop() // the others
			}
		})
	}
	wg.Wait()
	close(errs)
	return <-errs // nil if there is none
}

// sweepEvery is how often what is over is deleted from the database.
const sweepEvery = time.Hour

func (a *App) sweep(ctx context.Context) error {
	t := time.NewTicker(sweepEvery)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-t.C:
			_, err := a.sql.Sweep(ctx)
			if _, err2 := a.ledger.Forget(ctx, queue.DefaultKeep); err != nil || err2 != nil {
				a.log.Warn("the database was not swept", "op", "sweep", "err", errors.Join(err, err2))
			}
		}
	}
}

// closeWithin bounds what Close may still tell Redis.
const closeWithin = 2 * time.Second

// Close ends what New has made, once Run has returned.
func (a *App) Close() error {
	ctx, cancel := context.WithTimeout(context.Background(), closeWithin)
	defer cancel()
	return errors.Join(a.Catalog.Close(), a.Sessions.Close(), a.Limits.Close(ctx))
}
