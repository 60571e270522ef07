package sessions

import (
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil/promlint"
	dto "github.com/prometheus/client_model/go"
)

func TestMetrics(t *testing.T) {
	m, s := mini(t)
	reg := prometheus.NewPedanticRegistry()
	reg.MustRegister(m.Metrics())
	b := newBrowser(t)
	session := b.login(m, "alice", cart{})
	b.is(m, Live, "alice")
	if err := m.Save(t.Context(), session, cart{}); err != nil {
		t.Fatal(err)
	}
	newBrowser(t).is(m, Anonymous, "")
	s.Close()
	b.is(m, Degraded, "alice")
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	problems, err := promlint.NewWithMetricFamilies(families).Lint()
	if err != nil || len(problems) > 0 {
		t.Errorf("got %v, %v; want none", problems, err)
	}
	for label, want := range map[string]float64{"redis": 1, "memory": 1, "anonymous": 1, "envelope": 0, "fallback": 0, "unavailable": 0} {
		if got := total(families, "transload_sessions_found_total", label); got != want {
			t.Errorf("from %s: got %v; want %v", label, got, want)
		}
	}
	if got := total(families, "transload_sessions_operations_total", "save"); got != 1 {
		t.Errorf("saves: got %v; want 1", got)
	}
}

// total sums a counter over the metrics that have a label of that value.
func total(families []*dto.MetricFamily, name, label string) (sum float64) {
	for _, f := range families {
		for _, metric := range f.GetMetric() {
			for _, l := range metric.GetLabel() {
				if f.GetName() == name && l.GetValue() == label {
					sum += metric.GetCounter().GetValue()
				}
			}
		}
	}
	return sum
}
