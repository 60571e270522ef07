package deploy

import (
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

func page(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// TestSpecPage holds that docs/spec.md leaves no line of the plan out, and that each
// file that it names is there.
func TestSpecPage(t *testing.T) {
	text := page(t, "../docs/spec.md")
	for heading, last := range map[string]int{"## A:": 656, "## M:": 1184} {
		_, part, ok := strings.Cut(text, heading)
		if !ok {
			t.Fatalf("no %q", heading)
		}
		part, _, _ = strings.Cut(part, "\n## ")
		told := make([]bool, last+1)
		for _, m := range regexp.MustCompile(`(?m)^\| (\d+)(?:–(\d+))? \|.*\| (done|mended|not yet|no) \|`).FindAllStringSubmatch(part, -1) {
			from, _ := strconv.Atoi(m[1])
			to := from
			if m[2] != "" {
				to, _ = strconv.Atoi(m[2])
			}
			for i := from; i <= min(to, last); i++ {
				told[i] = true
			}
		}
		for i := 1; i <= last; i++ {
			if !told[i] {
				t.Errorf("%s line %d is left out", heading, i)
			}
		}
	}
	for _, m := range regexp.MustCompile("`((?:deploy|internal)/[a-z/.-]*[a-z])`").FindAllStringSubmatch(text, -1) {
		if _, err := os.Stat("../" + m[1]); err != nil {
			t.Error(err)
		}
	}
}

// TestLinks holds every link between the pages, to files and to their headings.
func TestLinks(t *testing.T) {
	pages, _ := filepath.Glob("../docs/*.md")
	for _, path := range append(pages, "../README.md") {
		for _, m := range regexp.MustCompile(`\]\(([^)\s]+)\)`).FindAllStringSubmatch(page(t, path), -1) {
			if strings.Contains(m[1], "://") {
				continue
			}
			file, anchor, _ := strings.Cut(m[1], "#")
			target := filepath.Join(filepath.Dir(path), file)
			if file == "" {
				target = path
			}
			st, err := os.Stat(target)
			if err != nil {
				t.Errorf("%s: %v", path, err)
				continue
			}
			if anchor != "" && !st.IsDir() && !anchors(page(t, target))[anchor] {
				t.Errorf("%s: %s has no heading #%s", path, target, anchor)
			}
		}
	}
}

// anchors returns the names by which a page's headings are reached.
func anchors(text string) map[string]bool {
	names := map[string]bool{}
	for _, m := range regexp.MustCompile(`(?m)^#+ (.*)$`).FindAllStringSubmatch(text, -1) {
		name := regexp.MustCompile(`[^\p{L}\p{N} _-]`).ReplaceAllString(strings.ToLower(m[1]), "")
		names[strings.ReplaceAll(name, " ", "-")] = true
	}
	return names
}

// TestFaultsPage holds that each test which docs/faults.md names is there.
func TestFaultsPage(t *testing.T) {
	var all strings.Builder
	for _, pattern := range []string{"*_test.go", "check/*_test.go"} {
		files, _ := filepath.Glob(pattern)
		for _, f := range files {
			all.WriteString(page(t, f))
		}
	}
	for _, m := range regexp.MustCompile("`(Test[A-Za-z]+)`").FindAllStringSubmatch(page(t, "../docs/faults.md"), -1) {
		if !strings.Contains(all.String(), "func "+m[1]+"(") {
			t.Errorf("docs/faults.md names %s, which is not here", m[1])
		}
	}
}

// boxes are those that the plan has to be ticked: 004's checklist and the success
// criteria of 000's phases.
var boxes = []string{
	"Backup Redis data (BGSAVE)", "Document current REDIS_URL", "Notify team of maintenance window", "Prepare rollback procedure",
	"Create HA Redis cluster/sentinel", "Configure security groups/firewall", "Test connectivity from application",
	"Update environment variables", "Deploy application with new config", "Verify all Redis-dependent features",
	"Run failover test", "Verify rate limiting works", "Verify sessions work", "Verify job queues work", "Verify WebSocket adapter works", "Monitor for 24 hours",
	"All 6 services healthy", "Replication working (lag < 1 s)", "Failover completes < 5 s", "Read/write routing functional", "Zero data loss during failover",
	"No performance regression", "Sentinel cluster stable for 7 days", "Failover tested successfully", "Team trained on monitoring", "Runbook validated",
	"Zero downtime cutover", "Cache hit rate > 95 %", "p99 latency < 5 ms", "No errors in logs", "Monitoring alerts configured",
}

// TestRunbookBoxes holds that docs/runbook.md leaves none of them out.
func TestRunbookBoxes(t *testing.T) {
	text := page(t, "../docs/runbook.md")
	for _, box := range boxes {
		if !strings.Contains(text, "**"+box+"**") {
			t.Errorf("docs/runbook.md has no box %q", box)
		}
	}
}
