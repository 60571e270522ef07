package topology_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/transload/transload/internal/redisproc"
	"github.com/transload/transload/internal/redistest"
	"github.com/transload/transload/topology"
)

func TestSentinel(t *testing.T) {
	t.Parallel()
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
	t.Parallel()
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

// TestWrongPasswordOfSentinels: what the sentinels have said is told, and not that they
// know of no primary.
func TestWrongPasswordOfSentinels(t *testing.T) {
	if testing.Short() {
		t.Skip("needs a redis-server")
	}
	t.Parallel()
	set := redistest.Sentinel(t, redistest.Options{SentinelPassword: "s3cr3t-s"})
	c := open(t, set.Env("REDIS"), nil, "SENTINEL_PASSWORD=wr0ng", "DIAL_TIMEOUT=500ms")
	redistest.Eventually(t, time.Minute, func() error { // once all have been asked
		err := c.Ping(t.Context()).Err()
		if !errors.Is(err, topology.ErrNoPrimary) || !strings.Contains(err.Error(), "WRONGPASS") || strings.Contains(err.Error(), "told no address") {
			return fmt.Errorf("got %v; want ErrNoPrimary, and WRONGPASS", err)
		}
		return nil
	})
}
