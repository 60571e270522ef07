package topology_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/transload/transload/internal/redistest"
	"github.com/transload/transload/topology"
)

// TestOldPrimaryGetsNoWrites wakes a primary that was stopped while another took
// its place. Until a sentinel tells it so, it says that it is a primary.
func TestOldPrimaryGetsNoWrites(t *testing.T) {
	t.Parallel()
	set := redistest.Sentinel(t, redistest.Options{DownAfter: time.Second})
	c := open(t, set.Env("REDIS"), nil)
	sub := c.Subscribe(t.Context(), "news")
	defer sub.Close()
	if _, err := sub.Receive(t.Context()); err != nil {
		t.Fatal(err)
	}
	old := set.Primaries(t.Context())[0]
	if err := old.Freeze(); err != nil {
		t.Fatal(err)
	}
	defer old.Thaw()
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	start := time.Now()
	if err := c.Set(ctx, "waits", "1", 0).Err(); err == nil || time.Since(start) > 5*time.Second {
		t.Errorf("got %v after %v; want an error after 300 ms", err, time.Since(start))
	}
	promotion(t, set, old)
	redistest.Eventually(t, 30*time.Second, func() error { return c.LPush(t.Context(), "news", "1").Err() })
	if err := old.Thaw(); err != nil {
		t.Fatal(err)
	}
	redistest.Eventually(t, 60*time.Second, func() error {
		if err := c.LPush(t.Context(), "news", "1").Err(); err != nil {
			t.Errorf("write: %v", err)
		}
		v, err := old.Do(t.Context(), "ROLE")
		role, ok := v.([]any)
		if err != nil || !ok || role[0] != "master" {
			return err
		}
		if stats := fmt.Sprint(redistest.Do(t, old, "INFO", "commandstats")); strings.Contains(stats, "cmdstat_lpush") {
			t.Error("the old primary was sent a write")
		}
		return errors.New("the old primary still says that it is one")
	})
	redistest.Eventually(t, 30*time.Second, func() error { // the subscription has moved too
		if err := c.Publish(t.Context(), "news", "hello").Err(); err != nil {
			return err
		}
		msg, err := sub.ReceiveTimeout(t.Context(), 500*time.Millisecond)
		if m, ok := msg.(*redis.Message); !ok || m.Payload != "hello" {
			return fmt.Errorf("got %v, %v", msg, err)
		}
		return nil
	})
}

// TestAStrayPrimaryMovesNobody cuts a replica loose, as an operator may by
// mistake, and breaks connections so that the client looks around.
func TestAStrayPrimaryMovesNobody(t *testing.T) {
	t.Parallel()
	set := redistest.Sentinel(t, redistest.Options{})
	var h heard
	c := open(t, set.Env("REDIS"), []topology.Option{h.option()})
	roundTrip(t, c)
	primary := set.Primaries(t.Context())[0]
	stray := set.Nodes[1]
	if stray == primary {
		stray = set.Nodes[0]
	}
	redistest.Do(t, stray, "REPLICAOF", "NO", "ONE")
	for range 10 {
		redistest.Do(t, primary, "CLIENT", "KILL", "TYPE", "normal")
		for end := time.Now().Add(100 * time.Millisecond); time.Now().Before(end); {
			if err := c.LPush(t.Context(), "news", "1").Err(); err != nil {
				t.Fatal(err)
			}
		}
	}
	if stats := fmt.Sprint(redistest.Do(t, stray, "INFO", "commandstats")); strings.Contains(stats, "cmdstat_lpush") {
		t.Error("the stray primary was sent a write")
	}
	if events := h.kinds(); strings.Contains(events, "primary_switched") {
		t.Errorf("the client moved:\n%s", events)
	}
}

// TestBackAfterALongOutage has more calls fail than a pool has connections, by
// which go-redis tries only once a second.
func TestBackAfterALongOutage(t *testing.T) {
	t.Parallel()
	set := redistest.Sentinel(t, redistest.Options{Replicas: -1})
	c := open(t, set.Env("REDIS"), nil, "POOL_SIZE=4", "DIAL_TIMEOUT=300ms")
	roundTrip(t, c)
	primary := set.Nodes[0]
	if err := primary.Kill(); err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() {
			for end := time.Now().Add(1500 * time.Millisecond); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
				if err := c.Set(t.Context(), "k", "1", 0).Err(); err == nil {
					t.Error("a dead primary took a write")
				}
			}
		})
	}
	wg.Wait()
	start := time.Now()
	err := c.Set(t.Context(), "k", "1", 0).Err()
	if !errors.Is(err, topology.ErrNoPrimary) || !strings.Contains(err.Error(), primary.Addr()+" does not answer") {
		t.Errorf("got %v; want ErrNoPrimary, and the reason", err)
	}
	if d := time.Since(start); d > 200*time.Millisecond {
		t.Errorf("after a long outage a call failed after %v; want it to fail at once", d)
	}
	if err := primary.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	start = time.Now()
	redistest.Eventually(t, 10*time.Second, func() error { return c.Set(t.Context(), "k", "1", 0).Err() })
	t.Logf("writes again %v after the primary was back", time.Since(start).Round(time.Millisecond))
}

// TestWaitForAPrimary has a sentinel that takes connections and says nothing.
func TestWaitForAPrimary(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	c, err := topology.Open(topology.Config{Mode: topology.Sentinel, Addrs: []string{l.Addr().String()}, SentinelMaster: "m", DialTimeout: time.Second})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	start := time.Now()
	if err := c.Ping(ctx).Err(); err == nil || time.Since(start) > 900*time.Millisecond {
		t.Errorf("got %v after %v; want an error after 50 ms", err, time.Since(start))
	}
	if err := c.Ping(t.Context()).Err(); !errors.Is(err, topology.ErrNoPrimary) || !strings.Contains(err.Error(), " for m: ") || time.Since(start) < 2*time.Second {
		t.Errorf("got %v after %v; want ErrNoPrimary after two seconds", err, time.Since(start))
	}
}

func TestCloseEndsTheWaitForAPrimary(t *testing.T) {
	t.Parallel()
	c, err := topology.Open(topology.Config{Mode: topology.Sentinel, Addrs: []string{"127.0.0.1:1"}, SentinelMaster: "m"})
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- c.Ping(t.Context()).Err() }()
	time.Sleep(50 * time.Millisecond)
	if err := c.Close(); err != nil {
		t.Error(err)
	}
	select {
	case err := <-done:
		if !errors.Is(err, redis.ErrClosed) {
			t.Errorf("got %v; want that the client is closed", err)
		}
	case <-time.After(5 * time.Second):
		t.Error("a call still waits though the client is closed")
	}
}
