package faultproxy_test

import (
	"bufio"
	"errors"
	"io"
	"net"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/transload/transload/internal/faultproxy"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// echo starts a server that sends back each line, and tells lines that came in.
func echo(t *testing.T) (addr string, lines <-chan string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	got := make(chan string, 100)
	done := make(chan struct{})
	go func() { // ends with the listener and its connections, which clean-up ends
		defer close(done)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				r := bufio.NewReader(c)
				for {
					line, err := r.ReadString('\n')
					if err != nil {
						return
					}
					got <- strings.TrimSpace(line)
					if _, err := io.WriteString(c, line); err != nil {
						return
					}
				}
			}()
		}
	}()
	t.Cleanup(func() {
		_ = l.Close()
		<-done
	})
	return l.Addr().String(), got
}

func start(t *testing.T) (*faultproxy.Proxy, <-chan string) {
	t.Helper()
	addr, lines := echo(t)
	p, err := faultproxy.Start("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	})
	return p, lines
}

type conn struct {
	net.Conn
	r *bufio.Reader
}

func dial(t *testing.T, p *faultproxy.Proxy) *conn {
	t.Helper()
	c, err := net.Dial("tcp", p.Addr())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return &conn{c, bufio.NewReader(c)}
}

func (c *conn) ask(s string, limit time.Duration) (string, error) {
	if _, err := io.WriteString(c, s+"\n"); err != nil {
		return "", err
	}
	return c.answer(limit)
}

func (c *conn) answer(limit time.Duration) (string, error) {
	_ = c.SetReadDeadline(time.Now().Add(limit))
	line, err := c.r.ReadString('\n')
	return strings.TrimSpace(line), err
}

func want(t *testing.T, c *conn, s string) {
	t.Helper()
	if got, err := c.ask(s, 10*time.Second); got != s || err != nil {
		t.Fatalf("got %q, %v; want %q", got, err, s)
	}
}

func TestDelayEachWay(t *testing.T) {
	p, _ := start(t)
	c := dial(t, p)
	want(t, c, "quick")
	p.SetDelay(30 * time.Millisecond)
	began := time.Now()
	want(t, c, "slow")
	if took := time.Since(began); took < 60*time.Millisecond {
		t.Errorf("took %v; want 60ms or more", took)
	}
}

func TestDelayDoesNotAddUp(t *testing.T) {
	p, _ := start(t)
	c := dial(t, p)
	want(t, c, "quick")
	p.SetDelay(100 * time.Millisecond)
	began := time.Now()
	const n = 50
	for range n { // pipelined: so many delays in a row would be ten seconds
		if _, err := io.WriteString(c, "x\n"); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Millisecond) // so that each is a segment of its own
	}
	for range n {
		if _, err := c.answer(10 * time.Second); err != nil {
			t.Fatal(err)
		}
	}
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("took %v; want about 200ms", took)
	}
}

func TestRate(t *testing.T) {
	p, _ := start(t)
	c := dial(t, p)
	p.SetRate(20_000)
	began := time.Now()
	want(t, c, strings.Repeat("x", 4_000)) // 0.2 s up, and 0.2 s down
	if took := time.Since(began); took < 200*time.Millisecond {
		t.Errorf("took %v; want 200ms or more", took)
	}
}

func TestCutAndHeal(t *testing.T) {
	p, _ := start(t)
	c := dial(t, p)
	want(t, c, "a")
	p.Cut()
	if got, err := c.ask("b", 10*time.Second); err == nil {
		t.Errorf("got %q; want an error", got)
	}
	if got, err := dial(t, p).ask("c", 10*time.Second); err == nil {
		t.Errorf("got %q; want an error", got)
	}
	p.Heal()
	want(t, dial(t, p), "d")
}

func TestStallDeliversLater(t *testing.T) {
	p, _ := start(t)
	c := dial(t, p)
	want(t, c, "a")
	p.Stall()
	fresh := dial(t, p)
	for _, c := range []*conn{c, fresh} {
		if got, err := c.ask("b", 30*time.Millisecond); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("got %q, %v; want a time-out", got, err)
		}
	}
	p.Heal()
	for _, c := range []*conn{c, fresh} {
		if got, err := c.answer(10 * time.Second); got != "b" || err != nil {
			t.Errorf("got %q, %v; want b", got, err)
		}
	}
}

