package redistest_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/transload/transload/internal/redistest"
)

func TestSentinel(t *testing.T) {
	t.Parallel()
	for name, o := range map[string]redistest.Options{
		"plain":    {},
		"password": {Password: "s3cret", SentinelPassword: "0ther"},
		"TLS":      {TLS: true, Password: "s3cret"},
	} {
		t.Run(name, func(t *testing.T) {
			s := redistest.Sentinel(t, o)
			redistest.Do(t, s.Nodes[0], "SET", "k", "v")
			for _, n := range s.Nodes[1:] {
				redistest.Eventually(t, 5*time.Second, func() error {
					if got := redistest.Do(t, n, "GET", "k"); got != "v" {
						return fmt.Errorf("replica: got %v; want v", got)
					}
					return nil
				})
			}
			for _, n := range s.Sentinels {
				redistest.Do(t, n, "SENTINEL", "CKQUORUM", "freight-master")
			}
		})
	}
}

func TestSentinelFailsOverAndTakesTheOldPrimaryBack(t *testing.T) {
	t.Parallel()
	s := redistest.Sentinel(t, redistest.Options{Hasty: true, DownAfter: 500 * time.Millisecond})
	old := s.Nodes[0]
	if err := old.Kill(); err != nil {
		t.Fatal(err)
	}
	redistest.Eventually(t, 20*time.Second, func() error { return onePrimary(t.Context(), s.Primaries) })
	if err := old.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	redistest.Eventually(t, 20*time.Second, func() error {
		// A Sentinel that makes it a replica cuts all connections to it.
		reply, err := old.Do(t.Context(), "ROLE")
		if role, ok := reply.([]any); err != nil || !ok || role[0] != "slave" || role[3] != "connected" {
			return fmt.Errorf("old primary: got %v, %v; want an attached replica", reply, err)
		}
		return nil
	})
}

func TestCluster(t *testing.T) {
	t.Parallel()
	for name, o := range map[string]redistest.Options{
		"plain":        {},
		"password":     {Password: "s3cret"},
		"TLS":          {TLS: true, Password: "s3cret"},
		"no replicas":  {Replicas: -1},
		"two replicas": {Replicas: 2},
	} {
		t.Run(name, func(t *testing.T) {
			s := redistest.Cluster(t, o)
			c := redis.NewClusterClient(&redis.ClusterOptions{Addrs: []string{s.Nodes[1].Addr()}, Password: o.Password, TLSConfig: redistest.TLSConfig(t, s.Certs())})
			defer c.Close()
			for i := range 100 {
				if err := c.Set(t.Context(), fmt.Sprintf("k%d", i), i, 0).Err(); err != nil {
					t.Fatal(err)
				}
			}
			if got := len(s.Primaries(t.Context())); got != 3 {
				t.Errorf("got %d primaries; want 3", got)
			}
		})
	}
}

func TestClusterFailsOverAndTakesTheOldPrimaryBack(t *testing.T) {
	t.Parallel()
	s := redistest.Cluster(t, redistest.Options{NodeTimeout: 500 * time.Millisecond})
	old, replica := s.Nodes[0], s.Nodes[3]
	if err := old.Kill(); err != nil {
		t.Fatal(err)
	}
	redistest.Eventually(t, 20*time.Second, func() error {
		role, _ := redistest.Do(t, replica, "ROLE").([]any)
		if role[0] != "master" {
			return fmt.Errorf("replica: got %v; want a primary", role)
		}
		return nil
	})
	if err := old.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	redistest.Eventually(t, 20*time.Second, func() error {
		reply, err := old.Do(t.Context(), "ROLE")
		if role, ok := reply.([]any); err != nil || !ok || role[0] != "slave" || role[3] != "connected" {
			return fmt.Errorf("old primary: got %v, %v; want an attached replica", reply, err)
		}
		return nil
	})
}

func TestPrimariesPassesOverAFrozenServer(t *testing.T) {
	t.Parallel()
	s := redistest.Cluster(t, redistest.Options{})
	if err := s.Nodes[1].Freeze(); err != nil {
		t.Fatal(err)
	}
	got := s.Primaries(t.Context())
	if len(got) < 2 || got[0] != s.Nodes[0] || got[1] != s.Nodes[2] {
		t.Errorf("got %d primaries; want the two that answer", len(got))
	}
}

func onePrimary[S any](ctx context.Context, primaries func(context.Context) []S) error {
	if got := len(primaries(ctx)); got != 1 {
		return errors.New("no primary")
	}
	return nil
}
