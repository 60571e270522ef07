package ratelimit

import (
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
)

func TestMetrics(t *testing.T) {
	bubble(t, func(t *testing.T, k *kit) {
		l := k.limiter([]Policy{{Name: "a", Limit: 2, Per: time.Minute}, {Name: "b", Limit: 10, Per: time.Minute}})
		k.fleet(l)
		for range 4 {
			k.take(l, "somebody")
		}
		k.mode.Store(down)
		for range 10 {
			k.take(l, "somebody else")
		}
		got := gather(t, l.Metrics())
		for name, want := range map[string]float64{
			"ratelimit_decisions_total a redis allowed":  2,
			"ratelimit_decisions_total a redis denied":   1,
			"ratelimit_decisions_total a memory denied":  1,
			"ratelimit_decisions_total b redis allowed":  3,
			"ratelimit_decisions_total a outage allowed": 1,
			"ratelimit_decisions_total a outage denied":  9,
			"ratelimit_redis_failures_total other":       10,
			"ratelimit_breaker_open":                     1.0 / circuits,
			"ratelimit_remembered_subjects":              2,
			"ratelimit_instances":                        1,
		} {
			if v, ok := got[name]; !ok || v != want {
				t.Errorf("%s: got %v; want %v", name, v, want)
			}
		}
		for name := range got {
			if strings.Contains(name, "somebody") {
				t.Errorf("%s has a subject in it", name)
			}
		}
	})
}

// gather returns the values of counters and gauges under their names and labels.
func gather(t *testing.T, c prometheus.Collector) map[string]float64 {
	t.Helper()
	reg := prometheus.NewPedanticRegistry()
	reg.MustRegister(c)
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	values := map[string]float64{}
	for _, f := range families {
		for _, m := range f.Metric {
			name := f.GetName()
			for _, l := range []string{"policy", "source", "outcome", "reason"} {
				name += label(m, l)
			}
			values[name] = m.GetCounter().GetValue() + m.GetGauge().GetValue()
		}
	}
	return values
}

func label(m *dto.Metric, name string) string {
	for _, l := range m.Label {
		if l.GetName() == name {
			return " " + l.GetValue()
		}
	}
	return ""
}
