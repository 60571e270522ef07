package cache

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"

	resp "github.com/alicebob/miniredis/v2/server"
)

// A probe tells of a server that evicts nothing.
func TestProbeEviction(t *testing.T) {
	for policy, tells := range map[string]bool{"noeviction": true, "allkeys-lru": false} {
		var log bytes.Buffer
		o := patient()
		o.Logger = slog.New(slog.NewTextHandler(&log, nil))
		s, m := mini(t, o)
		m.Server().SetPreHook(func(c *resp.Peer, cmd string, args ...string) bool {
			memory := cmd == "INFO" && len(args) > 0 && args[0] == "memory"
			if memory {
				c.WriteBulk("# Memory\r\nmaxmemory_policy:" + policy + "\r\n")
			}
			return memory
		})
		if err := s.Probe(t.Context()); err != nil || strings.Contains(log.String(), "evicts nothing") != tells {
			t.Errorf("%s: got %v, %s; want that it is told: %v", policy, err, log.String(), tells)
		}
	}
}
