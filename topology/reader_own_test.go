package topology_test

import (
	"context"
	"fmt"
	"net"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/transload/transload/internal/faultproxy"
	"github.com/transload/transload/internal/redisproc"
	"github.com/transload/transload/internal/redistest"
	"github.com/transload/transload/topology"
)

// lagging starts a primary and a replica that hears of writes through a proxy, as
// a managed service's two addresses.
func lagging(t *testing.T) (primary, replica *redisproc.Server, p *faultproxy.Proxy, env map[string]string) {
	t.Helper()
	primary, replica = redistest.Standalone(t, redistest.Options{}), redistest.Standalone(t, redistest.Options{})
	p = redistest.Proxy(t, primary)
	host, port, _ := net.SplitHostPort(p.Addr())
	redistest.Do(t, replica, "REPLICAOF", host, port)
	redistest.Eventually(t, 30*time.Second, func() error {
		if redistest.Do(t, replica, "ROLE").([]any)[3] != "connected" {
			return fmt.Errorf("the replica is not filled yet")
		}
		return nil
	})
	env = changed(primary.Env("REDIS"), "READ_FROM=replica", "READER_URL=redis://"+replica.Addr(), "READ_MAX_LAG=2s")
	return primary, replica, p, env
}

func TestReaderURL(t *testing.T) {
	t.Parallel()
	_, replica, p, env := lagging(t)
	ctx := t.Context()
	var events notes
	c := open(t, env, []topology.Option{topology.WithEvents(events.hear)})
	other := open(t, changed(env, "READ_FROM=primary", "READER_URL="), nil)

	t.Run("own writes are read back", func(t *testing.T) {
		if err := c.Set(ctx, "k", -1, 0).Err(); err != nil {
			t.Fatal(err)
		}
		readBy(t, c, "k", replica)
		p.SetDelay(300 * time.Millisecond)
		defer p.SetDelay(0)
		write := []func(i int) error{
			func(i int) error { return c.Set(ctx, "k", i, 0).Err() },
			func(i int) error { return c.Eval(ctx, "redis.call('SET', KEYS[1], ARGV[1])", []string{"k"}, i).Err() },
			func(i int) error {
				_, err := c.TxPipelined(ctx, func(p redis.Pipeliner) error { p.Set(ctx, "k", i, 0); return nil })
				return err
			},
			func(i int) error {
				_, err := c.Pipelined(ctx, func(p redis.Pipeliner) error { p.Set(ctx, "k", i, 0); p.Get(ctx, "k"); return nil })
				return err
			},
			func(i int) error {
				return c.Watch(ctx, func(tx *redis.Tx) error {
					_, err := tx.TxPipelined(ctx, func(p redis.Pipeliner) error { p.Set(ctx, "k", i, 0); return nil })
					return err
				}, "k")
			},
		}
		for i := range 200 {
			if err := write[i%len(write)](i); err != nil && err != redis.Nil {
				t.Fatal(err)
			}
			for range 3 {
				if got, err := c.Get(ctx, "k").Int(); err != nil || got != i {
					t.Fatalf("wrote %d, read %d, %v", i, got, err)
				}
			}
		}
		// And after the window, for as long as the replica has not got it.
		p.SetDelay(3 * time.Second)
		if err := c.Set(ctx, "k", "late", 0).Err(); err != nil {
			t.Fatal(err)
		}
		for end := time.Now().Add(1800 * time.Millisecond); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
			if got, err := c.Get(ctx, "k").Result(); err != nil || got != "late" {
				t.Fatalf("got %q, %v", got, err)
			}
		}
	})
	t.Run("a replica that lags is left out", func(t *testing.T) {
		redistest.Eventually(t, 30*time.Second, func() error {
			if got := redistest.Do(t, replica, "GET", "k"); got != "late" {
				return fmt.Errorf("the replica has %v", got)
			}
			return nil
		})
		readBy(t, c, "k", replica)
		events.forget()
		p.Stall()
		began := time.Now()
		redistest.Eventually(t, 30*time.Second, func() error {
			if err := other.Set(ctx, "k", time.Now().UnixNano(), 0).Err(); err != nil {
				return err
			}
			return events.has(topology.ReplicaDown, replica.Addr())
		})
		t.Logf("left out after %v", time.Since(began).Round(time.Millisecond))
		want := other.Get(ctx, "k").Val()
		if got, err := c.Get(ctx, "k").Result(); err != nil || got != want {
			t.Errorf("got %q, %v; want the primary's %q", got, err, want)
		}
		p.Heal()
		readBy(t, c, "k", replica)
		redistest.Eventually(t, 30*time.Second, func() error { return events.has(topology.ReplicaUp, replica.Addr()) })
	})
	t.Run("a dead reader", func(t *testing.T) {
		if err := replica.Kill(); err != nil {
			t.Fatal(err)
		}
		for range 20 {
			one, end := context.WithTimeout(ctx, 2*time.Second)
			err := c.Get(one, "k").Err()
			end()
			if err != nil {
				t.Fatal(err)
			}
		}
	})
}