// TestStallUnderTraffic stalls and heals links that are busy.
func TestStallUnderTraffic(t *testing.T) {
	p, lines := start(t)
	go func() { // ends with the test
		for {
			select {
			case <-lines:
			case <-t.Context().Done():
				return
			}
		}
	}()
	var wg sync.WaitGroup
	for range 8 {
		c := dial(t, p)
		wg.Go(func() {
			for range 200 {
				if got, err := c.ask("a", 10*time.Second); got != "a" || err != nil {
					t.Errorf("got %q, %v; want a", got, err)
					return
				}
			}
		})
	}
	over := make(chan struct{})
	go func() { wg.Wait(); close(over) }()
	for {
		p.Stall()
		p.Heal()
		select {
		case <-over:
			return
		case <-time.After(100 * time.Microsecond):
		}
	}
}

func TestHoldOneLink(t *testing.T) {
	p, lines := start(t)
	a, b := dial(t, p), dial(t, p)
	want(t, a, "a1")
	want(t, b, "b1")
	l := p.Link(a.LocalAddr())
	l.Hold()
	if got, err := a.ask("a2", 30*time.Millisecond); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("got %q, %v; want a time-out", got, err)
	}
	want(t, b, "b2")
	if got, want := l.Held(), len("a2\n"); got != want {
		t.Errorf("held: got %d; want %d", got, want)
	}
	l.Release()
	for _, w := range []string{"a1", "b1", "b2", "a2"} {
		if got := <-lines; got != w {
			t.Errorf("got %q; want %q", got, w)
		}
	}
}

func TestHoldReplies(t *testing.T) {
	p, lines := start(t)
	c := dial(t, p)
	want(t, c, "a")
	<-lines
	l := p.Link(c.LocalAddr())
	l.HoldReplies()
	if _, err := c.ask("b", 30*time.Millisecond); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("got %v; want a time-out", err)
	}
	if got := <-lines; got != "b" {
		t.Errorf("got %q; want that the server had it", got)
	}
	l.Release()
	if got, err := c.answer(10 * time.Second); got != "b" || err != nil {
		t.Errorf("got %q, %v; want b", got, err)
	}
}

func TestKeepServerDeliversAfterTheClientHasGone(t *testing.T) {
	p, lines := start(t)
	p.KeepServer(true)
	c := dial(t, p)
	want(t, c, "a")
	<-lines
	l := p.Link(c.LocalAddr())
	l.Hold()
	if _, err := io.WriteString(c, "late\n"); err != nil {
		t.Fatal(err)
	}
	_ = c.Close()
	<-l.ClientGone()
	select {
	case got := <-lines:
		t.Fatalf("got %q; want it held", got)
	case <-l.Done():
		t.Fatal("the server's side was closed")
	case <-time.After(20 * time.Millisecond):
	}
	l.Release()
	if got := <-lines; got != "late" {
		t.Errorf("got %q; want late", got)
	}
	l.Cut()
	<-l.Done()
}

func TestClientClosesServerSideToo(t *testing.T) {
	p, lines := start(t)
	c := dial(t, p)
	want(t, c, "a")
	<-lines
	l := p.Link(c.LocalAddr())
	if _, err := io.WriteString(c, "last\n"); err != nil {
		t.Fatal(err)
	}
	_ = c.Close()
	<-l.Done()
	if got := <-lines; got != "last" {
		t.Errorf("got %q; want last", got)
	}
}

func TestWatchSeesBeforeTheServer(t *testing.T) {
	p, lines := start(t)
	c := dial(t, p)
	want(t, c, "a")
	<-lines
	var saw string
	p.Watch(func(l *faultproxy.Link, chunk []byte) bool {
		if l.ClientAddr() != c.LocalAddr().String() {
			t.Errorf("got the link of %s; want %s", l.ClientAddr(), c.LocalAddr())
		}
		select {
		case got := <-lines:
			t.Errorf("the server has %q already", got)
		case <-time.After(10 * time.Millisecond):
		}
		saw = string(chunk)
		return saw != "lost\n"
	})
	want(t, c, "b")
	if got := <-lines; got != "b" || saw != "b\n" {
		t.Errorf("got %q, and saw %q; want b", got, saw)
	}
	if got, err := c.ask("lost", 30*time.Millisecond); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("got %q, %v; want no answer to what was not delivered", got, err)
	}
	p.Watch(nil)
	want(t, c, "c")
}
