package migrate

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/transload/transload/internal/protocol"
	"github.com/transload/transload/internal/redistest"
	"github.com/transload/transload/topology"
	"github.com/transload/transload/topology/embedded"
)

// TestMoveBetweenModes takes a member there and back between two kinds of
// server, with keys in slots far apart.
func TestMoveBetweenModes(t *testing.T) {
	t.Parallel()
	standalone := func(t *testing.T) topology.Config { return config(t, redistest.Standalone(t, redistest.Options{})) }
	mini := func(t *testing.T) topology.Config {
		s, err := embedded.Start(nil)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = s.Close() })
		return s.Config()
	}
	for name, sides := range map[string][2]func(t *testing.T) topology.Config{
		"standalone to sentinel": {standalone, func(t *testing.T) topology.Config {
			return config(t, redistest.Sentinel(t, redistest.Options{}))
		}},
		"standalone to cluster": {standalone, func(t *testing.T) topology.Config {
			return config(t, redistest.Cluster(t, redistest.Options{}))
		}},
		"embedded to embedded":   {mini, mini},
		"standalone to embedded": {standalone, mini},
	} {
		t.Run(name, func(t *testing.T) {
			if testing.Short() && name != "embedded to embedded" {
				t.Skip("needs a redis-server")
			}
			r := newRig(t, sides[0](t), sides[1](t))
			r.begin()
			one, two := r.member(r.options()), r.member(r.options())
			one.ready(t)
			two.ready(t)
			keys := []string{"sess:a", "sess:b", "sess:c", "rl:{x}:1", "asynq:{q}:pending", "other"}
			write := func(m *member, value string) {
				t.Helper()
				for _, key := range keys {
					if err := m.set(t.Context(), key, value); err != nil {
						t.Fatalf("%s: %v", key, err)
					}
				}
			}
			write(one, "shadow")
			r.equal(keys, "shadow")
			r.move("half", src, 50)
			one.reaches(t, protocol.Cutover)
			two.reaches(t, protocol.Cutover)
			write(two, "half")
			r.equal(keys, "half")
			r.move("all", src, 100)
			one.reaches(t, protocol.Soak)
			write(one, "soak")
			r.equal(keys, "soak")
			r.move("back", dst, 0)
			two.reaches(t, protocol.Shadow)
			write(two, "back")
			r.equal(keys, "back")
			for _, m := range []*member{one, two} {
				if n := m.mirror.dropped.Load(); n != 0 {
					t.Errorf("%d keys were dropped", n)
				}
			}
		})
	}
}

// equal waits until both sides have a value for every key.
func (r *rig) equal(keys []string, want string) {
	r.t.Helper()
	for _, s := range protocol.Sides {
		for _, key := range keys {
			redistest.Eventually(r.t, 10*time.Second, func() error {
				if got, err := r.ctl[s].Get(r.t.Context(), key).Result(); got != want {
					return fmt.Errorf("%v: %s is %q, %v; want %q", s, key, got, err, want)
				}
				return nil
			})
		}
	}
}

// TestAFailoverEndsTheLease: the new master gives another, and the app goes on.
func TestAFailoverEndsTheLease(t *testing.T) {
	t.Parallel()
	set := redistest.Sentinel(t, redistest.Options{})
	target := redistest.Standalone(t, redistest.Options{})
	r := newRig(t, config(t, set), config(t, target))
	r.begin()
	m := r.member(r.options())
	m.ready(t)
	if err := m.set(t.Context(), "sess:1", "a"); err != nil {
		t.Fatal(err)
	}
	was := m.view.Load().pools[src]
	if err := set.Nodes[0].Kill(); err != nil {
		t.Fatal(err)
	}
	killed := time.Now()
	redistest.Eventually(t, 60*time.Second, func() error {
		if m.view.Load().pools[src] == was {
			return errors.New("the lease is still that of the dead master")
		}
		return m.set(t.Context(), "sess:1", "b")
	})
	t.Logf("writes go on after %v", time.Since(killed))
	if err := was.client.Ping(t.Context()).Err(); !errors.Is(err, redis.ErrClosed) {
		t.Errorf("the pool of the dead master: got %v; want it closed", err)
	}
	holds(t, target, "sess:1", "b")
	r.read()
	r.move("mv", src, 100) // orphans of the dead master are in nobody's way
	m.reaches(t, protocol.Soak)
}
