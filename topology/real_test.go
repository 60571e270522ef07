package topology_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
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
			s.mu.Lock()
			defer s.mu.Unlock()
			s.greeted++
			if err != nil || len(role) == 0 || role[0] == "sentinel" {
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

func TestStandalone(t *testing.T) {
	if testing.Short() {
		t.Skip("needs a redis-server")
	}
	t.Run("TLS, user and client certificate", func(t *testing.T) {
		t.Parallel()
		s := redistest.Standalone(t, redistest.Options{TLS: true, ClientCerts: true, Username: "app", Password: "p@ss/word"})
		var seen seen
		c := open(t, s.Env("REDIS"), seen.options(), "DB=3")
		roundTrip(t, c)
		seen.check(t, 1)
		if err := c.CheckMode(t.Context()); err != nil {
			t.Error(err)
		}
		if name, err := c.ClientGetName(t.Context()).Result(); err != nil || name != "transload:test" {
			t.Errorf("got name %q, %v", name, err)
		}
		node, err := c.Node(s.Addr(), topology.WithName("node"))
		if err != nil {
			t.Fatal(err)
		}
		defer node.Close()
		if n, err := node.DBSize(t.Context()).Result(); err != nil || n != 20 {
			t.Errorf("Node sees %d keys, %v; want the same database", n, err)
		}
		for name, words := range map[string][]string{
			"another authority":     {"TLS_CA="},
			"no client certificate": {"TLS_CERT=", "TLS_KEY="},
			"another server's name": {"TLS_SERVER_NAME=redis.example"},
		} {
			c := open(t, s.Env("REDIS"), []topology.Option{topology.WithoutRetries()}, words...)
			if err := c.Ping(t.Context()).Err(); err == nil {
				t.Errorf("%s: the connection was trusted", name)
			}
		}
		c = open(t, s.Env("REDIS"), []topology.Option{topology.WithoutRetries()}, "PASSWORD=wr0ng")
		if err := c.Ping(t.Context()).Err(); err == nil || strings.Contains(err.Error(), "wr0ng") {
			t.Errorf("wrong password: got %v", err)
		}
	})
	t.Run("socket", func(t *testing.T) {
		t.Parallel()
		s := redistest.Standalone(t, redistest.Options{Unix: true, Password: "p"})
		c := open(t, s.Env("REDIS"), nil)
		roundTrip(t, c)
		calls := 0
		err := c.EachMaster(t.Context(), func(ctx context.Context, addr string, node *redis.Client) error {
			calls++
			if addr != s.Socket() {
				t.Errorf("got %s; want %s", addr, s.Socket())
			}
			return node.Ping(ctx).Err()
		})
		if err != nil || calls != 1 {
			t.Errorf("EachMaster: %d calls, %v", calls, err)
		}
		// The server closes idle connections: the pool must notice before use.
		if err := redistest.Client(t, s).ClientKillByFilter(t.Context(), "TYPE", "normal", "SKIPME", "yes").Err(); err != nil {
			t.Fatal(err)
		}
		c2 := open(t, s.Env("REDIS"), []topology.Option{topology.WithoutRetries(), topology.WithConn(func(c net.Conn) net.Conn { return &firstWrite{Conn: c, seen: &seen{}} })})
		if err := c2.Ping(t.Context()).Err(); err != nil {
			t.Fatal(err)
		}
		if err := redistest.Client(t, s).ClientKillByFilter(t.Context(), "TYPE", "normal", "SKIPME", "yes").Err(); err != nil {
			t.Fatal(err)
		}
		redistest.Eventually(t, 5*time.Second, func() error { // the FIN may still be on its way
			_, err := redistest.Client(t, s).Ping(t.Context()).Result()
			return err
		})
		if err := c2.Ping(t.Context()).Err(); err != nil {
			t.Errorf("after an idle connection was closed: %v", err)
		}
	})
	t.Run("replica", func(t *testing.T) {
		t.Parallel()
		s := redistest.Standalone(t, redistest.Options{})
		r := redistest.Standalone(t, redistest.Options{Args: []string{"--replicaof", strings.Replace(s.Addr(), ":", " ", 1)}})
		wantMode(t, open(t, r.Env("REDIS"), nil), "a replica of "+s.Addr(), "primary")
		c := open(t, s.Env("REDIS"), nil)
		redistest.Eventually(t, 20*time.Second, func() error {
			nodes, err := c.Nodes(t.Context())
			if err != nil {
				return err
			}
			if got := addrsOf(nodes, topology.Replica); !slices.Equal(got, []string{r.Addr()}) {
				return fmt.Errorf("got replicas %v; want %s", got, r.Addr())
			}
			return nil
		})
		wantMode(t, open(t, map[string]string{"REDIS_SENTINELS": s.Addr()}, nil), "a standalone server", "REDIS_URL")
		wantMode(t, open(t, map[string]string{"REDIS_CLUSTER_NODES": s.Addr()}, nil), "a standalone server", "REDIS_URL")
	})
	t.Run("a deadline bounds a command", func(t *testing.T) {
		t.Parallel()
		s := redistest.Standalone(t, redistest.Options{})
		c := open(t, s.Env("REDIS"), nil, "READ_TIMEOUT=20s")
		if err := c.Ping(t.Context()).Err(); err != nil {
			t.Fatal(err)
		}
		if err := s.Freeze(); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		start := time.Now()
		if err := c.Get(ctx, "k").Err(); err == nil || time.Since(start) > 5*time.Second {
			t.Errorf("got %v after %v; want an error after 100 ms", err, time.Since(start))
		}
		if err := s.Thaw(); err != nil {
			t.Fatal(err)
		}
	})
}

func TestSentinel(t *testing.T) {
	if testing.Short() {
		t.Skip("needs a redis-server")
	}
	set := redistest.Sentinel(t, redistest.Options{Password: "data", SentinelPassword: "watch", TLS: true})
	env := set.Env("REDIS")
	var seen seen
	c := open(t, env, seen.options())
	roundTrip(t, c)
	seen.check(t, 1)
	if err := c.CheckMode(t.Context()); err != nil {
		t.Error(err)
	}
	primary := set.Primaries(t.Context())[0]
	nodes, err := c.Nodes(t.Context())
	if err != nil || !slices.Equal(addrsOf(nodes, topology.Master), []string{primary.Addr()}) || len(addrsOf(nodes, topology.Replica)) != 2 {
		t.Errorf("got nodes %v, %v; want %s and two replicas", nodes, err, primary.Addr())
	}
	calls := 0
	err = c.EachMaster(t.Context(), func(ctx context.Context, addr string, node *redis.Client) error {
		calls++
		if addr != primary.Addr() {
			t.Errorf("EachMaster: got %s; want %s", addr, primary.Addr())
		}
		return node.Ping(ctx).Err()
	})
	if err != nil || calls != 1 {
		t.Errorf("EachMaster: %d calls, %v", calls, err)
	}
	wantMode(t, open(t, changed(env, "SENTINEL_MASTER=other"), nil), "knows no master", "it knows ")
	wantMode(t, open(t, changed(env, "SENTINELS="+primary.Addr(), "SENTINEL_PASSWORD=data"), nil), "a standalone server", "REDIS_SENTINELS")
	asURL := changed(env, "SENTINELS=", "URL=rediss://"+set.Sentinels[0].Addr(), "PASSWORD=watch")
	wantMode(t, open(t, asURL, nil), "a sentinel", "REDIS_SENTINELS")
	wrong := open(t, changed(env, "SENTINEL_PASSWORD=wr0ng"), []topology.Option{topology.WithoutRetries()})
	if err := wrong.CheckMode(t.Context()); err == nil || strings.Contains(err.Error(), "wr0ng") {
		t.Errorf("wrong password of the sentinels: got %v", err)
	}

	t.Run("failover through an address map", func(t *testing.T) { failover(t, set) })
	// Last: a sentinel that was frozen takes no part in failovers for 30 s.
	t.Run("a hung sentinel is left", func(t *testing.T) { hungSentinel(t, set) })
}

// hungSentinel freezes the sentinel that a client is bound to and takes the
// client's connections to the primary away.
func hungSentinel(t *testing.T, set *redisproc.Set) {
	const name = "hung:test"
	c := open(t, set.Env("REDIS"), []topology.Option{topology.WithName(name)})
	roundTrip(t, c)
	bound := slices.IndexFunc(set.Sentinels, func(s *redisproc.Server) bool {
		return strings.Contains(fmt.Sprint(redistest.Do(t, s, "CLIENT", "LIST")), "name="+name)
	})
	if bound < 0 {
		t.Fatal("no sentinel has the client's connection")
	}
	if err := set.Sentinels[bound].Freeze(); err != nil {
		t.Fatal(err)
	}
	defer set.Sentinels[bound].Thaw()
	redistest.Do(t, set.Primaries(t.Context())[0], "CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
	start := time.Now()
	redistest.Eventually(t, 15*time.Second, func() error { return c.Set(t.Context(), "hung", "1", 0).Err() })
	t.Logf("back after %v", time.Since(start).Round(time.Millisecond))
	if _, err := c.Masters(t.Context()); err != nil {
		t.Errorf("masters with one sentinel hung: %v", err)
	}
	if err := c.CheckMode(t.Context()); err != nil {
		t.Errorf("check mode with one sentinel hung: %v", err)
	}
}

// failover kills the primary under a client that reaches every server through a
// forwarder alone.
func failover(t *testing.T, set *redisproc.Set) {
	word, forwards := mapped(t, set.Servers())
	var seen seen
	c := open(t, set.Env("REDIS"), seen.options(), word)
	roundTrip(t, c)
	old := set.Primaries(t.Context())[0]
	if n := forwards[old.Addr()].n.Load(); n == 0 {
		t.Error("the primary was not reached through its forwarder")
	}
	if err := old.Kill(); err != nil {
		t.Fatal(err)
	}
	start := time.Now()
	redistest.Eventually(t, 60*time.Second, func() error { return c.Set(t.Context(), "failover", "1", 0).Err() })
	t.Logf("back after %v", time.Since(start).Round(time.Millisecond))
	roundTrip(t, c)
	masters, err := c.Masters(t.Context())
	if err != nil || len(masters) != 1 || masters[0].Addr == old.Addr() {
		t.Fatalf("got masters %v, %v; want another than %s", masters, err, old.Addr())
	}
	if n := forwards[masters[0].Addr].n.Load(); n == 0 {
		t.Error("the new primary was not reached through its forwarder")
	}
	seen.check(t, 2)
	for _, addr := range seen.wrapped {
		if forwards[addr] == nil {
			t.Errorf("a connection says that it leads to %s, which no sentinel announced", addr)
		}
	}
}

func TestSentinelWithoutPassword(t *testing.T) {
	if testing.Short() {
		t.Skip("needs a redis-server")
	}
	// The plan's sentinels ask for no password, and its client sends the server's.
	set := redistest.Sentinel(t, redistest.Options{})
	for _, s := range set.Sentinels {
		redistest.Do(t, s, "SENTINEL", "SET", "freight-master", "auth-pass", "data")
	}
	for _, s := range set.Nodes {
		redistest.Do(t, s, "CONFIG", "SET", "masterauth", "data", "requirepass", "data")
	}
	c := open(t, set.Env("REDIS"), nil, "PASSWORD=data")
	roundTrip(t, c)
	if err := c.CheckMode(t.Context()); err != nil {
		t.Error(err)
	}
	if nodes, err := c.Nodes(t.Context()); err != nil || len(nodes) != 3 {
		t.Errorf("got nodes %v, %v; want three", nodes, err)
	}
}

func TestCluster(t *testing.T) {
	if testing.Short() {
		t.Skip("needs a redis-server")
	}
	set := redistest.Cluster(t, redistest.Options{Password: "p", Username: "app", TLS: true})
	env := set.Env("REDIS")
	var primaries []string
	for _, s := range set.Primaries(t.Context()) {
		primaries = append(primaries, s.Addr())
	}
	slices.Sort(primaries)

	word, forwards := mapped(t, set.Servers())
	for name, words := range map[string][]string{"plain": nil, "one seed": {"CLUSTER_NODES=" + set.Nodes[0].Addr()}, "mapped": {word}} {
		t.Run(name, func(t *testing.T) {
			var seen seen
			c := open(t, env, seen.options(), words...)
			roundTrip(t, c)
			seen.check(t, 3)
			if err := c.CheckMode(t.Context()); err != nil {
				t.Error(err)
			}
			masters, err := c.Masters(t.Context())
			if err != nil || !slices.Equal(addrsOf(masters, topology.Master), primaries) {
				t.Fatalf("got masters %v, %v; want %v", masters, err, primaries)
			}
			slots := 0
			for _, m := range masters {
				for _, r := range m.Slots {
					slots += int(r.To) - int(r.From) + 1
				}
			}
			if slots != 16384 {
				t.Errorf("masters own %d slots; want 16384", slots)
			}
			nodes, err := c.Nodes(t.Context())
			if err != nil || len(nodes) != 6 || len(addrsOf(nodes, topology.Replica)) != 3 {
				t.Errorf("got nodes %v, %v; want three masters and three replicas", nodes, err)
			}
			var mu sync.Mutex
			var visited []string
			err = c.EachMaster(t.Context(), func(ctx context.Context, addr string, node *redis.Client) error {
				mu.Lock()
				defer mu.Unlock()
				visited = append(visited, addr)
				return node.Ping(ctx).Err()
			})
			slices.Sort(visited)
			if err != nil || !slices.Equal(visited, primaries) {
				t.Errorf("EachMaster: got %v, %v; want %v", visited, err, primaries)
			}
			owner, err := c.MasterFor(t.Context(), "topology:{1}")
			if err != nil {
				t.Fatal(err)
			}
			if err := owner.Get(t.Context(), "topology:{1}").Err(); err != nil {
				t.Errorf("MasterFor: %v", err)
			}
			node, err := c.Node(masters[0].Addr)
			if err != nil {
				t.Fatal(err)
			}
			defer node.Close()
			if err := node.Ping(t.Context()).Err(); err != nil {
				t.Errorf("Node: %v", err)
			}
			if name == "mapped" {
				for _, addr := range primaries {
					if forwards[addr].n.Load() == 0 {
						t.Errorf("%s was not reached through its forwarder", addr)
					}
				}
			}
		})
	}
	t.Run("mode", func(t *testing.T) {
		wantMode(t, open(t, changed(env, "CLUSTER_NODES=", "URL=rediss://"+primaries[0]), nil), "a node of a cluster", "REDIS_CLUSTER_NODES")
		wantMode(t, open(t, changed(env, "CLUSTER_NODES=", "SENTINELS="+primaries[0]), nil), "a node of a cluster", "REDIS_CLUSTER_NODES")
	})
	t.Run("a dead node is down", func(t *testing.T) {
		c := open(t, env, nil)
		dead := set.Node(primaries[0])
		if err := dead.Kill(); err != nil {
			t.Fatal(err)
		}
		start := time.Now()
		redistest.Eventually(t, 60*time.Second, func() error {
			for i := range 20 {
				if err := c.Set(t.Context(), fmt.Sprintf("topology:{%d}", i), "1", 0).Err(); err != nil {
					return err
				}
			}
			return nil
		})
		t.Logf("back after %v", time.Since(start).Round(time.Millisecond))
		redistest.Eventually(t, 30*time.Second, func() error {
			nodes, err := c.Nodes(t.Context())
			if err != nil {
				return err
			}
			i := slices.IndexFunc(nodes, func(n topology.Node) bool { return n.Addr == dead.Addr() })
			if i < 0 || !nodes[i].Down || len(nodes) != 6 {
				return fmt.Errorf("got %v; want %s among them, and down", nodes, dead.Addr())
			}
			return nil
		})
	})
}
