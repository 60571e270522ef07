package sockets_test

import (
	"errors"
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/transload/transload/internal/faultproxy"
	"github.com/transload/transload/internal/redisproc"
	"github.com/transload/transload/internal/redistest"
)

// orphan makes a connection whose client has given up on a command and closed,
// while a proxy keeps the server's side, and the command. It returns the
// connection's id.
func orphan(t *testing.T, s *redisproc.Server, p *faultproxy.Proxy, command ...string) (int64, *faultproxy.Link) {
	t.Helper()
	p.KeepServer(true)
	w := way{s, dialTo(p.Addr())}
	c := w.open(t)
	do(t, c, "HELLO", "2", "SETNAME", memberName)
	me := id(t, c)
	l := p.Link(c.LocalAddr())
	l.Hold()
	if err := c.Send(command...); err != nil {
		t.Fatal(err)
	}
	_ = c.SetReadDeadline(time.Now().Add(20 * time.Millisecond))
	if v, err := c.Receive(); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatalf("got %v, %v; want a time-out", v, err)
	}
	_ = c.Close()
	<-l.ClientGone()
	return me, l
}

// TestOrphanIsListedByItsName: the server still shows the connection that its
// client has closed, under its name and id. Its address is the proxy's, and says
// nothing about the client.
func TestOrphanIsListedByItsName(t *testing.T) {
	t.Parallel()
	s := redistest.Standalone(t, redistest.Options{})
	ctl, p := redistest.Conn(t, s), redistest.Proxy(t, s)
	me, l := orphan(t, s, p, "INCR", "k")
	f, ok := clients(t, ctl)[me]
	if !ok || f["name"] != memberName {
		t.Fatalf("got %v; want the connection, by the name of %s", f, memberName)
	}
	if f["addr"] != l.ServerAddr() || f["addr"] == l.ClientAddr() {
		t.Errorf("got address %s; want the proxy's %s", f["addr"], l.ServerAddr())
	}
}

// TestOrphanIsExecutedUnlessKilled: what a client gave up can be executed at any
// later time, and cannot any more once its connection was killed by id, which
// ends the proxy's side too.
func TestOrphanIsExecutedUnlessKilled(t *testing.T) {
	t.Parallel()
	for name, killIt := range map[string]func(t *testing.T, s *redisproc.Server, ctl *redisproc.Conn, id int64){
		"left alone": nil,
		"killed by id": func(t *testing.T, _ *redisproc.Server, ctl *redisproc.Conn, id int64) {
			if got := do(t, ctl, "CLIENT", "KILL", "ID", fmt.Sprint(id)); got != int64(1) {
				t.Errorf("kill by id: got %v; want 1", got)
			}
		},
		"fenced by name": func(t *testing.T, s *redisproc.Server, _ *redisproc.Conn, _ int64) {
			if _, err := fence(t.Context(), s, memberName); err != nil {
				t.Error(err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := redistest.Standalone(t, redistest.Options{})
			ctl, p := redistest.Conn(t, s), redistest.Proxy(t, s)
			me, l := orphan(t, s, p, "INCR", "k")
			if killIt == nil {
				if got := get(t, ctl, "k"); got != "" {
					t.Fatalf("got %q; want that the command is still on its way", got)
				}
				l.Release()
				redistest.Eventually(t, 10*time.Second, func() error {
					if got := get(t, ctl, "k"); got != "1" {
						return fmt.Errorf("got %q; want 1: the command is executed though its client has gone", got)
					}
					return nil
				})
				return
			}
			killIt(t, s, ctl, me)
			<-l.Done() // the proxy hears of it
			l.Release()
			wantNothing(t, ctl, "k")
			if err := unlisted(t, ctl, memberName); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestOrphanOfATransaction: half a transaction with a proxy, and its EXEC held.
func TestOrphanOfATransaction(t *testing.T) {
	t.Parallel()
	s := redistest.Standalone(t, redistest.Options{})
	ctl, p := redistest.Conn(t, s), redistest.Proxy(t, s)
	p.KeepServer(true)
	c := way{s, dialTo(p.Addr())}.open(t)
	me := id(t, c)
	do(t, c, "MULTI")
	do(t, c, "INCR", "k")
	l := p.Link(c.LocalAddr())
	l.Hold()
	if err := c.Send("EXEC"); err != nil {
		t.Fatal(err)
	}
	_ = c.Close()
	<-l.ClientGone()
	if killed, _ := kill(t, ctl, me, "k"); !killed {
		t.Error("kill by id found nobody")
	}
	l.Release()
	<-l.Done()
	wantNothing(t, ctl, "k")
}

// TestHeldBackByAStalledNetwork: a link that stalls both ways looks to the client like
// a server that does not answer; what it wrote is executed when the link heals,
// unless it was killed meanwhile.
func TestHeldBackByAStalledNetwork(t *testing.T) {
	t.Parallel()
	for _, killed := range []bool{false, true} {
		t.Run(fmt.Sprintf("killed %v", killed), func(t *testing.T) {
			s := redistest.Standalone(t, redistest.Options{})
			ctl, p := redistest.Conn(t, s), redistest.Proxy(t, s)
			c := way{s, dialTo(p.Addr())}.open(t)
			me := id(t, c)
			p.Stall()
			if err := c.Send("INCR", "k"); err != nil {
				t.Fatal(err)
			}
			if got := get(t, ctl, "k"); got != "" {
				t.Fatalf("got %q; want nothing yet", got)
			}
			if killed {
				if ok, _ := kill(t, ctl, me, "k"); !ok {
					t.Error("kill by id found nobody")
				}
			}
			p.Heal()
			v, err := c.Receive()
			switch {
			case killed:
				if err == nil {
					t.Errorf("got %v; want the end of the connection", v)
				}
				wantNothing(t, ctl, "k")
			case v != int64(1):
				t.Errorf("got %v, %v; want 1", v, err)
			}
		})
	}
}
