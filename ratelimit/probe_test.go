package ratelimit

import (
	"bytes"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2/server"
	"github.com/redis/go-redis/v9"

	"github.com/transload/transload/internal/redistest"
)

func TestProbe(t *testing.T) {
	bubble(t, func(t *testing.T, k *kit) {
		l := k.limiter([]Policy{{Name: "a", Limit: 1, Per: time.Minute}, {Name: "b", Limit: 100, Per: time.Second, Algorithm: GCRA}, {Name: "c", Limit: 9, Per: time.Hour}})
		if err := l.Probe(t.Context()); err != nil {
			t.Fatal(err)
		}
		if keys := k.mini.Keys(); !slices.Equal(keys, []string{"rl:{fleet}:live"}) {
			t.Errorf("got keys %q; want none left but that of the instances", keys)
		}
		for policy, warns := range map[string]bool{"noeviction": false, "allkeys-lru": true} {
			var log bytes.Buffer
			l := k.limiter(perMinute(2), WithLogger(slog.New(slog.NewTextHandler(&log, nil))))
			k.hook(func(c *server.Peer, cmd string, _ ...string) bool {
				if cmd == "INFO" {
					c.WriteBulk("# Memory\r\nused_memory:1\r\nmaxmemory_policy:" + policy + "\r\n")
				}
				return cmd == "INFO"
			})
			if err := l.Probe(t.Context()); err != nil || strings.Contains(log.String(), "level=WARN") != warns || !strings.Contains(log.String(), "took=") {
				t.Errorf("%s: got %v, %s; want a warning: %v", policy, err, log.String(), warns)
			}
		}
		k.mode.Store(down)
		if err := l.Probe(t.Context()); err == nil || !strings.Contains(err.Error(), "after ") {
			t.Errorf("got %v; want an error that says after what time", err)
		}
	})
}

// TestProbeFindsWhatIsForbidden: each command that decisions, recovery and the count of
// instances need is needed by a probe too.
func TestProbeFindsWhatIsForbidden(t *testing.T) {
	t.Parallel()
	server := redistest.Standalone(t, redistest.Options{})
	admin := redistest.Client(t, server)
	probe := func(rights ...any) error {
		must(t, admin.Do(t.Context(), append([]any{"acl", "setuser", "app", "reset", "on", "nopass", "allkeys"}, rights...)...).Err())
		must(t, admin.Do(t.Context(), "script", "flush").Err()) // as after a restart
		c := redistest.Client(t, server, func(o *redis.Options) { o.Username, o.Password = "app", "any" })
		return onReal(t, c, []Policy{{Name: "w", Limit: 5, Per: time.Hour}, {Name: "g", Limit: 5, Per: time.Hour, Algorithm: GCRA}}).Probe(t.Context())
	}
	needs := []string{"eval", "evalsha", "zadd", "zincrby", "zscore", "zcard", "zremrangebyscore", "get", "set", "exists", "del", "pttl", "pexpire", "time"}
	var rights []any
	for _, command := range append(needs, "zrem") { // which only Close needs
		rights = append(rights, "+"+command)
	}
	must(t, probe(rights...))
	for i, command := range needs {
		if probe(slices.Delete(slices.Clone(rights), i, i+1)...) == nil {
			t.Errorf("%s is forbidden: got no error", command)
		}
	}
}
