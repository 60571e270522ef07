package faultproxy

import (
	"net"
	"sync"
)

// A Link is one connection through the proxy: the client's side and the server's.
type Link struct {
	client, server net.Conn
	up, down       *pipe // to the server, to the client

	clientGone chan struct{} // closed when the client has closed its side
	done       chan struct{} // closed when both sides are closed
	end        sync.Once
}

// ClientAddr is the client's address as the proxy sees it.
func (l *Link) ClientAddr() string { return l.client.RemoteAddr().String() }

// ServerAddr is the address that the server sees, and shows in CLIENT LIST.
func (l *Link) ServerAddr() string { return l.server.LocalAddr().String() }

// Hold keeps back what the client sends from now on: the server does not see it
// until Release.
func (l *Link) Hold() { l.up.hold(true) }

// HoldReplies keeps back what the server sends.
func (l *Link) HoldReplies() { l.down.hold(true) }

// Release delivers what was held, in both directions, and goes on as before.
func (l *Link) Release() {
	l.up.hold(false)
	l.down.hold(false)
}

// Held returns how many bytes wait to be delivered to the server.
func (l *Link) Held() int { return l.up.pending() }

// HeldReplies returns how many bytes wait to be delivered to the client.
func (l *Link) HeldReplies() int { return l.down.pending() }

// ClientGone is closed when the client has closed its side.
func (l *Link) ClientGone() <-chan struct{} { return l.clientGone }

// Done is closed when the link is over: after Cut, or when the server has closed
// its side, or, unless the server's side is kept, the client.
func (l *Link) Done() <-chan struct{} { return l.done }

// Cut resets both sides. What was held is lost.
func (l *Link) Cut() {
	l.end.Do(func() {
		l.up.close()
		l.down.close()
		for _, c := range []net.Conn{l.client, l.server} {
			if t, ok := c.(*net.TCPConn); ok {
				_ = t.SetLinger(0)
			}
			_ = c.Close()
		}
	})
}

// finish closes both sides in good order.
func (l *Link) finish() {
	l.end.Do(func() {
		l.up.close()
		l.down.close()
		_ = l.client.Close()
		_ = l.server.Close()
	})
}

// run carries the link until it is over, and joins what it started.
func (l *Link) run(keep func() bool) {
	defer close(l.done)
	var wg sync.WaitGroup
	defer wg.Wait()
	wg.Go(func() {
		l.up.fill()
		close(l.clientGone)
	})
	wg.Go(func() {
		l.up.drain()
		if !keep() {
			l.finish()
		}
	})
	wg.Go(l.down.fill)
	wg.Go(func() {
		l.down.drain()
		l.finish()
	})
}
