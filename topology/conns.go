package topology

import (
	"errors"
	"net"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// errDeposed is in the errors of calls that were in flight on a server when
// another took its place.
var errDeposed = errors.New("another server has taken its place")

// A bundle is the connections to one server, those that are being made among
// them: they end together when the server loses its place. A call in flight on
// one of them then fails at once instead of waiting for an answer that may never
// come, and is tried again as one whose connection broke.
type bundle struct {
	addr  string
	broke func(addr string, err error) // told of each connection that broke by itself

	mu   sync.Mutex
	err  error // why it has ended; nil while it has not
	last uint64
	ends map[uint64]func()
}

func newBundle(addr string, broke func(addr string, err error)) *bundle {
	return &bundle{addr: addr, broke: broke, ends: map[uint64]func(){}}
}

// join has f called when the bundle ends, unless leave was called before. It
// reports false, and does nothing, if the bundle has ended already.
func (b *bundle) join(f func()) (leave func(), ok bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.err != nil {
		return nil, false
	}
	b.last++
	id := b.last
	b.ends[id] = f
	return func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		delete(b.ends, id)
	}, true
}

// end closes all connections. What they return from then on wraps err, which go-redis
// (and package migrate) take for a broken connection: an error of package net
// that is no time-out.
func (b *bundle) end(err error) {
	b.mu.Lock()
	if b.err != nil {
		b.mu.Unlock()
		return
	}
	b.err = &net.OpError{Op: "read", Net: "tcp", Addr: namedAddr{"tcp", b.addr}, Err: err}
	ends := b.ends
	b.ends = nil
	b.mu.Unlock()
	for _, f := range ends {
		f()
	}
}

// cause returns why the bundle has ended, or nil.
func (b *bundle) cause() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.err
}

// hold puts a new connection into the bundle; it closes it and returns false if
// the bundle has ended.
func (b *bundle) hold(conn net.Conn) (net.Conn, bool) {
	raw, _ := conn.(syscall.Conn)
	c := &boundConn{Conn: conn, raw: raw, in: b}
	leave, ok := b.join(func() { conn.Close() })
	if !ok {
		conn.Close()
		return nil, false
	}
	c.leave = leave
	return c, true
}

// A boundConn is a connection of a bundle.
type boundConn struct {
	net.Conn
	raw   syscall.Conn // nil with TLS: what lies in the socket is not what is read
	in    *bundle
	leave func()
	shut  atomic.Bool // by its user
	greet atomic.Bool // something was read on it
}

func (c *boundConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if n > 0 && !c.greet.Load() {
		c.greet.Store(true)
	}
	if err == nil {
		return n, nil
	}
	if err = c.failed(err); !c.greet.Load() {
		err = unmade(err)
	}
	return n, err
}

func (c *boundConn) Write(p []byte) (int, error) {
	n, err := c.Conn.Write(p)
	if err != nil {
		err = c.failed(err)
	}
	return n, err
}

// unmade makes err that of a connection that could not be made. go-redis does not
// try again after a time-out in a handshake, as it does after one of a command or
// of dialling, though no command was sent: those that a hung server's kernel takes
// in would fail at once with the first error of all.
func unmade(err error) error {
	return layer{&net.OpError{Op: "dial", Net: "tcp", Err: err}}
}

// failed tells of an error that its user did not cause by Close, and returns the
// bundle's own if that is behind it.
func (c *boundConn) failed(err error) error {
	if cause := c.in.cause(); cause != nil {
		return cause
	}
	if !c.shut.Load() {
		c.in.broke(c.in.addr, err)
	}
	return err
}

func (c *boundConn) Close() error {
	c.shut.Store(true)
	c.leave()
	return c.Conn.Close()
}

// SyscallConn lets go-redis look whether an idle connection is still good before
// it uses it. With TLS it cannot look into the socket, but learns here that the
// bundle has ended: else each connection in its pool would cost a command one of
// its tries.
func (c *boundConn) SyscallConn() (syscall.RawConn, error) {
	if err := c.in.cause(); err != nil {
		return nil, err
	}
	if c.raw == nil {
		return opaque{}, nil
	}
	return c.raw.SyscallConn()
}

// opaque is a socket that nobody can look into.
type opaque struct{}

func (opaque) Control(func(uintptr)) error    { return nil }
func (opaque) Read(func(uintptr) bool) error  { return nil }
func (opaque) Write(func(uintptr) bool) error { return nil }

// An unborn connection stands for one that could not be made: each use of it
// fails with the reason. Diallers return it instead of the error, because a pool
// of go-redis that has seen PoolSize dials fail stops dialling and tries again
// only once a second, by itself: a primary that is back is then found up to a
// second late. What a call returns is the same error either way.
type unborn struct{ err error }

func (u unborn) Read([]byte) (int, error)         { return 0, layer{u.err} }
func (u unborn) Write([]byte) (int, error)        { return 0, layer{u.err} }
func (u unborn) Close() error                     { return nil }
func (u unborn) LocalAddr() net.Addr              { return namedAddr{"tcp", ""} }
func (u unborn) RemoteAddr() net.Addr             { return namedAddr{"tcp", ""} }
func (u unborn) SetDeadline(time.Time) error      { return nil }
func (u unborn) SetReadDeadline(time.Time) error  { return nil }
func (u unborn) SetWriteDeadline(time.Time) error { return nil }

// SyscallConn has go-redis throw it away where it was put among idle ones.
func (u unborn) SyscallConn() (syscall.RawConn, error) { return nil, u.err }

// layer wraps an error, since go-redis takes one level off what a handshake
// returns.
type layer struct{ error }

func (l layer) Unwrap() error { return l.error }
