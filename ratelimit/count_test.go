package ratelimit

import (
	"slices"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2/server"
)

// TestAnotherWindow: who knows when a window ends, and does not ask for it, finds out
// that it is another one by now.
func TestAnotherWindow(t *testing.T) {
	bubble(t, func(t *testing.T, k *kit) {
		l, other := k.limiter(perMinute(100)), k.limiter(perMinute(100))
		k.fleet(l, other)
		ends := func(want time.Duration) {
			t.Helper()
			if d := k.take(l, "a"); !d.Allowed || d.ResetAfter < want-time.Second || d.ResetAfter > want {
				t.Errorf("got %+v; want all free in %v", d, want)
			}
			if ttl := k.mini.TTL(l.key("a", 0)); ttl <= 0 || ttl > want {
				t.Errorf("the key expires in %v; want %v", ttl, want)
			}
		}
		ends(time.Minute)
		time.Sleep(20 * time.Second)
		ends(40 * time.Second)
		k.granted(l, "a", 10)
		must(t, other.Reset(t.Context(), "a"))
		k.take(other, "a") // begins one
		k.take(l, "a")     // sees that fewer are used
		ends(time.Minute)
		must(t, other.Reset(t.Context(), "a"))
		ends(time.Minute) // begins one itself
		time.Sleep(time.Minute)
		ends(time.Minute)
		if got := k.counted(l, "a"); got != "1" {
			t.Errorf("got %s counted; want 1", got)
		}
	})
}

// TestCountsWithoutScript: who knows when a window ends asks for no script, until
// there is too little left; then what was counted is given back.
func TestCountsWithoutScript(t *testing.T) {
	bubble(t, func(t *testing.T, k *kit) {
		var sent []string
		k.hook(func(_ *server.Peer, cmd string, _ ...string) bool {
			if cmd == "ZADD" || cmd == "EVALSHA" {
				sent = append(sent, cmd)
			}
			return false
		})
		l := k.limiter(perMinute(5))
		k.fleet(l)
		k.take(l, "a")
		sent = nil
		if got := k.granted(l, "a", 6); got != 4 || !slices.Equal(sent, []string{"ZADD", "ZADD", "ZADD", "ZADD", "ZADD", "EVALSHA"}) {
			t.Errorf("got %d allowed by %v; want 4 by a count each, and one given back", got, sent)
		}
		if got := k.counted(l, "a"); got != "5" {
			t.Errorf("got %s counted; want what was allowed", got)
		}
	})
}

// TestGivingBackIsRefused: who was counted, and is over the limit, has no local share
// since it cannot be given back, and is not told once more.
func TestGivingBackIsRefused(t *testing.T) {
	bubble(t, func(t *testing.T, k *kit) {
		l, other := k.limiter(perMinute(5)), k.limiter(perMinute(5))
		k.fleet(l, other)
		k.take(l, "a")
		k.granted(other, "a", 4)
		k.hook(func(c *server.Peer, cmd string, _ ...string) bool {
			refuse := cmd == "EVALSHA"
			if refuse {
				c.WriteError("LOADING Redis is loading the dataset in memory")
			}
			return refuse
		})
		d := k.take(l, "a")
		if d.Allowed || d.Source != FromRedis || d.Remaining != 0 || d.RetryAfter <= 0 {
			t.Fatalf("got %+v; want it denied, as Redis has counted 6 of 5", d)
		}
		k.mini.Server().SetPreHook(nil)
		k.recovered(l)
		k.take(l, "a")
		if got := k.counted(l, "a"); got != "6" {
			t.Errorf("got %s counted; want the 5, and the one that was not given back", got)
		}
	})
}
