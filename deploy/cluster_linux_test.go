package deploy

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/transload/transload/internal/redistest"
)

// startCluster starts six nodes and makes one Cluster of them, as Compose does.
func startCluster(t *testing.T) *set {
	t.Helper()
	s := newSet(t, 6, 0, "MODE=cluster")
	s.start(s.nodes...)
	for _, n := range s.nodes {
		redistest.Eventually(t, within, func() error { return s.as("operator", n).Ping(t.Context()).Err() })
	}
	for range 2 { // the second time there is nothing to do
		t.Log(s.introduce())
	}
	return s
}

// introduce runs create-cluster.sh.
func (s *set) introduce() string {
	s.t.Helper()
	return run(s.t, []string{"PEERS=" + strings.Join(addrs(s.nodes), " "), "SECRETS=" + s.secrets()}, "redis/create-cluster.sh")
}

// TestCluster kills a primary of a Cluster under an app: its replica takes over, and
// it comes back as a replica; the second time without its data, and at once.
func TestCluster(t *testing.T) {
	t.Parallel()
	s := startCluster(t)
	app := s.open(map[string]string{"REDIS_CLUSTER_NODES": strings.Join(addrs(s.nodes[:3]), ","),
		"REDIS_USERNAME": "app", "REDIS_PASSWORD": s.secret("app")})
	write := func(value string) error {
		for i := range 60 { // keys of every shard
			if err := app.Set(t.Context(), fmt.Sprintf("sess:{%d}", i), value, 0).Err(); err != nil {
				return err
			}
		}
		return nil
	}
	redistest.Eventually(t, within, func() error { return write("a") })
	for round, empty := range []bool{false, true} {
		s.synced()
		old := s.leader()
		began := time.Now()
		old.kill(t)
		if empty {
			files, _ := filepath.Glob(filepath.Join(old.data, "*"))
			for _, f := range files {
				if filepath.Base(f) != "nodes.conf" { // it knows what it was, and nothing of what it held
					_ = os.RemoveAll(f)
				}
			}
			old.start(t)
		}
		redistest.Eventually(t, within, func() error { return write(fmt.Sprint(round)) })
		t.Logf("writes were away for %d ms", time.Since(began).Milliseconds())
		if !empty {
			old.start(t)
		}
		redistest.Eventually(t, within, func() error {
			if role := s.role(old); role != "slave" {
				return fmt.Errorf("%s is %q; want a replica", old.name, role)
			}
			return nil
		})
		for i := range 60 {
			if got, err := app.Get(t.Context(), fmt.Sprintf("sess:{%d}", i)).Result(); err != nil || got != fmt.Sprint(round) {
				t.Fatalf("key %d: got %q, %v; want %d", i, got, err, round)
			}
		}
	}
}

// leader returns a primary.
func (s *set) leader() (p *process) {
	s.t.Helper()
	redistest.Eventually(s.t, within, func() error {
		for _, n := range s.nodes {
			if f := s.info(n, "replication"); f["role"] == "master" && f["connected_slaves"] == "1" {
				p = n
				return nil
			}
		}
		return errors.New("no primary has its replica")
	})
	return p
}

// synced waits until every replica has what its primary has.
func (s *set) synced() {
	s.t.Helper()
	redistest.Eventually(s.t, within, func() error {
		replicas := 0
		for _, n := range s.nodes {
			if f := s.info(n, "replication"); f["role"] == "slave" && f["master_link_status"] == "up" {
				replicas++
			}
		}
		if replicas != 3 {
			return fmt.Errorf("%d of 3 replicas are in touch", replicas)
		}
		return nil
	})
}
