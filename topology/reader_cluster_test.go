package topology_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/transload/transload/internal/redisproc"
	"github.com/transload/transload/internal/redistest"
)

func TestReadsFromReplicasOfACluster(t *testing.T) {
	t.Parallel()
	set := redistest.Cluster(t, redistest.Options{Password: "p"})
	c := open(t, set.Env("REDIS"), nil, "READ_FROM=replica", "READ_POOL_SIZE=4")
	ctx := t.Context()
	primaries := set.Primaries(ctx)
	var replicas []*redisproc.Server
	for _, n := range set.Nodes {
		if !contains(primaries, n) {
			replicas = append(replicas, n)
		}
	}
	const keys = 30 // they lie in all three shards
	for i := range keys {
		if err := c.Set(ctx, fmt.Sprintf("k{%d}", i), i, 0).Err(); err != nil {
			t.Fatal(err)
		}
	}
	readAll := func() {
		t.Helper()
		for i := range keys {
			one, end := context.WithTimeout(ctx, 5*time.Second)
			if got, err := c.Get(one, fmt.Sprintf("k{%d}", i)).Int(); err != nil || got != i {
				t.Fatalf("key %d: got %d, %v", i, got, err)
			}
			end()
		}
	}
	total := func(servers []*redisproc.Server, name string) (n int) {
		for _, s := range servers {
			n += calls(t, s, name)
		}
		return n
	}
	// A moment after their writes, all reads go to replicas.
	redistest.Eventually(t, 30*time.Second, func() error {
		before, mine := total(replicas, "get"), total(primaries, "get")
		readAll()
		if got, rest := total(replicas, "get")-before, total(primaries, "get")-mine; got != keys || rest != 0 {
			return fmt.Errorf("replicas answered %d reads of %d, primaries %d", got, keys, rest)
		}
		return nil
	})
	pipelines := func(name string, run func(p redis.Pipeliner)) (onReplicas bool) {
		before := total(replicas, name)
		if _, err := c.Pipelined(ctx, func(p redis.Pipeliner) error { run(p); return nil }); err != nil {
			t.Fatal(err)
		}
		return total(replicas, name) > before
	}
	if !pipelines("strlen", func(p redis.Pipeliner) { p.StrLen(ctx, "k{1}"); p.StrLen(ctx, "k{1}") }) {
		t.Error("a pipeline of one shard's reads went to the primary")
	}
	if pipelines("ttl", func(p redis.Pipeliner) {
		for i := range keys {
			p.TTL(ctx, fmt.Sprintf("k{%d}", i))
		}
	}) {
		t.Error("a pipeline over all shards went to replicas")
	}
	for _, r := range replicas {
		if err := r.Kill(); err != nil {
			t.Fatal(err)
		}
	}
	readAll()
}

func contains(list []*redisproc.Server, s *redisproc.Server) bool {
	for _, x := range list {
		if x == s {
			return true
		}
	}
	return false
}
