package topology

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"
)

// ErrNoPrimary is in the errors of commands for which there was no primary to
// send them to, within the dial time-out or the context's deadline, whichever
// was over first. Such a command was not sent. It is not tried again by Retries:
// the time-out was spent on waiting for a primary as it was. The text tells what
// was waited for.
var ErrNoPrimary = errors.New("topology: no primary")

var (
	errNotMaster = errors.New("it says that it is no primary")
	errDemoted   = errors.New("it has become a replica")
)

// redial lies between two tries to connect to a primary that is held to be well.
const redial = 50 * time.Millisecond

// A primaryWatcher keeps an eye on a primary, its replicas and their sentinels,
// and makes connections to whoever is the primary. Its goroutines start with the
// first connection that is wanted and end with close.
type primaryWatcher struct {
	c     *Client
	name  string // of its own connections
	pulse pulse
	seat  atomic.Pointer[seat]

	reports  chan func(*watchState)
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

// A seat is who is the primary, for those who want to connect.
type seat struct {
	conns   *bundle // nil for nobody
	epoch   uint64  // of the sentinels' word that was the latest when it was taken
	waiting string  // why no connection is to be made just now; "" if one is
	since   time.Time
	futile  bool          // whoever could be asked has refused: waiting would not help
	next    chan struct{} // closed when there is another seat
}

func newPrimaryWatcher(c *Client, name string) *primaryWatcher {
	w := &primaryWatcher{c: c, name: name, reports: make(chan func(*watchState)), troubles: make(chan trouble, 1)}
	w.ctx, w.cancel = context.WithCancel(context.Background()) //nolint:forbidigo // it outlives every caller, and ends with close
	w.seat.Store(&seat{waiting: "no sentinel has answered yet", next: make(chan struct{})})
	return w
}

// begin starts the watching, once. After close it does nothing.
func (w *primaryWatcher) begin() {
	w.start.Do(func() {
		if w.ctx.Err() == nil {
			w.wg.Go(func() { w.run(w.ctx) })
		}
	})
}

// close ends the watching, and all that waits for a primary, and returns when
// nothing of it runs any more.
func (w *primaryWatcher) close() {
	w.cancel()
	w.start.Do(func() {}) // whoever starts it now comes too late, whoever has is waited for
	w.wg.Wait()
	if b := w.seat.Load().conns; b != nil {
		b.end(net.ErrClosed) // as if go-redis had closed them: what was in flight may have been carried out
	}
}

// primary returns who is the primary, "" for nobody, and the epoch of the
// sentinels' latest word that was heeded.
func (w *primaryWatcher) primary() (addr string, epoch uint64) {
	if s := w.seat.Load(); s.conns != nil {
		return s.conns.addr, s.epoch
	}
	return "", 0
}

// tell hands a report to the loop.
func (w *primaryWatcher) tell(ctx context.Context, f func(*watchState)) {
	select {
	case w.reports <- f:
	case <-ctx.Done():
	}
}

// broke takes a connection that broke for a sign of trouble.
func (w *primaryWatcher) broke(addr string, err error) {
	select {
	case w.troubles <- trouble{addr, err}:
	default: // another one waits to be looked into
	}
}

// doubt is broke for what is not known to be about one server.
func (w *primaryWatcher) doubt(err error) {
	if b := w.seat.Load().conns; b != nil {
		w.broke(b.addr, err)
	}
}

// dial connects to the primary. Where there is none, it waits for one.
func (w *primaryWatcher) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	w.begin()
	conn, err := w.connect(ctx)
	if err != nil {
		return unborn{err}, nil
	}
	return conn, nil
}

func (w *primaryWatcher) connect(ctx context.Context) (net.Conn, error) {
	began := time.Now()
	for {
		s := w.seat.Load()
		why, again := s.waiting, time.Duration(0)
		if why == "" {
			conn, err := w.connectTo(ctx, s.conns)
			if err == nil {
				return conn, nil
			}
			w.broke(s.conns.addr, err)
			why, again = fmt.Sprintf("%s does not take connections: %v", s.conns.addr, err), redial
		}
		if err := w.await(ctx, s, again); err != nil {
			if errors.Is(err, redis.ErrClosed) {
				return nil, err
			}
			return nil, fmt.Errorf("%w: waited %v for %s: %s", ErrNoPrimary,
				time.Since(began).Round(time.Millisecond), w.c.cfg.SentinelMaster, why)
		}
	}
}

// await waits until the seat is taken by another, or for again if that is not 0.
func (w *primaryWatcher) await(ctx context.Context, s *seat, again time.Duration) error {
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
func (w *primaryWatcher) connectTo(ctx context.Context, b *bundle) (net.Conn, error) {
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

// check has each new connection asked whether it leads to a primary, after its
// handshake and before anything else is sent: sentinels may be behind, and a name
// may lead elsewhere than it did. A server that will not tell is taken at the
// sentinels' word. next is WithOnConnect's function, or nil.
func (w *primaryWatcher) check(next func(context.Context, *redis.Conn) error) func(context.Context, *redis.Conn) error {
	return func(ctx context.Context, cn *redis.Conn) error {
		role, err := cn.Do(ctx, "role").Slice()
		_, refused := errors.AsType[redis.Error](err)
		switch {
		case err != nil && !refused:
			return unmade(err)
		case err == nil && (len(role) == 0 || role[0] != "master"):
			w.doubt(errNotMaster)
			return unmade(errNotMaster)
		}
		w.tell(ctx, func(s *watchState) { s.connected() })
		if next == nil {
			return nil
		}
		return next(ctx, cn)
	}
}
