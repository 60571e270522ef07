package contract

import (
	"strings"
	"testing"

	"github.com/redis/go-redis/v9"

	"github.com/transload/transload/internal/redisproc"
	"github.com/transload/transload/internal/redistest"
)

// A Suite is the contract of a workload.
type Suite = func(t *testing.T, c redis.UniversalClient)

// Run runs a suite in every mode, and in every phase of a migration: subtests "to
// sentinel/off" and so on.
func Run(t *testing.T, suite Suite) {
	t.Helper()
	Modes(t, suite)
	for mode, target := range targets {
		if leftOut(mode) {
			continue
		}
		t.Run("to "+mode, func(t *testing.T) {
			t.Parallel() // a migration waits more than it works
			through(t, target, suite)
		})
	}
}

// Modes runs a suite in every mode, each a subtest: "standalone", "sentinel" and
// "cluster".
func Modes(t *testing.T, suite Suite) {
	t.Helper()
	if testing.Short() {
		t.Skip("needs redis-servers: left out by -short")
	}
	for mode, client := range plain {
		t.Run(mode, func(t *testing.T) {
			t.Parallel()
			suite(t, client(t))
		})
	}
}

// Name returns a name for a test's own keys: letters, digits and dashes, another
// one for each test and each call of a suite.
func Name(t *testing.T) string {
	return strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' {
			return r
		}
		return '-'
	}, t.Name())
}

// plain makes go-redis's own client of each mode, on the package's shared servers.
var plain = map[string]func(*testing.T) redis.UniversalClient{
	"standalone": func(t *testing.T) redis.UniversalClient {
		return closed(t, redis.NewClient(&redis.Options{Addr: redistest.SharedStandalone(t).Addr()}))
	},
	"sentinel": func(t *testing.T) redis.UniversalClient {
		set := redistest.SharedSentinel(t)
		return closed(t, redis.NewFailoverClient(&redis.FailoverOptions{
			MasterName: redisproc.DefaultMaster, SentinelAddrs: addrs(set.Sentinels)}))
	},
	"cluster": func(t *testing.T) redis.UniversalClient {
		set := redistest.SharedCluster(t)
		return closed(t, redis.NewClusterClient(&redis.ClusterOptions{Addrs: addrs(set.Nodes)}))
	},
}

func addrs(servers []*redisproc.Server) (list []string) {
	for _, s := range servers {
		list = append(list, s.Addr())
	}
	return list
}

// closed has a client end with its test.
func closed[C redis.UniversalClient](t *testing.T, c C) C {
	t.Cleanup(func() { _ = c.Close() })
	return c
}
