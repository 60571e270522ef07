package migrate

import (
	"context"
	"errors"
	"fmt"
	"net"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/transload/transload/internal/protocol"
	"github.com/transload/transload/internal/redistest"
	"github.com/transload/transload/topology"
)

// clusterPair is a standalone source and the package's cluster as the target,
// emptied.
func clusterPair(t *testing.T) *pair {
	t.Helper()
	set := redistest.SharedCluster(t)
	a := redistest.Standalone(t, redistest.Options{})
	p := newPair(t, envConfig(t, a.Env("REDIS")), envConfig(t, set.Env("REDIS")))
	err := p.client[protocol.Target].EachMaster(t.Context(), func(ctx context.Context, _ string, node *redis.Client) error {
		return errors.Join(node.FlushAll(ctx).Err(), node.ScriptFlush(ctx).Err())
	})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// What one master cannot answer for the others is asked of each.
func TestClusterWholeServer(t *testing.T) {
	p := clusterPair(t)
	c := p.member()
	p.shadow(c)
	p.move(protocol.Source, everything(100), c)
	ctx := t.Context()
	const n = 300
	for i := range n {
		c.Set(ctx, fmt.Sprint("k", i), i, 0)
	}
	sum, err := c.DBSize(ctx).Result()
	if err != nil || sum < n || sum > n+10 {
		t.Errorf("dbsize: got %d, %v; want %d and the migration's own", sum, err, n)
	}
	if raw, err := c.Do(ctx, "dbsize").Int64(); err != nil || raw != sum {
		t.Errorf("dbsize by Do: got %d, %v; want %d", raw, err, sum)
	}
	if keys, err := c.Keys(ctx, "k*").Result(); err != nil || len(keys) != n {
		t.Errorf("keys: got %d, %v; want %d", len(keys), err, n)
	}
	seen := map[string]bool{}
	it := c.Scan(ctx, 0, "", 10).Iterator()
	for it.Next(ctx) {
		seen[it.Val()] = true
	}
	if it.Err() != nil || len(seen) != n {
		t.Errorf("scan: got %d, %v; want %d", len(seen), it.Err(), n)
	}
	sha, err := c.ScriptLoad(ctx, "return redis.call('get', KEYS[1])").Result()
	if err != nil {
		t.Fatal(err)
	}
	for i := range 20 {
		key := fmt.Sprint("k", i)
		if got, err := p.client[protocol.Target].EvalSha(ctx, sha, []string{key}).Text(); err != nil || got != fmt.Sprint(i) {
			t.Errorf("evalsha on the master of %s: got %q, %v", key, got, err)
		}
	}
	if got, err := c.ScriptExists(ctx, sha, "none").Result(); err != nil || !got[0] || got[1] {
		t.Errorf("script exists: got %v, %v", got, err)
	}
	if err := c.ScriptFlush(ctx).Err(); err != nil {
		t.Error(err)
	}
	if got, err := p.client[protocol.Target].ScriptExists(ctx, sha).Result(); err != nil || got[0] {
		t.Errorf("after SCRIPT FLUSH: got %v, %v", got, err)
	}
	if err := c.MGet(ctx, "k1", "k2").Err(); !redis.HasErrorPrefix(err, "CROSSSLOT") {
		t.Errorf("mget within one side: got %v; want the cluster's CROSSSLOT", err)
	}
	if _, err := c.TxPipelined(ctx, func(pipe redis.Pipeliner) error {
		pipe.Incr(ctx, "k1")
		pipe.Incr(ctx, "k2")
		return nil
	}); !errors.Is(err, redis.ErrCrossSlot) {
		t.Errorf("a transaction over slots: got %v; want ErrCrossSlot", err)
	}
	if _, err := c.Pipelined(ctx, func(pipe redis.Pipeliner) error {
		for i := range n {
			pipe.IncrBy(ctx, fmt.Sprint("k", i), 1)
		}
		return nil
	}); err != nil {
		t.Errorf("a pipeline over masters: %v", err)
	}
	p.finish(c)
	if got, err := c.DBSize(ctx).Result(); err != nil || got < n {
		t.Errorf("dbsize when done: got %d, %v", got, err)
	}
	if err := c.FlushAll(ctx).Err(); err != nil {
		t.Error(err)
	}
	if keys := p.keys(protocol.Target); len(keys) > 0 {
		t.Errorf("after FLUSHALL %d keys are left", len(keys))
	}
}

// A client whose map of slots is old finds a key all the same.
func TestClusterRedirects(t *testing.T) {
	p := clusterPair(t)
	c := p.member()
	p.shadow(c)
	p.move(protocol.Source, everything(100), c)
	ctx := t.Context()
	const key = "{moved}k"
	c.Set(ctx, key, "1", 0)
	slot := int(c.m.plan.unit(key).slot)
	nodes, err := masters(ctx, p.client[protocol.Target])
	if err != nil {
		t.Fatal(err)
	}
	owner, err := p.client[protocol.Target].MasterFor(ctx, key)
	if err != nil {
		t.Fatal(err)
	}
	ids := map[*redis.Client]string{}
	var other *redis.Client
	for _, node := range nodes {
		if ids[node], err = node.Do(ctx, "cluster", "myid").Text(); err != nil {
			t.Fatal(err)
		}
		if node.Options().Addr != owner.Options().Addr {
			other = node
		} else {
			owner = node
		}
	}
	do := func(node *redis.Client, args ...any) {
		t.Helper()
		if err := node.Do(ctx, args...).Err(); err != nil {
			t.Fatalf("%v: %v", args, err)
		}
	}
	everyWay := func(state string) {
		t.Helper()
		for name, run := range map[string]func() error{
			"single":   func() error { return c.Incr(ctx, key).Err() },
			"pipeline": func() error { return pipelined(ctx, c, "incr", key) },
			"two of them": func() error {
				_, err := c.Pipelined(ctx, func(pipe redis.Pipeliner) error { pipe.Incr(ctx, key); pipe.Incr(ctx, key); return nil })
				return err
			},
			"blocking": func() error {
				if err := c.RPush(ctx, "{moved}q", 1).Err(); err != nil {
					return err
				}
				return c.BLPop(ctx, time.Second, "{moved}q").Err()
			},
			"watch": func() error {
				return c.Watch(ctx, func(tx *redis.Tx) error {
					_, err := tx.TxPipelined(ctx, func(pipe redis.Pipeliner) error { pipe.Incr(ctx, key); return nil })
					return err
				}, key)
			},
			"transaction": func() error {
				_, err := c.TxPipelined(ctx, func(pipe redis.Pipeliner) error { pipe.Incr(ctx, key); return nil })
				return err
			},
		} {
			if err := run(); err != nil {
				t.Errorf("%s: %s: %v", state, name, err)
			}
		}
	}
	do(other, "cluster", "setslot", slot, "importing", ids[owner])
	do(owner, "cluster", "setslot", slot, "migrating", ids[other])
	host, port, _ := net.SplitHostPort(other.Options().Addr)
	do(owner, "migrate", host, port, key, 0, 2000)
	if err := c.Incr(ctx, key).Err(); err != nil {
		t.Errorf("ASK: single: %v", err)
	}
	if err := pipelined(ctx, c, "incr", key); err != nil {
		t.Errorf("ASK: pipeline: %v", err)
	}
	for _, node := range []*redis.Client{other, owner} {
		do(node, "cluster", "setslot", slot, "node", ids[other])
	}
	everyWay("MOVED")
	do(other, "cluster", "setslot", slot, "migrating", ids[owner])
	do(owner, "cluster", "setslot", slot, "importing", ids[other])
	keys := p.keys(protocol.Target)
	host, port, _ = net.SplitHostPort(owner.Options().Addr)
	for _, k := range keys {
		if int(c.m.plan.unit(k).slot) == slot {
			do(other, "migrate", host, port, k, 0, 2000)
		}
	}
	for _, node := range []*redis.Client{owner, other} {
		do(node, "cluster", "setslot", slot, "node", ids[owner])
	}
	everyWay("MOVED back")
	if got, err := c.Get(ctx, key).Int(); err != nil || got != 1+2+2*6 {
		t.Errorf("got %d, %v; want %d: each increment once", got, err, 1+2+2*6)
	}
}

// With no target the client is as good as go-redis's own on a cluster.
func TestClusterPlain(t *testing.T) {
	set := redistest.SharedCluster(t)
	c, err := Open(t.Context(), Options{Source: envConfig(t, set.Env("REDIS"))})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	ctx := t.Context()
	for i := range 50 {
		c.Set(ctx, fmt.Sprint("plain", i), i, 0)
	}
	if keys, err := c.Keys(ctx, "plain*").Result(); err != nil || len(keys) != 50 {
		t.Errorf("keys: got %d, %v", len(keys), err)
	}
	if c.plain.Mode() != topology.Cluster {
		t.Error("no cluster")
	}
}

// Shard channels live on the master of their slot.
func TestClusterSSubscribe(t *testing.T) {
	p := clusterPair(t)
	c := p.member()
	p.shadow(c)
	p.move(protocol.Source, everything(100), c)
	ctx := t.Context()
	for _, ch := range []string{"ch1", "ch2", "ch3", "ch4"} {
		sub := c.SSubscribe(ctx, ch)
		if _, err := sub.Receive(ctx); err != nil {
			t.Fatal(err)
		}
		if err := c.SPublish(ctx, ch, "m").Err(); err != nil {
			t.Error(err)
		}
		if m, err := sub.ReceiveMessage(within(t, 5*time.Second)); err != nil || m.Payload != "m" {
			t.Errorf("got %v, %v", m, err)
		}
		_ = sub.Close()
	}
	var subs []*redis.PubSub
	for _, ch := range []string{"ch1", "ch2", "ch3", "ch4"} {
		sub := c.SSubscribe(ctx, ch)
		if _, err := sub.Receive(ctx); err != nil {
			t.Fatal(err)
		}
		subs = append(subs, sub)
		defer sub.Close()
	}
	p.finish(c)
	for i, ch := range []string{"ch1", "ch2", "ch3", "ch4"} {
		got := subs[i].Channel()
		redistest.Eventually(t, 10*time.Second, func() error {
			if err := c.SPublish(ctx, ch, "after").Err(); err != nil {
				return err
			}
			select {
			case m := <-got:
				if m.Payload != "after" {
					return fmt.Errorf("got %v", m)
				}
				return nil
			case <-time.After(50 * time.Millisecond):
				return errors.New("nothing came")
			}
		})
	}
}
