package migrate

import (
	"context"
	"errors"
	"net"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/transload/transload/internal/control"
	"github.com/transload/transload/internal/faultproxy"
	"github.com/transload/transload/internal/protocol"
	"github.com/transload/transload/internal/redistest"
)

// hello is the end of a reply to HELLO, in RESP3, cut where a packet might be.
var hello = []string{"%7\r\n$6\r\nserver\r\n$5\r\nredis\r\n$2\r\ni", "d\r\n:4", "2\r\n$4\r\nmode\r\n$10\r\nstandalone\r\n"}

func TestAConnectionKnowsWhetherItIsAnOrphan(t *testing.T) {
	for name, tt := range map[string]struct {
		traffic func(c *watchedConn, answer func(string))
		want    bool
	}{
		"never greeted": {func(c *watchedConn, _ func(string)) { _, _ = c.Write([]byte("HELLO")) }, false},
		"nothing unanswered, and idle": {func(c *watchedConn, answer func(string)) {
			greet(c, answer)
			c.last = time.Now().Add(-2 * restless)
		}, false},
		"a write unanswered": {func(c *watchedConn, answer func(string)) {
			greet(c, answer)
			_, _ = c.Write([]byte("INCR"))
			c.last = time.Now().Add(-2 * restless)
		}, true},
		"a read that failed": {func(c *watchedConn, answer func(string)) {
			greet(c, answer)
			_, _ = c.Write([]byte("INCR"))
			_ = c.SetReadDeadline(time.Now())
			_, _ = c.Read(make([]byte, 10))
			c.last = time.Now().Add(-2 * restless)
		}, true},
		"half of a pipeline answered": {func(c *watchedConn, answer func(string)) {
			greet(c, answer)
			_, _ = c.Write([]byte("INCR INCR"))
			answer("-READONLY\r\n")
		}, true},
		"the same, when all writes have ended": {func(c *watchedConn, answer func(string)) {
			greet(c, answer)
			_, _ = c.Write([]byte("GET"))
			answer(":1\r\n")
			c.of.quiet.Store(true)
		}, false},
		"idle, when the lease lapses": {func(c *watchedConn, answer func(string)) {
			greet(c, answer)
			c.last = time.Now().Add(-2 * restless)
			c.of.lapse()
		}, true},
	} {
		t.Run(name, func(t *testing.T) {
			client, server := net.Pipe()
			defer server.Close()
			o := &orphans{}
			c := o.wrap(client, &pool{}).(*watchedConn)
			go func() { // takes what is written
				buf := make([]byte, 100)
				for {
					if _, err := server.Read(buf); err != nil {
						return
					}
				}
			}()
			tt.traffic(c, func(reply string) {
				go func() { _, _ = server.Write([]byte(reply)) }()
				_, _ = c.Read(make([]byte, 100))
			})
			_ = c.Close()
			_ = c.Close()
			ids, _ := o.byServer()
			if got := len(ids["pipe"]) == 1 && ids["pipe"][0] == 42; got != tt.want {
				t.Errorf("got orphans %v; want one: %v", ids, tt.want)
			}
		})
	}
}

func greet(c *watchedConn, answer func(string)) {
	_, _ = c.Write([]byte("HELLO"))
	for _, part := range hello {
		answer(part)
	}
}

// TestAnOrphanIsKilledBeforeAnAcknowledgement has a proxy keep a write's bytes
// after the client gave it up, and deliver them when the move is over.
func TestAnOrphanIsKilledBeforeAnAcknowledgement(t *testing.T) {
	t.Parallel()
	source := redistest.Standalone(t, redistest.Options{})
	target := redistest.Standalone(t, redistest.Options{})
	proxy := redistest.Proxy(t, source)
	proxy.KeepServer(true)
	cfg := config(t, source)
	r := newRig(t, cfg, config(t, target))
	r.begin()
	o := r.options()
	o.Source.Addrs = []string{proxy.Addr()}
	o.Source.ReadTimeout = 200 * time.Millisecond
	m := r.member(o)
	m.ready(t)
	if err := m.set(t.Context(), "sess:1", "first"); err != nil {
		t.Fatal(err)
	}
	link := appLink(t, m, proxy)
	link.Hold()
	if err := m.set(t.Context(), "sess:1", "late"); err == nil {
		t.Fatal("a write was answered on a link that holds it")
	}
	if link.Held() == 0 {
		t.Fatal("the proxy holds nothing")
	}
	r.prepare("mv", src, 100, 5*time.Second)
	r.acked(src, "mv", protocol.Prepared)
	r.hold(src)
	r.acked(src, "mv", protocol.Held)
	link.Release()
	redistest.Eventually(t, 5*time.Second, func() error {
		select {
		case <-link.Done():
			return nil
		default:
			return errors.New("the killed link is still open")
		}
	})
	if got := redistest.Do(t, source, "GET", "sess:1"); got != "first" {
		t.Errorf("got %v; want first: a write was carried out after the acknowledgement", got)
	}
}

