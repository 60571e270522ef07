package ratelimit

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2/server"
	"github.com/redis/go-redis/v9"
)

// TestServerRefuses with each of the words that servers have for it: what is refused
// was not counted, decisions go on by the local share, somebody is told, once, and
// afterwards Redis hears what was granted.
func TestServerRefuses(t *testing.T) {
	for _, word := range []string{
		"LOADING Redis is loading the dataset in memory",
		"READONLY You can't write against a read only replica.",
		"OOM command not allowed when used memory > 'maxmemory'.",
		"MOVED 1234 127.0.0.1:7001",
		"ASK 1234 127.0.0.1:7001",
		"CLUSTERDOWN The cluster is down",
		"MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'.",
		"TRYAGAIN Multiple keys request during rehashing of slot",
		"NOREPLICAS Not enough good replicas to write.",
		"NOPERM this user has no permissions to run the 'evalsha' command",
		"NOAUTH Authentication required.",
		"BUSY Redis is busy running a script.",
		"MISCONF Redis is configured to save RDB snapshots",
		"WRONGTYPE Operation against a key holding the wrong kind of value",
	} {
		name, _, _ := strings.Cut(word, " ")
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, k *kit) {
				var log bytes.Buffer
				l, err := New(k.client(func(o *redis.Options) { o.MaxRetries = 3 }), perMinute(100), WithLogger(slog.New(slog.NewTextHandler(&log, nil))))
				must(t, err)
				k.fleet(l)
				k.granted(l, "a", 40)
				k.hook(func(c *server.Peer, cmd string, _ ...string) bool {
					if refuse := strings.HasPrefix(strings.ToUpper(cmd), "EVAL") || strings.EqualFold(cmd, "ZADD"); refuse {
						c.WriteError(word)
						return true
					}
					return false
				})
				began := time.Now()
				if got := k.granted(l, "a", 60); got != 48 {
					t.Errorf("got %d granted; want 0.8 of the 60 that were left", got)
				}
				if took := time.Since(began); took > 60*defaultBudget {
					t.Errorf("60 decisions took %v", took)
				}
				if k.counted(l, "a") != "40" {
					t.Errorf("got %s counted; want 40", k.counted(l, "a"))
				}
				if n := strings.Count(log.String(), "level=WARN"); n != 1 || !strings.Contains(log.String(), name) {
					t.Errorf("got %d warnings; want one that tells what Redis says:\n%s", n, log.String())
				}
				k.mini.Server().SetPreHook(nil)
				k.recovered(l)
				if d := k.take(l, "a"); d.Source != FromRedis || d.Remaining != 11 {
					t.Errorf("afterwards: got %+v; want 40 + 48 + 1 used", d)
				}
				must(t, l.Close(t.Context()))
			})
		})
	}
}

// TestClockJumps: a server that takes over with another clock locks nobody out for
// longer than a full bucket, or a window, takes.
func TestClockJumps(t *testing.T) {
	for name, by := range map[string]time.Duration{"an hour back": -time.Hour, "an hour ahead": time.Hour} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, k *kit) {
				l := k.limiter([]Policy{{Name: "g", Limit: 60, Per: time.Minute, Burst: 5, Algorithm: GCRA}})
				if n := k.granted(l, "a", 6); n != 5 {
					t.Fatalf("got %d; want the burst of 5", n)
				}
				k.mini.SetTime(time.Now().Add(by))
				if n := k.granted(l, "a", 10); n > 5 {
					t.Errorf("right after: got %d; want a burst at most", n)
				}
				time.Sleep(time.Duration(rememberDenied)) // of this instance's own
				k.mini.SetTime(time.Now().Add(by + 5*time.Second))
				if n := k.granted(l, "a", 10); n != 5 {
					t.Errorf("a full bucket later: got %d; want 5", n)
				}
			})
		})
	}
	t.Run("a window that would end late", func(t *testing.T) {
		bubble(t, func(t *testing.T, k *kit) {
			l := k.limiter(perMinute(5))
			k.granted(l, "a", 5)
			k.mini.SetTTL(l.key("a", 0), time.Hour) // as an expiry looks to a clock that is behind
			if k.take(l, "a").Allowed {
				t.Error("over the limit: allowed")
			}
			time.Sleep(time.Minute)
			if !k.take(l, "a").Allowed {
				t.Error("a period later: denied")
			}
		})
	})
}

// TestAlgorithmChanges: instances with a policy's old algorithm and its new one, as a
// deployment has them for a while, count side by side.
func TestAlgorithmChanges(t *testing.T) {
	bubble(t, func(t *testing.T, k *kit) {
		gcra := perMinute(5)
		gcra[0].Algorithm = GCRA
		before, after := k.limiter(perMinute(5)), k.limiter(gcra)
		for range 5 {
			for name, l := range map[string]*Limiter{"window": before, "GCRA": after} {
				if d := k.take(l, "a"); d.Source != FromRedis || !d.Allowed {
					t.Errorf("%s: got %+v; want it allowed by Redis", name, d)
				}
			}
		}
		must(t, after.Reset(t.Context(), "a"))
		must(t, before.Reset(t.Context(), "a"))
	})
}
