package topology_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/transload/transload/internal/redistest"
	"github.com/transload/transload/topology"
)

func TestReadsFromReplicas(t *testing.T) {
	t.Parallel()
	set := redistest.Sentinel(t, redistest.Options{Password: "p"})
	primary, replicas := replicasOf(t, set)
	var events notes
	c := open(t, set.Env("REDIS"), []topology.Option{topology.WithEvents(events.hear)}, "READ_FROM=replica")
	ctx := t.Context()
	if err := c.MSet(ctx, "k", "1", "{k}2", "2").Err(); err != nil {
		t.Fatal(err)
	}
	readBy(t, c, "k", replicas...)

	t.Run("who answers what", func(t *testing.T) {
		before := [2]int{calls(t, primary, "mget"), calls(t, primary, "hgetall")}
		pipelined := calls(t, primary, "strlen")
		for range 20 {
			if v, err := c.MGet(ctx, "k", "{k}2").Result(); err != nil || fmt.Sprint(v) != "[1 2]" {
				t.Fatalf("got %v, %v", v, err)
			}
			c.HGetAll(ctx, "none")
			if _, err := c.Pipelined(ctx, func(p redis.Pipeliner) error {
				p.StrLen(ctx, "k")
				p.StrLen(ctx, "{k}2")
				return nil
			}); err != nil {
				t.Fatal(err)
			}
		}
		after := [2]int{calls(t, primary, "mget"), calls(t, primary, "hgetall")}
		if before != after || calls(t, primary, "strlen") != pipelined {
			t.Errorf("the primary answered reads: mget, hgetall %v, then %v", before, after)
		}
		mine := func(name string, f func()) {
			t.Helper()
			n := calls(t, primary, name)
			f()
			if calls(t, primary, name) == n {
				t.Errorf("%s did not go to the primary", name)
			}
		}
		mine("hscan", func() { c.HScan(ctx, "h", 0, "", 10) })
		mine("eval", func() { c.Eval(ctx, "return redis.call('GET', KEYS[1])", []string{"e"}) })
		mine("type", func() {
			c.Watch(ctx, func(tx *redis.Tx) error { return tx.Type(ctx, "w").Err() }, "w")
		})
		mine("lrange", func() {
			c.TxPipelined(ctx, func(p redis.Pipeliner) error { p.LRange(ctx, "l", 0, 1); return nil })
		})
		mine("llen", func() {
			c.Pipelined(ctx, func(p redis.Pipeliner) error { p.LLen(ctx, "l"); p.Set(ctx, "x", 1, 0); return nil })
		})
	})
	t.Run("a hung replica costs its bound once", func(t *testing.T) {
		hung := replicas[0]
		events.forget()
		stop := readers(t, c, 8, "k")
		if err := hung.Freeze(); err != nil {
			t.Fatal(err)
		}
		defer hung.Thaw()
		redistest.Eventually(t, 30*time.Second, func() error { return events.has(topology.ReplicaDown, hung.Addr()) })
		time.Sleep(300 * time.Millisecond) // for more reads than those that hung
		longest, errs := stop()
		if longest > time.Second || len(errs) > 0 {
			t.Errorf("longest read %v, errors %v; want the bound of 250ms and some", longest, errs)
		}
		t.Logf("longest read %v", longest.Round(time.Millisecond))
		hung.Thaw()
		readBy(t, c, "k", hung)
		redistest.Eventually(t, 30*time.Second, func() error { return events.has(topology.ReplicaUp, hung.Addr()) })
	})
	t.Run("replicas gone, and back", func(t *testing.T) {
		for _, r := range replicas {
			if err := r.Kill(); err != nil {
				t.Fatal(err)
			}
		}
		if got, err := c.Get(ctx, "k").Result(); err != nil || got != "1" {
			t.Fatalf("with no replicas: got %q, %v", got, err)
		}
		readBy(t, c, "k", primary)
		for _, r := range replicas {
			if err := r.Restart(ctx); err != nil {
				t.Fatal(err)
			}
		}
		// An empty one that is restarted must never answer.
		redistest.Eventually(t, 30*time.Second, func() error {
			before := calls(t, replicas[0], "get")
			for range 20 {
				if got, err := c.Get(ctx, "k").Result(); err != nil || got != "1" {
					t.Fatalf("after a restart: got %q, %v", got, err)
				}
			}
			if calls(t, replicas[0], "get") == before {
				return fmt.Errorf("%s answers no reads", replicas[0].Addr())
			}
			return nil
		})
	})
	t.Run("reads go on without a primary", func(t *testing.T) {
		readBy(t, c, "k", replicas...)
		stop := readers(t, c, 8, "k")
		if err := primary.Kill(); err != nil {
			t.Fatal(err)
		}
		redistest.Eventually(t, 60*time.Second, func() error {
			one, end := context.WithTimeout(ctx, time.Second)
			defer end()
			return c.Set(one, "w", "1", 0).Err()
		})
		longest, errs := stop()
		if longest > 2*time.Second || len(errs) > 0 {
			t.Errorf("longest read %v, errors %v; want under 1s, or 2s on a busy machine", longest, errs)
		}
		t.Logf("longest read %v", longest.Round(time.Millisecond))
	})
}
