package coordinator

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/transload/transload/internal/faultproxy"
	"github.com/transload/transload/internal/keysync"
	"github.com/transload/transload/internal/protocol"
	"github.com/transload/transload/internal/redistest"
)

// leader returns what a coordinator that shadows is at work with.
func leader(t *testing.T, c *Coordinator) *term {
	t.Helper()
	waitShadow(t, c)
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.term
}

// slowly is two servers, the second behind a proxy.
func slowly(t *testing.T) (sides, *faultproxy.Proxy) {
	t.Helper()
	if testing.Short() {
		t.Skip("needs a real server")
	}
	src, dst := redistest.Standalone(t, redistest.Options{}), redistest.Standalone(t, redistest.Options{})
	proxy, err := faultproxy.Start("tcp", dst.Addr())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = proxy.Close() })
	s := sides{config(t, src), config(t, dst)}
	s.target.Addrs = []string{proxy.Addr()}
	return s, proxy
}

// TestLargeYields makes the repair of a large key last for seconds, and asks for
// a halt, as a move does before its hold. The key yields, and is repaired
// afterwards.
func TestLargeYields(t *testing.T) {
	t.Parallel()
	s, proxy := slowly(t)
	src := client(t, s.source)
	const zset = "for i=1,40000 do redis.call('zadd',KEYS[1],i/7,'member:'..i) end return 1"
	if err := src.Eval(t.Context(), zset, []string{"rl:big"}).Err(); err != nil {
		t.Fatal(err)
	}
	c := coordinate(t, s, func(o *Options) { o.NoMembers = true })
	shadowing(t, c)
	lead := leader(t, c)
	eventually(t, lead.syncer.dirty.Clean)
	proxy.SetDelay(25 * time.Millisecond) // 40 pieces, of one round trip each at least
	if err := src.ZIncrBy(t.Context(), "rl:big", 1, "member:7").Err(); err != nil {
		t.Fatal(err)
	}
	eventually(t, func() bool { return lead.syncer.large.underWay() > 0 })
	began := time.Now()
	if err := lead.syncer.halt(t.Context()); err != nil {
		t.Fatal(err)
	}
	took := time.Since(began)
	t.Logf("the copy yielded within %v", took)
	if n := lead.syncer.large.underWay(); n != 0 {
		t.Error("a repair is under way; want none in a halt")
	}
	if names := lead.syncer.dirty.Take(0, 0); !slices.Equal(names, []string{"rl:big"}) {
		t.Errorf("got %v; want the key that yielded to be dirty", names)
	}
	lead.syncer.dirty.Add("rl:big")
	if lead.hasOrphans() {
		t.Error("a copy that yields leaves nothing unanswered")
	}
	lead.syncer.batches.Unlock()
	proxy.SetDelay(0)
	eventually(t, lead.syncer.dirty.Clean)
	if rep, err := c.Verify(t.Context(), VerifyRequest{}); err != nil || rep.Compared == 0 {
		t.Errorf("got %+v, %v; want equal sides", rep, err)
	}
}

// TestHaltIsBounded: a server that does not answer cannot keep a move's loop.
func TestHaltIsBounded(t *testing.T) {
	t.Parallel()
	c := coordinate(t, pair(t), func(o *Options) { o.NoMembers = true })
	shadowing(t, c)
	lead := leader(t, c)
	lead.syncer.batches.RLock() // a batch that waits for its time-out
	began := time.Now()
	err := lead.syncer.halt(t.Context())
	if !errors.Is(err, context.DeadlineExceeded) || time.Since(began) > 10*haltBound {
		t.Errorf("got %v after %v; want a deadline", err, time.Since(began))
	}
	lead.syncer.batches.RUnlock()
	if err := lead.syncer.halt(t.Context()); err != nil {
		t.Fatal(err)
	}
	lead.syncer.batches.Unlock()
}

// TestDroppedStaysDirty: a key that differs, and that a coordinator may not write
// at the moment, is not settled, though its difference is known. Who took it for
// settled would let it lie until a proof passed without it.
func TestDroppedStaysDirty(t *testing.T) {
	t.Parallel()
	s := pair(t)
	c := coordinate(t, s, func(o *Options) { o.NoMembers = true })
	shadowing(t, c)
	lead := leader(t, c)
	lead.yield.Store(true)
	src := client(t, s.source)
	keys := []string{"sess:{1}", "sess:{2}", "sess:{3}"}
	for _, key := range keys[:2] {
		if err := src.Set(t.Context(), key, "new", 0).Err(); err != nil {
			t.Fatal(err)
		}
	}
	n, left, err := lead.sync(t.Context(), protocol.Source, keys)
	if !errors.Is(err, errYield) || n.Failed != 2 || !slices.Equal(left, keys[:2]) {
		t.Errorf("got %+v, %v, %v; want the two that differ left", n, left, err)
	}
	if lead.hasOrphans() {
		t.Error("what was not sent is no orphan")
	}
	lead.yield.Store(false)
	eventually(t, lead.syncer.dirty.Clean)
	if rep, err := c.Verify(t.Context(), VerifyRequest{}); err != nil || rep.Compared == 0 {
		t.Errorf("got %+v, %v; want equal sides", rep, err)
	}
}

// TestLargeInHold: the gate counts large keys that are repaired again and again, each
// as it was repaired fastest of late, and names the worst; one that was repaired once is likely its own copy's echo.
func TestLargeInHold(t *testing.T) {
	var l largeKeys
	all := func(string) bool { return true }
	repair := func(took time.Duration, keys ...string) {
		l.begin()
		var results []keysync.Result
		for _, key := range keys {
			results = append(results, keysync.Result{Key: key, Took: took})
		}
		l.ended(results)
	}
	repair(time.Second, "echo", "a", "b")
	if total, _ := l.inHold(all); total != 0 {
		t.Errorf("got %v; want nothing after one repair", total)
	}
	repair(200*time.Millisecond, "a")
	repair(300*time.Millisecond, "b")
	if total, key := l.inHold(all); total != 500*time.Millisecond || key != "b" {
		t.Errorf("got %v, %q; want 500ms, b", total, key)
	}
	if total, key := l.inHold(func(key string) bool { return key == "a" }); total != 200*time.Millisecond || key != "a" {
		t.Errorf("got %v, %q; want those that move alone", total, key)
	}
	repair(2*time.Second, "a")
	repair(100*time.Millisecond, "a")
	repair(3*time.Second, "a")
	if total, key := l.inHold(all); total != 400*time.Millisecond || key != "b" {
		t.Errorf("got %v, %q; want the shortest of what each has taken, 400ms, b", total, key)
	}
	for range largeKept {
		repair(time.Second, "a")
	}
	if total, key := l.inHold(all); total != 1300*time.Millisecond || key != "a" {
		t.Errorf("got %v, %q; want 1.3s, a, which has grown", total, key)
	}
	l.begin()
	if n := l.underWay(); n != 0 {
		t.Errorf("got %d; want nothing so soon", n)
	}
	l.since = l.since.Add(-longRepair)
	if n := l.underWay(); n <= fewNames {
		t.Errorf("got %d; want more than lets a hold begin", n)
	}
	l.ended([]keysync.Result{{Key: "c", Err: fmt.Errorf("down")}})
	if n := l.underWay(); n != 0 || len(l.keys) != 3 {
		t.Errorf("got %d, %v", n, l.keys)
	}
}
