package sockets_test

import (
	"context"
	"net"
	"sync"
	"testing"
	"time"
)

// A gate stops whoever passes it while it is shut, as a process is stopped that is
// sent SIGSTOP at that point, but with the point chosen.
type gate struct {
	mu      sync.Mutex
	opened  chan struct{} // nil while the gate is open; closed when it opens
	waiting chan struct{} // tells that somebody waits
}

func newGate() *gate { return &gate{waiting: make(chan struct{}, 100)} }

func (g *gate) shut() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.opened = make(chan struct{})
}

func (g *gate) open() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.opened != nil {
		close(g.opened)
		g.opened = nil
	}
}

func (g *gate) pass() {
	g.mu.Lock()
	opened := g.opened
	g.mu.Unlock()
	if opened != nil {
		g.waiting <- struct{}{}
		<-opened
	}
}

// arrived waits until somebody waits at the gate.
func (g *gate) arrived(t *testing.T) {
	t.Helper()
	select {
	case <-g.waiting:
	case <-time.After(10 * time.Second):
		t.Fatal("nobody has come to the gate")
	}
}

// A gatedConn passes a gate before each write, and another after each read has
// brought bytes, before the reader sees them.
type gatedConn struct {
	net.Conn
	write, read *gate
}

func (c *gatedConn) Write(b []byte) (int, error) {
	c.write.pass()
	return c.Conn.Write(b)
}

func (c *gatedConn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	c.read.pass()
	return n, err
}

// gated returns a dialler of gated connections, and their gates.
func (w way) gated() (dial func(context.Context) (net.Conn, error), write, read *gate) {
	write, read = newGate(), newGate()
	return func(ctx context.Context) (net.Conn, error) {
		nc, err := w.dial(ctx)
		if err != nil {
			return nil, err
		}
		return &gatedConn{nc, write, read}, nil
	}, write, read
}
