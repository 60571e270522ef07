package sockets_test

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"os"
	"strings"
	"testing"

	"github.com/redis/go-redis/v9"

	"github.com/transload/transload/internal/redisproc"
	"github.com/transload/transload/internal/redistest"
)

func TestMain(m *testing.M) {
	redis.SetLogger(quiet{})
	os.Exit(redistest.Main(m))
}

// quiet drops what go-redis would print about the connections that tests kill.
type quiet struct{}

func (quiet) Printf(context.Context, string, ...any) {}

// busy keeps the server busy for about ARGV[1] milliseconds, and then writes to
// each of KEYS. It counts, since the clock stands still in scripts of newer
// servers.
const busy = `for i = 1, ARGV[1] * 250000 do end
for _, k in ipairs(KEYS) do redis.call('INCR', k) end
return 1`

// A way is one path of bytes between a test and its server.
type way struct {
	server *redisproc.Server
	dial   func(ctx context.Context) (net.Conn, error)
}

// ways runs a test once on each path.
func ways(t *testing.T, o redistest.Options, test func(t *testing.T, w way)) {
	t.Helper()
	t.Run("socket", func(t *testing.T) {
		s := redistest.Standalone(t, o)
		test(t, way{s, dialTo(s.Addr())})
	})
	t.Run("proxy", func(t *testing.T) {
		s := redistest.Standalone(t, o)
		test(t, way{s, dialTo(redistest.Proxy(t, s).Addr())})
	})
	t.Run("TLS", func(t *testing.T) {
		o := o
		o.TLS = true
		s := redistest.Standalone(t, o)
		d := &tls.Dialer{Config: redistest.TLSConfig(t, s.Certs())}
		test(t, way{s, func(ctx context.Context) (net.Conn, error) { return d.DialContext(ctx, "tcp", s.Addr()) }})
	})
}

func dialTo(addr string) func(ctx context.Context) (net.Conn, error) {
	return func(ctx context.Context) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "tcp", addr)
	}
}

// open returns a raw connection that ends with the test.
func (w way) open(t *testing.T) *redisproc.Conn {
	t.Helper()
	nc, err := w.dial(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = nc.Close() })
	return redisproc.NewConn(nc)
}

// do sends one command and fails the test if the server refuses it.
func do(t *testing.T, c *redisproc.Conn, args ...string) any {
	t.Helper()
	v, err := c.Do(t.Context(), args...)
	if err != nil {
		t.Fatalf("%.60q: %v", args, err)
	}
	return v
}

// receive reads one reply.
func receive(t *testing.T, c *redisproc.Conn) any {
	t.Helper()
	v, err := c.Receive()
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// send writes commands in one piece and reads nothing.
func send(t *testing.T, c *redisproc.Conn, commands ...[]string) {
	t.Helper()
	var b strings.Builder
	for _, args := range commands {
		b.WriteString(redisproc.Command(args...))
	}
	if _, err := c.Write([]byte(b.String())); err != nil {
		t.Fatal(err)
	}
}

// id returns a connection's own id.
func id(t *testing.T, c *redisproc.Conn) int64 {
	t.Helper()
	n, ok := do(t, c, "CLIENT", "ID").(int64)
	if !ok {
		t.Fatal("CLIENT ID is no number")
	}
	return n
}

// kill kills a connection by its id and returns the value of key at that moment:
// both in one step, so that nothing can come between.
func kill(t *testing.T, killer *redisproc.Conn, id int64, key string) (killed bool, value string) {
	t.Helper()
	do(t, killer, "MULTI")
	do(t, killer, "CLIENT", "KILL", "ID", fmt.Sprint(id))
	do(t, killer, "GET", key)
	list, ok := do(t, killer, "EXEC").([]any)
	if !ok || len(list) != 2 {
		t.Fatalf("EXEC: got %v", list)
	}
	value, _ = list[1].(string)
	return list[0] == int64(1), value
}

// get returns a string key's value, "" for none.
func get(t *testing.T, c *redisproc.Conn, key string) string {
	t.Helper()
	v, _ := do(t, c, "GET", key).(string)
	return v
}

// isDead reports whether the other side of a connection is gone, by reading until
// it is. Replies that were on the way are thrown away.
func isDead(c *redisproc.Conn) bool {
	for {
		if _, err := c.Receive(); err != nil {
			ne, ok := err.(net.Error)
			return !ok || !ne.Timeout()
		}
	}
}

// clients returns CLIENT LIST as a map from id to its line's fields.
func clients(t *testing.T, c *redisproc.Conn) map[int64]map[string]string {
	t.Helper()
	text, _ := do(t, c, "CLIENT", "LIST").(string)
	return parseList(text)
}

func parseList(text string) map[int64]map[string]string {
	all := map[int64]map[string]string{}
	for line := range strings.Lines(text) {
		fields := map[string]string{}
		for f := range strings.FieldsSeq(line) {
			name, value, _ := strings.Cut(f, "=")
			fields[name] = value
		}
		var id int64
		if _, err := fmt.Sscan(fields["id"], &id); err == nil {
			all[id] = fields
		}
	}
	return all
}
