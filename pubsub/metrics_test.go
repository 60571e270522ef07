package pubsub

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil/promlint"
	dto "github.com/prometheus/client_model/go"
)

func TestMetrics(t *testing.T) {
	t.Parallel()
	h, _ := mini(t)
	reg := prometheus.NewPedanticRegistry()
	reg.MustRegister(h.Metrics())
	w := serve(t, h)
	c := w.open()
	c.follow("pos:a", "")
	c.wants("subscribed", "snapshot")
	publish(t, h, "pos:a", "truck", 1)
	c.wants("truck=1")
	_, _ = h.Publish(t.Context(), "nothing fits", "k", 1)
	_, _, _ = w.dial("Origin", "https://evil.example")
	families, err := reg.Gather()
	must(t, err)
	problems, err := promlint.NewWithMetricFamilies(families).Lint()
	if err != nil || len(problems) > 0 {
		t.Errorf("got %v, %v; want none", problems, err)
	}
	for name, want := range map[string]float64{
		"published_total ok": 1, "published_total refused": 1, "heard_total taken": 1, "refused_total origin": 1,
		"sent_total hub": 1, "snapshots_total hub": 1, "clients hub": 1, "degraded hub": 0,
	} {
		metric, label, _ := strings.Cut(name, " ")
		if got := total(families, "transload_pubsub_"+metric, label); got != want {
			t.Errorf("%s: got %v; want %v", name, got, want)
		}
	}
}

// total sums what has a label of that value.
func total(families []*dto.MetricFamily, name, label string) (sum float64) {
	for _, f := range families {
		for _, metric := range f.GetMetric() {
			for _, l := range metric.GetLabel() {
				if f.GetName() == name && l.GetValue() == label {
					sum += metric.GetCounter().GetValue() + metric.GetGauge().GetValue()
				}
			}
		}
	}
	return sum
}

// TestDocsNameEveryMetric holds docs/pubsub.md against the collector, both ways.
func TestDocsNameEveryMetric(t *testing.T) {
	text, err := os.ReadFile("../docs/pubsub.md")
	must(t, err)
	var named, told []string
	for _, line := range regexp.MustCompile("(?m)^\\| `transload_pubsub_.*$").FindAllString(string(text), -1) {
		first, _, _ := strings.Cut(line[2:], " |")
		for _, m := range regexp.MustCompile("`(transload_pubsub_)?([a-z_]+)`").FindAllStringSubmatch(first, -1) {
			named = append(named, "transload_pubsub_"+strings.TrimPrefix(m[2], "_"))
		}
	}
	h, err := New(nowhere(t), policies(), Options{})
	must(t, err)
	ch := make(chan *prometheus.Desc, 64)
	h.Metrics().Describe(ch)
	close(ch)
	for d := range ch {
		_, rest, _ := strings.Cut(d.String(), `fqName: "`)
		name, _, _ := strings.Cut(rest, `"`)
		told = append(told, name)
	}
	slices.Sort(named)
	slices.Sort(told)
	if !slices.Equal(named, told) {
		t.Errorf("docs name %q; the collector tells %q", named, told)
	}
}

// TestDocsNameEveryCode holds the table of close codes against what sockets end with.
func TestDocsNameEveryCode(t *testing.T) {
	text, err := os.ReadFile("../docs/pubsub.md")
	must(t, err)
	for _, e := range endings {
		if e.code > 0 && !strings.Contains(string(text), "| "+itoa(e.code)+" |") {
			t.Errorf("docs do not name %d, %s", e.code, e.name)
		}
	}
}
