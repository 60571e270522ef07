package pubsub

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"

	resp "github.com/alicebob/miniredis/v2/server"
)

// A probe warns of a server that may evict topics.
func TestProbeEviction(t *testing.T) {
	t.Parallel()
	for policy, warns := range map[string]bool{"noeviction": false, "allkeys-lru": true} {
		var log bytes.Buffer
		h, s := mini(t, func(o *Options) {
			o.Logger = slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelWarn}))
		})
		s.Server().SetPreHook(func(c *resp.Peer, cmd string, args ...string) bool {
			memory := cmd == "INFO" && len(args) > 0 && args[0] == "memory"
			if memory {
				c.WriteBulk("# Memory\r\nmaxmemory_policy:" + policy + "\r\n")
			}
			return memory
		})
		if err := h.Probe(t.Context()); err != nil || strings.Contains(log.String(), "noeviction") != warns {
			t.Errorf("%s: got %v, %s; want a warning: %v", policy, err, log.String(), warns)
		}
	}
}
