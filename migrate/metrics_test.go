package migrate

import (
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/transload/transload/internal/protocol"
	"github.com/transload/transload/topology/embedded"
)

// TestMetrics gathers through a real registry, which refuses what Describe did
// not announce and what is told twice.
func TestMetrics(t *testing.T) {
	var o Options
	source, err := embedded.Start(nil)
	if err != nil {
		t.Fatal(err)
	}
	defer source.Close()
	target, err := embedded.Start(nil)
	if err != nil {
		t.Fatal(err)
	}
	defer target.Close()
	o.Source, o.Target = source.Config(), target.Config()
	c, err := Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := c.Ready(t.Context()); err != nil {
		t.Fatal(err)
	}
	c.m.shadow.latency.by[protocol.Source][0].record(3 * time.Millisecond)
	reg := prometheus.NewPedanticRegistry()
	if err := reg.Register(c.Metrics()); err != nil {
		t.Fatal(err)
	}
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]int{}
	for _, f := range families {
		got[f.GetName()] = len(f.GetMetric())
	}
	for name, want := range map[string]int{
		"transload_phase": 1, "transload_target_ratio": 6, "transload_lease_seconds": 2,
		"transload_dirty_keys": 1, "transload_mirror_lag_seconds": 1, "transload_read_latency_seconds": 1,
	} {
		if got[name] != want {
			t.Errorf("%s: got %d metrics; want %d", name, got[name], want)
		}
	}
}
