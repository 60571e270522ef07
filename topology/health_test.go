package topology_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/transload/transload/internal/redistest"
	"github.com/transload/transload/topology"
)

// ask returns what a handler answers.
func ask(t *testing.T, h http.Handler) (int, string) {
	t.Helper()
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/", nil))
	return w.Code, w.Body.String()
}

// status waits until the client has a status, and returns the Health.
func status(t *testing.T, c *topology.Client, want topology.HealthStatus) (h topology.Health) {
	t.Helper()
	redistest.Eventually(t, 60*time.Second, func() error {
		if h = c.Health(t.Context()); h.Status != want {
			return fmt.Errorf("got %s %q; want %s", h.Status, h.Reasons, want)
		}
		return nil
	})
	return h
}

// lagsKnown waits until the lag of every replica is known, which takes a second
// question.
func lagsKnown(t *testing.T, c *topology.Client) {
	t.Helper()
	redistest.Eventually(t, 60*time.Second, func() error {
		for _, r := range c.Health(t.Context()).Cluster.Replicas {
			if r.LagSeconds == nil {
				return fmt.Errorf("got %+v; want its lag", r)
			}
		}
		return nil
	})
}

// planned is the JSON of the plan's health endpoint.
const planned = `{"status": "", "cluster": {
	"primary": {"host": "", "port": 0, "role": "", "connected_replicas": 0, "replication_offset": 0},
	"replicas": [{"host": "", "role": "", "lag_seconds": 0, "priority": 0}],
	"sentinels": [{"host": "", "healthy": true}]},
	"performance": {"read_latency_p99_ms": 0, "write_latency_p99_ms": 0, "read_throughput_ops": 0, "write_throughput_ops": 0},
	"failover": {"last_failover_at": "", "failover_count_24h": 0, "failover_count_total": 0}}`

// missing returns the fields of want that got does not have, or has as null.
func missing(want, got any, path string) (list []string) {
	switch w := want.(type) {
	case map[string]any:
		g, _ := got.(map[string]any)
		for name, v := range w {
			if g[name] == nil && name != "last_failover_at" {
				list = append(list, path+"."+name)
				continue
			}
			list = append(list, missing(v, g[name], path+"."+name)...)
		}
	case []any:
		g, _ := got.([]any)
		if len(g) == 0 {
			return []string{path}
		}
		for _, x := range g {
			list = append(list, missing(w[0], x, path)...)
		}
	}
	return list
}

func decode(t *testing.T, text string) (v any) {
	t.Helper()
	if err := json.Unmarshal([]byte(text), &v); err != nil {
		t.Fatalf("%v: %s", err, text)
	}
	return v
}

func TestHealthOfSentinel(t *testing.T) {
	t.Parallel()
	set := redistest.Sentinel(t, redistest.Options{Password: "s3cr3t-d", SentinelPassword: "s3cr3t-s"})
	c := open(t, set.Env("REDIS"), []topology.Option{topology.WithMetrics()})
	roundTrip(t, c)
	var h topology.Health
	redistest.Eventually(t, 60*time.Second, func() error { // the watcher meets one node after the other
		h = status(t, c, topology.Healthy)
		if h.Cluster.Primary == nil || len(h.Cluster.Replicas) != 2 || len(h.Cluster.Sentinels) != 3 || h.Cluster.Primaries != nil {
			return fmt.Errorf("got %+v; want a primary, two replicas, three sentinels", h.Cluster)
		}
		return nil
	})
	lagsKnown(t, c)
	code, body := ask(t, c.HealthHandler())
	if lost := missing(decode(t, planned), decode(t, body), ""); code != http.StatusOK || len(lost) > 0 {
		t.Errorf("got %d without %v; want 200 and every field of the plan", code, lost)
	}
	if strings.Contains(body, "s3cr3t") {
		t.Error("a secret shows")
	}
	replica, sentinel := set.Nodes[1], set.Sentinels[2]
	if err := replica.Freeze(); err != nil {
		t.Fatal(err)
	}
	if err := sentinel.Kill(); err != nil {
		t.Fatal(err)
	}
	redistest.Eventually(t, 60*time.Second, func() error {
		h = c.Health(t.Context())
		text := strings.Join(h.Reasons, "\n")
		if h.Status != topology.Degraded || !strings.Contains(text, "replica "+replica.Addr()) || !strings.Contains(text, "sentinel "+sentinel.Addr()) {
			return fmt.Errorf("got %s %s; want it to name %s and %s", h.Status, text, replica.Addr(), sentinel.Addr())
		}
		return nil
	})
	if code, body := ask(t, c.ReadyHandler(nil)); code != http.StatusOK {
		t.Errorf("degraded: got %d %s; want ready", code, body)
	}
	if err := replica.Thaw(); err != nil {
		t.Fatal(err)
	}
	if err := sentinel.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	status(t, c, topology.Healthy)
}

