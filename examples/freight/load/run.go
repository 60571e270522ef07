package load

import (
	"context"
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/transload/transload/examples/freight/store"
)

// Options say who uses the app. Zero fields mean the default.
type Options struct {
	// URLs are the app's instances. A user stays with one as long as it answers.
	URLs []string
	// Each is how many shippers and how many drivers there are: demo users of the app.
	// The default is 20.
	Each int
	// Pace is the pause of a user between two things that he does. The default is 1s.
	Pace time.Duration
	// Fix is how often a truck sends its position. The default is 500ms.
	Fix time.Duration
	// Watchers is how many of the drivers have the map open. The default is a quarter.
	Watchers int
	// Settle is how long jobs and positions may take to arrive once the load is over. The
	// default is 1m.
	Settle time.Duration

	client *http.Client
}

func (o Options) withDefaults() Options {
	if o.Each == 0 {
		o.Each = 20
	}
	if o.Pace == 0 {
		o.Pace = time.Second
	}
	if o.Fix == 0 {
		o.Fix = 500 * time.Millisecond
	}
	if o.Watchers == 0 {
		o.Watchers = max(1, o.Each/4)
	}
	if o.Settle == 0 {
		o.Settle = time.Minute
	}
	o.client = newClient(4 * o.Each)
	return o
}

// A Load is users at work.
type Load struct {
	o        Options
	j        *Journal
	users    []*user
	watchers []*watcher
	stop     context.CancelFunc // of users
	hide     context.CancelFunc // of watchers, who look on to the end
	work     sync.WaitGroup
	look     sync.WaitGroup
}

// Start signs every user in, and has all work until Stop.
func Start(ctx context.Context, o Options, j *Journal) (*Load, error) {
	l := &Load{o: o.withDefaults(), j: j}
	for n := 1; n <= l.o.Each; n++ {
		for i, role := range []string{store.Shipper, store.Driver} {
			l.users = append(l.users, &user{email: store.DemoEmail(role, n), role: role, o: &l.o, j: j, at: n + i, cookies: map[string]string{}})
		}
	}
	for _, u := range l.users {
		if err := u.signIn(ctx); err != nil {
			return nil, fmt.Errorf("load: sign in %s: %w", u.email, err)
		}
	}
	working, stop := context.WithCancel(ctx)
	looking, hide := context.WithCancel(ctx)
	l.stop, l.hide = stop, hide
	for n, u := range l.users {
		l.work.Go(func() { u.live(working) })
		if u.role == store.Driver {
			l.work.Go(func() { u.travel(working, n) })
		}
	}
	for n := range l.o.Watchers {
		w := &watcher{u: l.users[2*n], last: map[string]fix{}} // shippers
		l.watchers = append(l.watchers, w)
		l.look.Go(func() { w.live(looking) })
	}
	return l, nil
}

// Stop has the users end what they are at. Watchers look on until Check.
func (l *Load) Stop() {
	l.stop()
	l.work.Wait()
}
