package coordinator

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write the generated part of docs/check.md")

// TestDocs holds docs/check.md to the commands that check tries, and to the lines
// that the code has.
func TestDocs(t *testing.T) {
	const page, begin, end = "../../docs/check.md", "<!-- needs -->\n", "<!-- end -->"
	b, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	head, rest, ok := strings.Cut(string(b), begin)
	got, tail, ok2 := strings.Cut(rest, end)
	if !ok || !ok2 {
		t.Fatalf("%s has no %q", page, begin)
	}
	if want := needsTable(); got != want {
		if !*update {
			t.Errorf("%s is not up to date; run go test -run TestDocs -update", page)
		} else if err := os.WriteFile(page, []byte(head+begin+want+end+tail), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

func needsTable() string {
	var b strings.Builder
	b.WriteString("| for | commands | without them |\n|---|---|---|\n")
	for _, n := range needs {
		name := n.name
		if n.only != "" {
			name += fmt.Sprintf(" (mode %s)", n.only)
		}
		commands := strings.ToUpper(strings.ReplaceAll(strings.ReplaceAll(n.commands, " ", "` `"), "|", " "))
		fmt.Fprintf(&b, "| %s | `%s` | **%s**: %s |\n", name, commands, n.verdict, n.lost)
	}
	return b.String()
}
