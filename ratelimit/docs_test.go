package ratelimit

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
)

// TestDocsNameEveryMetric holds docs/ratelimit.md against the collector, both ways.
func TestDocsNameEveryMetric(t *testing.T) {
	text, err := os.ReadFile("../docs/ratelimit.md")
	must(t, err)
	var named, told []string
	for _, m := range regexp.MustCompile("(?m)^\\| `(ratelimit_[a-z_]+)` \\|").FindAllStringSubmatch(string(text), -1) {
		named = append(named, m[1])
	}
	ch := make(chan *prometheus.Desc, 32)
	(&Limiter{meter: newMeter()}).Metrics().Describe(ch)
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