func TestHealthAfterAFailover(t *testing.T) {
	t.Parallel()
	set := redistest.Sentinel(t, redistest.Options{})
	c := open(t, set.Env("REDIS"), nil)
	roundTrip(t, c)
	before := status(t, c, topology.Healthy)
	old := set.Primaries(t.Context())[0]
	if err := old.Kill(); err != nil {
		t.Fatal(err)
	}
	h := status(t, c, topology.Unhealthy)
	if code, body := ask(t, c.HealthHandler()); code == http.StatusOK {
		h := decode(t, body).(map[string]any)
		if h["status"] == "unhealthy" {
			t.Errorf("unhealthy: got %d; want 503", code)
		}
	}
	if code, body := ask(t, topology.LiveHandler()); code != http.StatusOK {
		t.Errorf("live: got %d %s; want 200 without Redis", code, body)
	}
	status(t, c, topology.Degraded) // the old primary is away
	if err := old.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	h = status(t, c, topology.Healthy)
	f := h.Failover
	if f.CountTotal != 1 || f.Count24h != 1 || f.LastAt == nil || f.LastAt.Before(before.At) || f.LastAt.After(h.At) {
		t.Errorf("got %+v; want one failover since %v", f, before.At)
	}
	if f.ConfigEpoch == nil || before.Failover.ConfigEpoch == nil || *f.ConfigEpoch <= *before.Failover.ConfigEpoch {
		t.Errorf("got config epoch %v after %v; want it to grow", f.ConfigEpoch, before.Failover.ConfigEpoch)
	}
	if h.Performance != nil {
		t.Errorf("got %+v; want no performance without WithMetrics", h.Performance)
	}
}

func TestHealthOfStandalone(t *testing.T) {
	t.Parallel()
	s := redistest.Standalone(t, redistest.Options{})
	c := open(t, s.Env("REDIS"), []topology.Option{topology.WithMetrics(), topology.WithSide("source")})
	roundTrip(t, c)
	h := c.Health(t.Context())
	if h.Status != topology.Healthy || h.Side != "source" || h.Cluster.Primary == nil || h.Cluster.Primary.Port == 0 {
		t.Fatalf("got %+v; want healthy", h)
	}
	p := h.Performance
	if p.ReadLatencyP99MS == nil || p.WriteLatencyP99MS == nil || *p.ReadLatencyP99MS <= 0 || p.ReadThroughputOps <= 0 || p.WriteThroughputOps <= 0 {
		t.Errorf("got %+v; want figures", p)
	}
	if err := s.Freeze(); err != nil {
		t.Fatal(err)
	}
	defer s.Thaw()
	began := time.Now()
	if h := c.Health(t.Context()); h.Status != topology.Unhealthy || len(h.Reasons) == 0 {
		t.Errorf("hung: got %+v; want unhealthy", h)
	}
	if took := time.Since(began); took > 10*time.Second { // the bound is 500ms
		t.Errorf("hung: took %v", took)
	}
	for name, tt := range map[string]struct {
		h    http.Handler
		want int
	}{
		"live":              {topology.LiveHandler(), 200},
		"detail":            {c.HealthHandler(), 503},
		"ready by default":  {c.ReadyHandler(nil), 503},
		"ready without":     {c.ReadyHandler(func(topology.Health) error { return nil }), 200},
		"ready if writable": {c.ReadyHandler(topology.Writable), 503},
	} {
		if code, body := ask(t, tt.h); code != tt.want {
			t.Errorf("%s: got %d %s; want %d", name, code, body, tt.want)
		}
	}
}

func TestHealthOfAReplicaTakenForAPrimary(t *testing.T) {
	t.Parallel()
	s := redistest.Standalone(t, redistest.Options{})
	r := redistest.Standalone(t, redistest.Options{Args: []string{"--replicaof", strings.Replace(s.Addr(), ":", " ", 1)}})
	c := open(t, s.Env("REDIS"), nil)
	redistest.Eventually(t, 60*time.Second, func() error {
		h := c.Health(t.Context())
		if h.Status != topology.Healthy || len(h.Cluster.Replicas) != 1 || h.Cluster.Replicas[0].LagSeconds == nil {
			return fmt.Errorf("got %+v; want one replica", h)
		}
		return nil
	})
	h := open(t, r.Env("REDIS"), nil).Health(t.Context())
	if h.Status != topology.Unhealthy || !slices.ContainsFunc(h.Reasons, func(s string) bool { return strings.Contains(s, "replica") }) {
		t.Errorf("got %+v; want it to say that it is a replica", h)
	}
}

func TestHealthOfCluster(t *testing.T) {
	t.Parallel()
	set := redistest.Cluster(t, redistest.Options{})
	c := open(t, set.Env("REDIS"), []topology.Option{topology.WithMetrics()})
	roundTrip(t, c)
	redistest.Eventually(t, 60*time.Second, func() error { // the watcher meets one node after the other
		h := status(t, c, topology.Healthy)
		if h.Cluster.Primary == nil || len(h.Cluster.Primaries) != 3 || len(h.Cluster.Replicas) != 3 || len(h.Cluster.Sentinels) != 0 {
			return fmt.Errorf("got %+v; want three primaries with a replica each", h.Cluster)
		}
		return nil
	})
	lagsKnown(t, c)
	if err := set.Nodes[5].Freeze(); err != nil {
		t.Fatal(err)
	}
	redistest.Eventually(t, 60*time.Second, func() error {
		h := c.Health(t.Context())
		if h.Status != topology.Degraded || !strings.Contains(strings.Join(h.Reasons, "\n"), set.Nodes[5].Addr()) {
			return fmt.Errorf("got %s %q; want it to name %s", h.Status, h.Reasons, set.Nodes[5].Addr())
		}
		return nil
	})
	if err := set.Nodes[5].Thaw(); err != nil {
		t.Fatal(err)
	}
}

func TestHandlersAnswerQuestionsAlone(t *testing.T) {
	w := httptest.NewRecorder()
	topology.LiveHandler().ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/", nil))
	if w.Code != http.StatusMethodNotAllowed {
		t.Errorf("got %d; want 405", w.Code)
	}
}
