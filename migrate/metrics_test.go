package migrate

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/transload/transload/internal/control"
	"github.com/transload/transload/internal/protocol"
	"github.com/transload/transload/internal/redistest"
	"github.com/transload/transload/topology/embedded"
)

// TestMetrics gathers through a real registry, which refuses what Describe did
// not announce and what is told twice.
func TestMetrics(t *testing.T) {
	t.Parallel()
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
	c.m.shadow.latency.by[protocol.Source][0].Record(3 * time.Millisecond)
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

// TestMetricsOfReads: what was read on both sides is told of both.
func TestMetricsOfReads(t *testing.T) {
	r, _, target := twoServers(t)
	r.begin()
	m := r.shadowed()
	if err := m.set(t.Context(), "sess:1", "a"); err != nil {
		t.Fatal(err)
	}
	holds(t, target, "sess:1", "a")
	m.reads(t, "get", "sess:1")
	reg := prometheus.NewPedanticRegistry()
	reg.MustRegister((&Client{m: m}).Metrics())
	redistest.Eventually(t, 10*time.Second, func() error {
		families, err := reg.Gather()
		if err != nil {
			t.Fatal(err)
		}
		got := map[string]float64{}
		for _, f := range families {
			for _, x := range f.GetMetric() {
				name := strings.TrimPrefix(f.GetName(), "transload_")
				for _, l := range x.GetLabel() {
					name += " " + l.GetValue()
				}
				got[name] = x.GetGauge().GetValue() + x.GetCounter().GetValue() + float64(x.GetSummary().GetSampleCount())
			}
		}
		for name, want := range map[string]float64{
			"phase shadow": 1, "mirror_written_total": 1, "reachable target": 1, "hit_ratio target sessions": 1,
			"read_latency_seconds source sessions": 1, "read_latency_seconds target sessions": 1,
			"shadow_reads_total sessions": 1, "shadow_differences_total sessions": 0,
		} {
			if v, ok := got[name]; !ok || v != want {
				return fmt.Errorf("%s: got %v; want %v", name, v, want)
			}
		}
		return nil
	})
}

func TestMetricsWithoutATarget(t *testing.T) {
	reg := prometheus.NewPedanticRegistry()
	reg.MustRegister((&Client{}).Metrics())
	if f, err := reg.Gather(); err != nil || len(f) != 0 {
		t.Errorf("got %v, %v; want nothing", f, err)
	}
}

// TestSilence: a member hears whether a coordinator lives, and that one whose lock is
// left over does not.
func TestSilence(t *testing.T) {
	t.Parallel()
	r, _, _ := twoServers(t)
	r.begin()
	store := r.store[protocol.Source]
	if _, _, err := store.TakeLock(t.Context(), "c1", control.Holder{}, "a test"); err != nil {
		t.Fatal(err)
	}
	m := r.member(r.options())
	redistest.Eventually(t, 10*time.Second, func() error {
		if d := m.silence(); d < 1500*time.Millisecond {
			return fmt.Errorf("silent for %v; want what has passed since the member began", d)
		}
		return nil
	})
	redistest.Eventually(t, 10*time.Second, func() error {
		if _, _, err := store.RenewLock(t.Context(), "c1"); err != nil {
			t.Fatal(err)
		}
		if d := m.silence(); d > time.Second {
			return fmt.Errorf("silent for %v; want a coordinator that was heard", d)
		}
		return nil
	})
}
