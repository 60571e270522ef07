package migrate

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/transload/transload/internal/redistest"
)

// TestMetrics gathers what a member in shadow tells, with the registry's own
// checks of names, labels and doubles.
func TestMetrics(t *testing.T) {
	r, _, target := twoServers(t)
	r.begin()
	m := r.shadowed()
	if err := m.set(t.Context(), "sess:1", "a"); err != nil {
		t.Fatal(err)
	}
	holds(t, target, "sess:1", "a")
	m.reads(t, "get", "sess:1")
	registry := prometheus.NewPedanticRegistry()
	registry.MustRegister((&Client{m: m}).Collector())
	var got map[string]float64
	redistest.Eventually(t, 10*time.Second, func() error {
		families, err := registry.Gather()
		if err != nil {
			t.Fatal(err)
		}
		got = map[string]float64{}
		for _, f := range families {
			for _, x := range f.GetMetric() {
				name := strings.TrimPrefix(f.GetName(), "transload_")
				for _, l := range x.GetLabel() {
					name += " " + l.GetValue()
				}
				got[name] = x.GetGauge().GetValue() + x.GetCounter().GetValue() + float64(x.GetSummary().GetSampleCount())
			}
		}
		if got["shadow_reads_total compared sessions"] < 1 || got["reachable target"] != 1 {
			return fmt.Errorf("got %v", got)
		}
		return nil
	})
	for name, want := range map[string]float64{
		"phase shadow": 1, "phase off": 0, "percent sessions": 0, "mirror_keys_total written": 1, "mirror_keys_total failed": 0,
		"dirty_keys": 0, "hold_seconds": 0, "shadow_reads_total different sessions": 0, "hit_ratio target sessions": 1,
		"read_seconds source sessions": 1, "read_seconds target sessions": 1, "orphans": 0,
	} {
		if v, ok := got[name]; !ok || v != want {
			t.Errorf("%s: got %v; want %v", name, v, want)
		}
	}
	if v := got["lease_seconds source"]; v < 10 || v > 15 {
		t.Errorf("got a lease of %vs", v)
	}
}

func TestMetricsWithoutATarget(t *testing.T) {
	registry := prometheus.NewPedanticRegistry()
	registry.MustRegister((&Client{}).Collector())
	if f, err := registry.Gather(); err != nil || len(f) != 0 {
		t.Errorf("got %v, %v; want nothing", f, err)
	}
}
