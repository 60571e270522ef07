package main

import (
	"encoding/json"
	"regexp"
	"strings"
	"testing"

	"github.com/transload/transload/internal/load"
	"github.com/transload/transload/migrate/coordinator"
)

var passed = regexp.MustCompile(`(?m)^demo: PASS acknowledged=[1-9]\d* lost=0 differing=0 hold_median_ms=\d+\.\d hold_max_ms=\d+\.\d$`)

// TestDemoEmbedded is what a newcomer sees, with less load: an embedded server is
// slow under the race detector, and compares all keys in each hold. Those with
// real servers are left to `make real`, since each takes half a minute; the
// journeys of internal/journey are the same moves.
func TestDemoEmbedded(t *testing.T) {
	t.Parallel() // most of it is waiting
	showDemo(t, "embedded", "--rate", "30")
}
func TestDemoCluster(t *testing.T) {
	long(t)
	t.Parallel()
	showDemo(t, "cluster", "--rate", "200", "--keys", "20000")
}
func TestDemoSentinel(t *testing.T) {
	long(t)
	t.Parallel()
	showDemo(t, "sentinel", "--rate", "200", "--keys", "20000")
}

func showDemo(t *testing.T, mode string, flags ...string) {
	if testing.Short() {
		t.Skip("takes half a minute")
	}
	r := command(t, nil, append([]string{"demo", "--mode", mode}, flags...)...)
	r.wantCode(t, codeDone)
	lines := strings.Split(strings.TrimSpace(r.out), "\n")
	if last := lines[len(lines)-1]; !passed.MatchString(last) {
		t.Errorf("got last line %q; want PASS", last)
	}
	for _, title := range []string{"migrate check", "migrate shadow", "cutover --to 10", "cutover --to 50", "cutover --to 100", "migrate rollback", "migrate verify", "migrate finish", "The verdict"} {
		if !strings.Contains(r.out, title) {
			t.Errorf("the story does not tell of %q:\n%s", title, r.out)
		}
	}
}

func TestConcerns(t *testing.T) {
	got := concerns([]coordinator.CheckLine{
		{Side: "source", Check: "fence", Verdict: coordinator.Warn, Figure: "none"},
		{Side: "source", Check: "role", Verdict: coordinator.OK, Figure: "fine"},
		{Side: "target", Check: "fence", Verdict: coordinator.Warn, Figure: "none"},
		{Side: "target", Check: "clients", Verdict: coordinator.Unknown, Figure: "hidden"},
		{Check: "census", Verdict: coordinator.Warn, Figure: "short"},
	})
	if want := "both sides: fence: none/target: clients: hidden/census: short"; strings.Join(got, "/") != want {
		t.Errorf("got %q; want %q", got, want)
	}
}

// TestDemoVerdict holds what fails a demonstration against its last line.
func TestDemoVerdict(t *testing.T) {
	good := func() demoResult {
		return demoResult{Mode: "embedded", Verdict: load.Verdict{Acknowledged: 9}, HoldsMS: []float64{3, 1, 2.25}}
	}
	r := good()
	r.judge()
	if want := "demo: PASS acknowledged=9 lost=0 differing=0 hold_median_ms=2.2 hold_max_ms=3.0"; r.line() != want {
		t.Errorf("got %q; want %q", r.line(), want)
	}
	if b, err := json.Marshal(r); err != nil || !strings.Contains(string(b), `"pass":true`) {
		t.Errorf("got %s, %v; want it to pass in JSON too", b, err)
	}
	for name, spoil := range map[string]func(*demoResult){
		"a lost write":             func(r *demoResult) { r.Verdict.Lost = 1 },
		"an invented one":          func(r *demoResult) { r.Verdict.Invented = 1 },
		"a doubled one":            func(r *demoResult) { r.Verdict.Doubled = 1 },
		"a stale read":             func(r *demoResult) { r.Verdict.Stale = 1 },
		"an expiry that is gone":   func(r *demoResult) { r.Verdict.Immortal = 1 },
		"an error shown":           func(r *demoResult) { r.Verdict.Errors = map[string]int64{"boom": 2} },
		"sides that differ":        func(r *demoResult) { r.Differing = 1 },
		"a key that is gone":       func(r *demoResult) { r.Stock.Lost = 1 },
		"no load":                  func(r *demoResult) { r.Verdict.Acknowledged = 0 },
		"a step that did not work": func(r *demoResult) { r.Trouble = "shadow ended" },
	} {
		r := good()
		spoil(&r)
		r.judge()
		if r.Pass || !strings.HasPrefix(r.line(), "demo: FAIL ") {
			t.Errorf("%s: got %q; want FAIL", name, r.line())
		}
	}
}
