package topology

import (
	"context"
	"crypto/tls"
	"net"
	"syscall"
	"time"
)

// A dialler makes connections, to data servers and sentinels alike.
type dialler struct {
	net net.Dialer        // its Timeout bounds TLS's handshake anew
	to  map[string]string // announced → reachable
	tls *tls.Config       // nil for none
}

// newDialler reads the files of TLS.
func (c Config) newDialler() *dialler {
	d := &dialler{to: c.AddrMap}
	d.net.Timeout = c.DialTimeout
	if c.Mode == Sentinel {
		// A hung sentinel's kernel takes connections, and TLS then waits for an
		// answer; Masters, which waits for all sentinels, would last as long.
		d.net.Timeout = c.ReadTimeout
	}
	// As go-redis's own dialler: below the idle time-outs of load balancers.
	d.net.KeepAliveConfig = net.KeepAliveConfig{Enable: true, Idle: 30 * time.Second, Interval: 5 * time.Second, Count: 3}
	if c.TLS.Enabled {
		d.tls = c.TLS.config(func(string, error) {}) // validated already
	}
	return d
}

// dial connects to an announced address. The connection gives that address as its
// remote one: who wants to reach the same server again, by Node, needs the name
// that AddrMap knows and that its certificate has.
func (d *dialler) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	target, ok := d.to[addr]
	if !ok {
		target = addr
	}
	conn, err := d.net.DialContext(ctx, network, target)
	if err != nil {
		return nil, err
	}
	raw, _ := conn.(syscall.Conn)
	if d.tls != nil && network != "unix" {
		if conn, err = d.handshake(ctx, conn, target); err != nil {
			return nil, err
		}
		raw = nil // what lies in the socket is not what the client would read
	}
	if conn.RemoteAddr().String() == addr {
		return conn, nil
	}
	return withRaw(&mappedConn{Conn: conn, announced: namedAddr{network, addr}}, raw), nil
}

// handshake turns a connection into a TLS one; the name that the certificate must
// hold is the one that was dialled, which the operator wrote or a server that
// was verified announced.
func (d *dialler) handshake(ctx context.Context, conn net.Conn, target string) (net.Conn, error) {
	conf := d.tls
	if conf.ServerName == "" {
		conf = conf.Clone()
		conf.ServerName, _, _ = net.SplitHostPort(target)
	}
	ctx, cancel := context.WithTimeout(ctx, d.net.Timeout)
	defer cancel()
	tc := tls.Client(conn, conf)
	if err := tc.HandshakeContext(ctx); err != nil {
		conn.Close()
		return nil, &net.OpError{Op: "dial", Net: "tls", Addr: conn.RemoteAddr(), Err: err}
	}
	return tc, nil
}

// A mappedConn gives the address that was announced for it.
type mappedConn struct {
	net.Conn
	announced net.Addr
}

func (c *mappedConn) RemoteAddr() net.Addr { return c.announced }

// A namedAddr is an address as sentinels and cluster nodes write it.
type namedAddr struct{ network, addr string }

func (a namedAddr) Network() string { return a.network }
func (a namedAddr) String() string  { return a.addr }

// withRaw lets go-redis look into the socket under a wrapped connection: before
// it uses an idle one, it looks whether the server has closed it, and a wrapper
// without SyscallConn would make each such one an error of some command.
func withRaw(conn net.Conn, raw syscall.Conn) net.Conn {
	if _, ok := conn.(syscall.Conn); ok || raw == nil {
		return conn
	}
	return &rawConn{Conn: conn, raw: raw}
}

type rawConn struct {
	net.Conn
	raw syscall.Conn
}

func (c *rawConn) SyscallConn() (syscall.RawConn, error) { return c.raw.SyscallConn() }
