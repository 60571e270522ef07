package topology_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/transload/transload/internal/redistest"
	"github.com/transload/transload/topology"
)

// reason waits until the client is unhealthy and says why, in words of which want
// is one.
func reason(t *testing.T, c *topology.Client, want string, meanwhile func()) {
	t.Helper()
	redistest.Eventually(t, 60*time.Second, func() error {
		meanwhile()
		h := c.Health(t.Context())
		if h.Status != topology.Unhealthy || !strings.Contains(strings.Join(h.Reasons, "\n"), want) {
			return fmt.Errorf("got %s %q; want it to say %s", h.Status, h.Reasons, want)
		}
		return nil
	})
	if code, body := ask(t, c.ReadyHandler(nil)); code != http.StatusServiceUnavailable || !strings.Contains(body, want) {
		t.Errorf("got %d %s; want 503 for %s", code, body, want)
	}
}

// TestHealthWhileWritesAreRefused: the primary answers everything but writes.
func TestHealthWhileWritesAreRefused(t *testing.T) {
	t.Parallel()
	set := redistest.Sentinel(t, redistest.Options{})
	c := open(t, set.Env("REDIS"), nil)
	roundTrip(t, c)
	status(t, c, topology.Healthy)
	primary := set.Primaries(t.Context())[0]
	redistest.Do(t, primary, "config", "set", "min-replicas-to-write", "5")
	reason(t, c, "NOREPLICAS", func() { c.Set(t.Context(), "k", 1, 0) })
	redistest.Do(t, primary, "config", "set", "min-replicas-to-write", "0")
	status(t, c, topology.Healthy)

	redistest.Do(t, primary, "config", "set", "maxmemory", "1")
	reason(t, c, "OOM", func() { // a read that finds nothing comes first
		p := c.Pipeline()
		p.Get(t.Context(), "no such key")
		p.Set(t.Context(), "k", 1, 0)
		_, _ = p.Exec(t.Context())
	})
}

// TestHealthOfAWrongPassword: a server that lets nobody in answers nobody.
func TestHealthOfAWrongPassword(t *testing.T) {
	t.Parallel()
	for name, env := range map[string]func(t *testing.T, o redistest.Options) map[string]string{
		"standalone": func(t *testing.T, o redistest.Options) map[string]string {
			return redistest.Standalone(t, o).Env("REDIS")
		},
		"sentinel": func(t *testing.T, o redistest.Options) map[string]string {
			return redistest.Sentinel(t, o).Env("REDIS")
		},
		"cluster": func(t *testing.T, o redistest.Options) map[string]string { return redistest.Cluster(t, o).Env("REDIS") },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			right := env(t, redistest.Options{Password: "s3cr3t-d"})
			reason(t, open(t, right, nil, "PASSWORD=wr0ng"), "WRONGPASS", func() {})
			reason(t, open(t, right, nil, "PASSWORD="), "NOAUTH", func() {})
		})
	}
}

func TestHealthAfterClose(t *testing.T) {
	for name, env := range map[string]func(t *testing.T) map[string]string{
		"standalone": func(t *testing.T) map[string]string { return redistest.Standalone(t, redistest.Options{}).Env("REDIS") },
		"sentinel":   func(t *testing.T) map[string]string { return redistest.Sentinel(t, redistest.Options{}).Env("REDIS") },
		"cluster":    func(t *testing.T) map[string]string { return redistest.Cluster(t, redistest.Options{}).Env("REDIS") },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := open(t, env(t), []topology.Option{topology.WithMetrics()})
			roundTrip(t, c)
			for range 2 {
				if err := c.Close(); err != nil {
					t.Errorf("got %v; want nil", err)
				}
			}
			reason(t, c, "closed", func() {})
			gather(t, c)
		})
	}
}
