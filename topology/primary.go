package topology

import (
	"context"
	"errors"
	"net"
	"sync/atomic"

	"github.com/redis/go-redis/v9"

	"github.com/transload/transload/internal/handshake"
)

var (
	errNotMaster = errors.New("it says that it is no primary")
	errDemoted   = errors.New("it has become a replica")
)

// A primaryWatcher keeps an eye on a primary, its replicas and their sentinels,
// and makes connections to whoever is the primary.
type primaryWatcher struct {
	*watching
	seat  atomic.Pointer[seat]
	state *watchState // the loop's
}

func newPrimaryWatcher(c *Client, name string) *primaryWatcher {
	w := &primaryWatcher{watching: newWatching(c, name)}
	w.watching.run = w.run
	w.seat.Store(&seat{waiting: "no sentinel has answered yet", next: make(chan struct{})})
	return w
}

// close ends the watching and all connections.
func (w *primaryWatcher) close() {
	w.watching.close()
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

// tell hands the loop a report on what it knows.
func (w *primaryWatcher) tell(ctx context.Context, f func(*watchState)) {
	w.watching.tell(ctx, func() { f(w.state) })
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
	conn, err := w.connect(ctx, w.c.cfg.SentinelMaster, w.seat.Load)
	if err != nil {
		return unborn{err}, nil
	}
	return conn, nil
}

// watchNode asks a data server how it is, until ctx is done.
func (w *primaryWatcher) watchNode(ctx context.Context, addr string) {
	rdb := w.c.asker(addr, w.c.cfg.Username, w.c.cfg.Password, w.name)
	defer rdb.Close()
	w.c.probe(ctx, rdb, &w.pulse, func(n nodeState) {
		w.tell(ctx, func(s *watchState) { s.nodeSays(n) })
	})
}

// check has each new connection asked whether it leads to a primary, after its
// handshake and before anything else is sent: sentinels may be behind, and a name
// may lead elsewhere than it did. A server that will not tell is taken at the
// sentinels' word. next is WithOnConnect's function, or nil.
func (w *primaryWatcher) check(next func(context.Context, *redis.Conn) error) func(context.Context, *redis.Conn) error {
	return func(ctx context.Context, cn *redis.Conn) error {
		role, err := handshake.Do(ctx, cn, "role").Slice()
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
