package topology_test

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/transload/transload/internal/redistest"
	"github.com/transload/transload/topology"
)

func TestCluster(t *testing.T) {
	t.Parallel()
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
