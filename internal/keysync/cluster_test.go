package keysync

import (
	"fmt"
	"testing"

	"github.com/transload/transload/internal/redistest"
	"github.com/transload/transload/topology"
)

// clusterBench is a standalone server and a cluster.
func clusterBench(t *testing.T) *bench {
	t.Helper()
	cfg, err := topology.FromEnv("REDIS", redistest.Getenv(redistest.SharedCluster(t).Env("REDIS")))
	if err != nil {
		t.Fatal(err)
	}
	client, err := topology.Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = client.Close() })
	b := &bench{b: NewClusterSide(client), cb: client}
	b.a, b.ca = realSide(t)
	return b
}

// TestCluster copies keys of every kind to a cluster and back, in one batch
// over all slots, whole and in pieces.
func TestCluster(t *testing.T) {
	for _, large := range []int64{0, 1} {
		t.Run(fmt.Sprint("large ", large), func(t *testing.T) {
			b := clusterBench(t)
			var keys []string
			for what, s := range samples {
				key := fmt.Sprintf("cluster%d:%d", large, len(keys))
				s.make(t, b.ca, key)
				keys = append(keys, key)
				_ = what
			}
			for i, odd := range oddKeys {
				key := fmt.Sprint(odd, large)
				if i == 0 && large == 0 {
					key = ""
				}
				do(t, b.ca, "RPUSH", key, i, i, i)
				keys = append(keys, key)
			}
			opts := Options{Large: large, Move: "there"}
			check := func(from, to *Side, want Diff) {
				t.Helper()
				results, err := Sync(t.Context(), from, to, keys, opts)
				if err != nil {
					t.Fatal(err)
				}
				for _, r := range results {
					if r.Diff != want {
						t.Errorf("%q: got %v; want %v", r.Key, r.Diff, want)
					}
				}
			}
			check(b.a, b.b, Missing)
			check(b.a, b.b, Equal)
			do(t, b.ca, "FLUSHALL")
			check(b.b, b.a, Missing)
			check(b.a, b.b, Equal)
			for _, key := range keys {
				do(t, b.ca, "DEL", key)
			}
			check(b.a, b.b, Extra)
			check(b.a, b.b, Equal)
		})
	}
}
