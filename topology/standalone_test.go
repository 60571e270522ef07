package topology_test

import (
	"context"
	"fmt"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/transload/transload/internal/redistest"
	"github.com/transload/transload/topology"
)

func TestStandalone(t *testing.T) {
	t.Parallel()
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
