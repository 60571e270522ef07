package topology_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/transload/transload/internal/redisproc"
	"github.com/transload/transload/internal/redistest"
	"github.com/transload/transload/topology"
)

// open reads a server's variables, changed, and opens a client that ends with the
// test.
func open(t *testing.T, env map[string]string, opts []topology.Option, change ...string) *topology.Client {
	t.Helper()
	c, err := topology.FromEnv("REDIS", redistest.Getenv(changed(env, change...)))
	if err != nil {
		t.Fatal(err)
	}
	client, err := topology.Open(c, opts...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Close() })
	return client
}

// changed returns env with NAME=value words put in.
func changed(env map[string]string, words ...string) map[string]string {
	m := redistest.Merge(env)
	for _, w := range words {
		name, value, _ := strings.Cut(w, "=")
		m["REDIS_"+name] = value
	}
	return m
}

// roundTrip writes and reads keys that lie in many slots.
func roundTrip(t *testing.T, c *topology.Client) {
	t.Helper()
	for i := range 20 {
		key, want := fmt.Sprintf("topology:{%d}", i), fmt.Sprint(time.Now().UnixNano())
		if err := c.Set(t.Context(), key, want, 0).Err(); err != nil {
			t.Fatalf("set: %v", err)
		}
		if got, err := c.Get(t.Context(), key).Result(); err != nil || got != want {
			t.Fatalf("get: got %q, %v; want %q", got, err, want)
		}
	}
}

// seen records what Options show of connections.
type seen struct {
	mu       sync.Mutex
	wrapped  []string // remote addresses
	hellos   int      // connections whose first bytes were RESP in clear
	greeted  int      // calls of OnConnect
	notRedis int      // calls of OnConnect on what is no data server
	hooked   atomic.Int32
}

func (s *seen) DialHook(next redis.DialHook) redis.DialHook { return next }

func (s *seen) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		if cmd.Name() == "get" {
			s.hooked.Add(1)
		}
		return next(ctx, cmd)
	}
}

func (s *seen) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return next
}

func (s *seen) options() []topology.Option {
	return []topology.Option{
		topology.WithName("transload:test"),
		topology.WithHook(s),
		topology.WithConn(func(conn net.Conn) net.Conn {
			s.mu.Lock()
			defer s.mu.Unlock()
			s.wrapped = append(s.wrapped, conn.RemoteAddr().String())
			return &firstWrite{Conn: conn, seen: s}
		}),
		topology.WithOnConnect(func(ctx context.Context, cn *redis.Conn) error {
			role, err := cn.Do(ctx, "role").Slice()
			if err != nil {
				return err // the connection broke, or ctx is done
			}
			s.mu.Lock()
			defer s.mu.Unlock()
			s.greeted++
			if len(role) == 0 || role[0] == "sentinel" {
				s.notRedis++
			}
			return nil
		}),
	}
}

func (s *seen) check(t *testing.T, least int) {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	// A connection may be lost before it was greeted.
	if s.greeted < least || s.notRedis != 0 || len(s.wrapped) < s.hellos || s.hellos < s.greeted {
		t.Errorf("got %d connections wrapped, %d in clear RESP, %d greeted, %d of them no data servers; want at least %d, all alike",
			len(s.wrapped), s.hellos, s.greeted, s.notRedis, least)
	}
	if n := s.hooked.Load(); n < 20 {
		t.Errorf("the hook saw %d reads; want those of a round trip", n)
	}
}

type firstWrite struct {
	net.Conn
	seen *seen
	once sync.Once
}

func (c *firstWrite) Write(b []byte) (int, error) {
	c.once.Do(func() {
		c.seen.mu.Lock()
		defer c.seen.mu.Unlock()
		if strings.HasPrefix(string(b), "*") && strings.Contains(string(b), "hello") {
			c.seen.hellos++
		}
	})
	return c.Conn.Write(b)
}

// forward listens on a free port and passes connections on to addr.
type forward struct {
	net.Listener
	n atomic.Int32
}

func forwardTo(t *testing.T, addr string) *forward {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	f := &forward{Listener: l}
	var wg sync.WaitGroup
	pass := func(in net.Conn) {
		defer in.Close()
		out, err := net.Dial("tcp", addr)
		if err != nil {
			return
		}
		defer out.Close()
		wg.Go(func() { io.Copy(in, out); in.Close() })
		io.Copy(out, in)
	}
	wg.Go(func() {
		for {
			in, err := l.Accept()
			if err != nil {
				return
			}
			f.n.Add(1)
			wg.Go(func() { pass(in) })
		}
	})
	t.Cleanup(func() { l.Close(); wg.Wait() })
	return f
}

// mapped makes an ADDR_MAP that leads to each server through a forwarder.
func mapped(t *testing.T, servers []*redisproc.Server) (word string, forwards map[string]*forward) {
	forwards = map[string]*forward{}
	var pairs []string
	for _, s := range servers {
		f := forwardTo(t, s.Addr())
		forwards[s.Addr()] = f
		pairs = append(pairs, s.Addr()+"="+f.Addr().String())
	}
	return "ADDR_MAP=" + strings.Join(pairs, ","), forwards
}

func addrsOf(nodes []topology.Node, role topology.Role) []string {
	var addrs []string
	for _, n := range nodes {
		if n.Role == role {
			addrs = append(addrs, n.Addr)
		}
	}
	return addrs
}

// wantMode checks that CheckMode complains of addr and gives advice.
func wantMode(t *testing.T, c *topology.Client, found, advice string) {
	t.Helper()
	err := c.CheckMode(t.Context())
	me, ok := errors.AsType[*topology.ModeError](err)
	if !ok || !strings.Contains(me.Found, found) || !strings.Contains(me.Next, advice) {
		t.Errorf("got %v; want a ModeError with %q and %q", err, found, advice)
	}
}
