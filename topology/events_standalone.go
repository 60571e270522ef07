package topology

import (
	"context"
	"errors"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"
)

// A plainWatch tells the events of a standalone server, which has no watcher: as
// they show in what the app sends anyway. A server that refuses connections is
// away; one that hangs only brings errors, since nothing tells it from a slow one.
type plainWatch struct {
	errorHook
	addr   string
	events *events
	up     atomic.Bool // the server answers, and that was told

	mu     sync.Mutex
	seen   bool
	lost   time.Time // when it first did not take a connection; zero while it does
	failed time.Time // when Failed was told last
}

func newPlainWatch(addr string, ev *events) *plainWatch {
	w := &plainWatch{addr: addr, events: ev}
	w.errorHook = errorHook{w.heard}
	return w
}

// DialHook implements redis.Hook.
func (w *plainWatch) DialHook(next redis.DialHook) redis.DialHook {
	return func(ctx context.Context, network, addr string) (net.Conn, error) {
		conn, err := next(ctx, network, addr)
		if err != nil && !errors.Is(ctx.Err(), context.Canceled) {
			w.away(err)
		}
		return conn, err
	}
}

// heard draws its conclusions from what a command returned.
func (w *plainWatch) heard(err error) {
	if err == nil || errors.Is(err, redis.Nil) {
		if !w.up.Load() {
			w.answers()
		}
		return
	}
	e, ok := errors.AsType[*net.OpError](err)
	if ok && e.Op != "dial" || errors.Is(err, io.EOF) { // dials are told of where they are made
		w.mu.Lock()
		defer w.mu.Unlock()
		w.fail(err)
	}
}

func (w *plainWatch) answers() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.up.Load() {
		return
	}
	if !w.seen {
		w.seen = true
		w.events.emit(Event{Kind: Connected, Addr: w.addr})
	}
	ready := Event{Kind: Ready, Addr: w.addr}
	if !w.lost.IsZero() {
		ready.Duration = time.Since(w.lost)
		w.lost = time.Time{}
	}
	w.events.emit(ready)
	w.up.Store(true)
}

// away notes that the server took no connection.
func (w *plainWatch) away(err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.fail(err)
	if w.lost.IsZero() {
		w.lost = time.Now()
	}
	if w.up.Swap(false) {
		w.events.emit(Event{Kind: Reconnecting, Addr: w.addr})
	}
}

// fail tells of an error, once in failedEvery. mu is held.
func (w *plainWatch) fail(err error) {
	if now := time.Now(); now.Sub(w.failed) > failedEvery {
		w.failed = now
		w.events.emit(Event{Kind: Failed, Addr: w.addr, Err: err})
	}
}
