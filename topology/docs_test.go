package topology

import (
	"encoding/json"
	"log/slog"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// TestDocsNameEveryVariable holds docs/config.md against what FromEnv reads.
func TestDocsNameEveryVariable(t *testing.T) {
	text, err := os.ReadFile("../docs/config.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, suffix := range variables {
		if !strings.Contains(string(text), "`"+suffix+"`") {
			t.Errorf("docs/config.md does not name %s", suffix)
		}
	}
}

// TestDocsNameEveryMetric holds docs/metrics.md against the collector's metrics,
// both ways, and their labels.
func TestDocsNameEveryMetric(t *testing.T) {
	text, err := os.ReadFile("../docs/metrics.md")
	if err != nil {
		t.Fatal(err)
	}
	rows := map[string]string{}
	for _, m := range regexp.MustCompile("(?m)^\\| `([a-z_]+)` \\| (?:gauge|counter|histogram|summary) \\|([^|]*)\\|").FindAllStringSubmatch(string(text), -1) {
		rows[m[1]] = strings.TrimSpace(m[2])
	}
	for _, f := range append(slices.Clone(families), failoverDuration, operationLatency) {
		want := ""
		if len(f.labels) > 0 {
			want = "`" + strings.Join(f.labels, "`, `") + "`"
		}
		if got, ok := rows[f.name]; !ok || got != want {
			t.Errorf("%s: got labels %q, %v; want %q", f.name, got, ok, want)
		}
		delete(rows, f.name)
	}
	if len(rows) > 0 {
		t.Errorf("docs/metrics.md names %v, which are not told", rows)
	}
}

// TestDocsNameEveryEvent holds docs/events.md against the kinds and their levels.
func TestDocsNameEveryEvent(t *testing.T) {
	text, err := os.ReadFile("../docs/events.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, kind := range []EventKind{
		Connected, Reconnecting, Ready, Failed, ReplicaDown, ReplicaUp, FailoverStarted, PrimarySwitched, FailoverEnded, NodeFailed,
	} {
		level := map[slog.Level]string{slog.LevelInfo: "Info", slog.LevelWarn: "Warn"}[Event{Kind: kind}.level()]
		if row := "| `" + string(kind) + "` | " + level + " |"; !strings.Contains(string(text), row) {
			t.Errorf("docs/events.md has no row %q", row)
		}
	}
}

// TestDocsShowHealth holds the JSON of docs/health.md against Health.
func TestDocsShowHealth(t *testing.T) {
	text, err := os.ReadFile("../docs/health.md")
	if err != nil {
		t.Fatal(err)
	}
	_, example, ok := strings.Cut(string(text), "```json\n")
	example, _, _ = strings.Cut(example, "```")
	dec := json.NewDecoder(strings.NewReader(example))
	dec.DisallowUnknownFields()
	var h Health
	if err := dec.Decode(&h); !ok || err != nil || h.Cluster.Primary == nil || h.Performance == nil || h.Status != Healthy {
		t.Errorf("got %+v, %v; want the example", h, err)
	}
}