// appLink finds the link of the one connection in a member's pool to the source.
func appLink(t *testing.T, m *member, proxy *faultproxy.Proxy) *faultproxy.Link {
	t.Helper()
	client := m.view.Load().pools[src].client
	text, err := client.Do(t.Context(), "client", "info").Text()
	if err != nil {
		t.Fatal(err)
	}
	addr := control.ClientFields(text)["addr"]
	for _, l := range proxy.Links() {
		if l.ServerAddr() == addr {
			return l
		}
	}
	t.Fatalf("no link to %s", addr)
	return nil
}

func TestTooManyOrphansKillEveryConnection(t *testing.T) {
	t.Parallel()
	r, source, _ := twoServers(t)
	r.begin()
	m := r.member(r.options())
	m.ready(t)
	if err := m.set(t.Context(), "sess:1", "a"); err != nil {
		t.Fatal(err)
	}
	sd := m.sides[src]
	for i := range maxOrphans + 1 {
		sd.orphans.add(orphan{source.Addr(), int64(i + 1_000_000)})
	}
	id, err := m.view.Load().pools[src].client.Do(t.Context(), "client", "id").Int64()
	if err != nil {
		t.Fatal(err)
	}
	if err := m.killOrphans(t.Context(), sd); err != nil {
		t.Fatal(err)
	}
	if n := sd.orphans.len(); n != 0 {
		t.Errorf("got %d orphans left; want none", n)
	}
	if list := redistest.Do(t, source, "CLIENT", "LIST", "ID", strconv.FormatInt(id, 10)); list != "" {
		t.Errorf("the connection is still there: %s", list)
	}
	redistest.Eventually(t, 5*time.Second, func() error { return m.set(t.Context(), "sess:1", "b") })
}

// TestOrphansOnADeadServer: one that refuses connections has none; one that does
// not answer keeps them, unless another is master now.
func TestOrphansOnADeadServer(t *testing.T) {
	t.Parallel()
	r, source, target := twoServers(t)
	r.begin()
	m := r.member(r.options())
	m.ready(t)
	m.sides[dst].orphans.add(orphan{target.Addr(), 7})
	if err := target.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := m.killOrphans(t.Context(), m.sides[dst]); err != nil || m.sides[dst].orphans.len() != 0 {
		t.Errorf("got %v and %d orphans; want none on a dead server", err, m.sides[dst].orphans.len())
	}
	if err := source.Freeze(); err != nil {
		t.Fatal(err)
	}
	m.sides[src].orphans.add(orphan{source.Addr(), 7})
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	if err := m.killOrphans(ctx, m.sides[src]); err == nil || m.sides[src].orphans.len() != 1 {
		t.Errorf("got %v and %d orphans; want one on a server that hangs", err, m.sides[src].orphans.len())
	}
	if err := source.Thaw(); err != nil {
		t.Fatal(err)
	}
	if err := m.killOrphans(t.Context(), m.sides[src]); err != nil || m.sides[src].orphans.len() != 0 {
		t.Errorf("got %v and %d orphans; want none once it answers", err, m.sides[src].orphans.len())
	}
}

// TestOrphansAreKilledOverTLS: the server's certificate names localhost, so that
// it must be reached again by that name, not by the connection's IP.
func TestOrphansAreKilledOverTLS(t *testing.T) {
	t.Parallel()
	source := redistest.Standalone(t, redistest.Options{TLS: true, Password: "secret"})
	target := redistest.Standalone(t, redistest.Options{})
	cfg := config(t, source)
	_, port, err := net.SplitHostPort(source.Addr())
	if err != nil {
		t.Fatal(err)
	}
	cfg.Addrs = []string{"localhost:" + port}
	r := newRig(t, cfg, config(t, target))
	r.begin()
	m := r.member(r.options())
	m.ready(t)
	if err := m.set(t.Context(), "sess:1", "a"); err != nil {
		t.Fatal(err)
	}
	id, err := m.view.Load().pools[src].client.Do(t.Context(), "client", "id").Int64()
	if err != nil {
		t.Fatal(err)
	}
	m.view.Load().pools[src].close() // in the middle of traffic
	orphans := m.sides[src].orphans
	if ids, _ := orphans.byServer(); !slices.Contains(ids[cfg.Addrs[0]], id) {
		t.Errorf("got %v; want connection %d on %s", ids, id, cfg.Addrs[0])
	}
	if err := m.killOrphans(t.Context(), m.sides[src]); err != nil || orphans.len() != 0 {
		t.Errorf("got %v and %d orphans; want none", err, orphans.len())
	}
}
