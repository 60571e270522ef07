package sockets_test

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/transload/transload/internal/redistest"
)

// A tappedConn reads its connection's id out of the HELLO reply as that goes by,
// and knows whether a write is unanswered.
type tappedConn struct {
	net.Conn
	onClose func(id int64, unanswered bool)

	mu      sync.Mutex
	head    []byte // what was read, until it holds the id
	id      int64
	written bool // since the last read
}

func (c *tappedConn) Write(b []byte) (int, error) {
	c.mu.Lock()
	c.written = true
	c.mu.Unlock()
	return c.Conn.Write(b)
}

func (c *tappedConn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	c.mu.Lock()
	defer c.mu.Unlock()
	if n > 0 {
		c.written = false
	}
	if c.id == 0 {
		c.head = append(c.head, b[:n]...)
		if _, after, ok := bytes.Cut(c.head, []byte("$2\r\nid\r\n:")); ok {
			if digits, _, ok := bytes.Cut(after, []byte("\r\n")); ok {
				c.id, _ = strconv.ParseInt(string(digits), 10, 64)
				c.head = nil
			}
		}
	}
	return n, err
}

func (c *tappedConn) Close() error {
	c.mu.Lock()
	id, unanswered := c.id, c.written
	c.mu.Unlock()
	c.onClose(id, unanswered)
	return c.Conn.Close()
}

// TestIDFromHello: go-redis says HELLO on each new connection, and the reply holds
// the id, in RESP2 as in RESP3. No round trip is needed to know it.
func TestIDFromHello(t *testing.T) {
	t.Parallel()
	for _, protocol := range []int{2, 3} {
		t.Run(fmt.Sprintf("RESP%d", protocol), func(t *testing.T) {
			ways(t, redistest.Options{Password: "s3cret"}, func(t *testing.T, w way) {
				var tapped *tappedConn
				c := newClient(t, &redis.Options{
					Addr: "127.0.0.1:0", Protocol: protocol, Password: "s3cret", ClientName: memberName, MaxRetries: -1, PoolSize: 1,
					Dialer: func(ctx context.Context, _, _ string) (net.Conn, error) {
						nc, err := w.dial(ctx)
						tapped = &tappedConn{Conn: nc, onClose: func(int64, bool) {}}
						return tapped, err
					},
				})
				want, err := c.ClientID(t.Context()).Result()
				if err != nil {
					t.Fatal(err)
				}
				if tapped.id != want {
					t.Errorf("got id %d from HELLO; want %d", tapped.id, want)
				}
			})
		})
	}
}

// TestOrphanKilledByTheTappedID puts it together: a client gives up on a command
// that a proxy holds; the wrapper says which connection that was, and that it was
// closed with a write unanswered; killed by that id, the command is never executed.
func TestOrphanKilledByTheTappedID(t *testing.T) {
	t.Parallel()
	s := redistest.Standalone(t, redistest.Options{})
	ctl, p := redistest.Conn(t, s), redistest.Proxy(t, s)
	p.KeepServer(true)
	w := way{s, dialTo(p.Addr())}
	var local net.Addr
	orphans := make(chan int64, 10)
	c := newClient(t, &redis.Options{
		Addr: "127.0.0.1:0", ClientName: memberName, MaxRetries: -1, PoolSize: 1, ContextTimeoutEnabled: true, DisableIdentity: true,
		Dialer: func(ctx context.Context, _, _ string) (net.Conn, error) {
			nc, err := w.dial(ctx)
			if err != nil {
				return nil, err
			}
			local = nc.LocalAddr()
			return &tappedConn{Conn: nc, onClose: func(id int64, unanswered bool) {
				if unanswered {
					orphans <- id
				}
			}}, nil
		},
	})
	me, err := c.ClientID(t.Context()).Result()
	if err != nil {
		t.Fatal(err)
	}
	l := p.Link(local)
	l.Hold()
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if r := <-incr(ctx, c, "k"); r.err == nil {
		t.Errorf("got %d; want an error", r.n)
	}
	orphaned := <-orphans
	if orphaned != me {
		t.Fatalf("got orphan %d; want %d", orphaned, me)
	}
	if killed, _ := kill(t, ctl, orphaned, "k"); !killed {
		t.Error("kill by id found nobody")
	}
	l.Release()
	<-l.Done()
	wantNothing(t, ctl, "k")
}
