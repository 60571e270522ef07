package topology

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
)

// ErrNoPrimary is in the errors of commands for which there was no primary to
// send them to. Such a command was not sent. It waits for DialTimeout, and is
// tried again as Retries has it, until there has been no primary for twice as
// long; from then on commands fail at once. The text tells what was waited for.
var ErrNoPrimary error = noPrimary{}

type noPrimary struct{}

func (noPrimary) Error() string { return "topology: no primary" }

// Unanswered tells breakers that no server said this.
func (noPrimary) Unanswered() {}

// redial lies between two tries to connect to a primary that is held to be well.
const redial = 50 * time.Millisecond

// A watching is what the watchers of a primary and of a cluster have in common: a
// loop that alone knows what is so, goroutines that ask servers and report to it,
// and those who want to connect. All goroutines start with the first connection
// that is wanted, and end with close.
type watching struct {
	c     *Client
	name  string // of its own connections
	pulse pulse
	run   func(context.Context) // the loop

	reports  chan func()  // to be called by the loop
	troubles chan trouble // holds one: that there is any is enough
	start    sync.Once
	ctx      context.Context // of the goroutines
	cancel   context.CancelFunc
	wg       sync.WaitGroup
}

// A trouble is a connection that broke.
type trouble struct {
	addr string
	err  error
}

// A seat is where connections to one place lead, be it the primary or a node of a
// cluster, for those who want to connect.
type seat struct {
	conns   *bundle // nil for nowhere
	epoch   uint64  // of the sentinels' word that was the latest when it was taken
	waiting string  // why no connection is to be made just now; "" if one is
	since   time.Time
	futile  bool          // whoever could be asked has refused: waiting would not help
	hasty   bool          // nobody is to wait for it: its calls can go elsewhere
	next    chan struct{} // closed when there is another seat
}

// same reports whether two seats differ in nothing but next.
func (s *seat) same(t *seat) bool {
	a, b := *s, *t
	a.next, b.next = nil, nil
	return a == b
}

func newWatching(c *Client, name string) *watching {
	w := &watching{c: c, name: name, reports: make(chan func()), troubles: make(chan trouble, 1)}
	w.ctx, w.cancel = context.WithCancel(context.Background()) //nolint:forbidigo // it outlives every caller, and ends with close
	return w
}

// begin starts the watching, once. After close it does nothing.
func (w *watching) begin() {
	w.start.Do(func() {
		if w.ctx.Err() == nil {
			w.wg.Go(func() { w.run(w.ctx) })
		}
	})
}

// close ends the watching, and all that waits for a primary, and returns when
// nothing of it runs any more.
func (w *watching) close() {
	w.cancel()
	w.start.Do(func() {}) // whoever starts it now comes too late, whoever has is waited for
	w.wg.Wait()
}

// tell hands a report to the loop.
func (w *watching) tell(ctx context.Context, f func()) {
	select {
	case w.reports <- f:
	case <-ctx.Done():
	case <-w.ctx.Done():
	}
}

// broke takes a connection that broke for a sign of trouble.
func (w *watching) broke(addr string, err error) {
	select {
	case w.troubles <- trouble{addr, err}:
	default: // another one waits to be looked into
	}
}

// connect connects to where seat leads. Where that is nowhere it waits; whom for
// says what for.
func (w *watching) connect(ctx context.Context, whom string, seat func() *seat) (net.Conn, error) {
	began := time.Now()
	for {
		s := seat()
		why, again := s.waiting, time.Duration(0)
		if why == "" {
			conn, err := w.connectTo(ctx, s.conns)
			if err == nil {
				return conn, nil
			}
			w.broke(s.conns.addr, err)
			if s.hasty {
				return nil, err
			}
			why, again = fmt.Sprintf("%s does not take connections: %v", s.conns.addr, err), redial
		} else if s.hasty {
			return nil, &net.OpError{Op: "dial", Net: "tcp", Err: errors.New(why)}
		}
		switch err := w.await(ctx, s, again); {
		case err == nil:
		case errors.Is(err, redis.ErrClosed):
			return nil, err
		default:
			none := fmt.Errorf("%w: waited %v for %s: %s", ErrNoPrimary, time.Since(began).Round(time.Millisecond), whom, why)
			if errors.Is(err, ErrNoPrimary) {
				return nil, none
			}
			// It may be another's time that is up: go-redis hands what was dialled for
			// a call that has left to one that has just come. So this is tried again.
			return nil, &net.OpError{Op: "dial", Net: "tcp", Err: none}
		}
	}
}

// await waits until the seat is taken by another, or for again if that is not 0.
func (w *watching) await(ctx context.Context, s *seat, again time.Duration) error {
	if s.futile || !s.since.IsZero() && time.Since(s.since) > 2*w.c.cfg.DialTimeout {
		// Who calls now has less to hope for than those before, who waited in vain.
		// Let it do without Redis at once; the next call after the primary is back
		// finds it.
		return ErrNoPrimary
	}
	var timeUp <-chan time.Time
	if again > 0 {
		timer := time.NewTimer(again)
		defer timer.Stop()
		timeUp = timer.C
	}
	select {
	case <-w.ctx.Done():
		return redis.ErrClosed
	case <-ctx.Done():
		return ctx.Err()
	case <-timeUp:
	case <-s.next:
	}
	return nil
}

// connectTo connects to one server, for as long as it keeps its place.
func (w *watching) connectTo(ctx context.Context, b *bundle) (net.Conn, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	leave, ok := b.join(cancel)
	if !ok {
		return nil, b.cause()
	}
	defer leave()
	conn, err := w.c.dialler.dial(ctx, "tcp", b.addr)
	if err != nil {
		return nil, err
	}
	bound, ok := b.hold(conn)
	if !ok {
		return nil, b.cause()
	}
	return bound, nil
}
