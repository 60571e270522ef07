package command

import (
	"flag"
	"fmt"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write the lists of docs/commands.md")

const page = "../../docs/commands.md"

// TestDocsAgreeWithTheTable holds each list of the page against the table.
func TestDocsAgreeWithTheTable(t *testing.T) {
	src, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	got := string(src)
	want := got
	for name, text := range map[string]string{
		"split":    "Split into one call a side: " + names(func(c *Command) bool { return c.Split }) + ".\n",
		"blocking": names(func(c *Command) bool { return c.wait.unit != 0 && c.Class != Denied }) + "; those with `BLOCK` only if it is given.\n",
		"keyless":  keylessRows(),
		"denied":   deniedRows(),
	} {
		part := regexp.MustCompile(`(?s)<!-- ` + name + ` -->\n.*?<!-- end -->\n`)
		if n := len(part.FindAllString(want, -1)); n != 1 {
			t.Fatalf("%d lists of %q in %s; want 1", n, name, page)
		}
		want = part.ReplaceAllLiteralString(want, "<!-- "+name+" -->\n"+text+"<!-- end -->\n")
	}
	if *update {
		if err := os.WriteFile(page, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if got != want {
		t.Errorf("%s does not agree with the table: run this test with -update", page)
	}
}

func keylessRows() string {
	var b strings.Builder
	b.WriteString("| where it goes | which |\n|---|---|\n") // a comment may not stand inside a table
	for _, class := range []Class{AnySide, BothSides, AllKeys} {
		list := names(func(c *Command) bool { return c.Class == class && !strings.HasSuffix(c.Name, "|help") })
		fmt.Fprintf(&b, "| %v | %s |\n", class, list)
	}
	return b.String()
}

func deniedRows() string {
	var b strings.Builder
	b.WriteString("| why, and what instead | which |\n|---|---|\n")
	for _, reason := range slices.Sorted(maps.Keys(denied)) {
		list := names(func(c *Command) bool { return c.Reason == reason && reason != bare })
		if list != "" {
			fmt.Fprintf(&b, "| %s | %s |\n", reason, list)
		}
	}
	return b.String()
}

// names lists commands as users write them, subcommands in brackets after their
// container: `CLIENT` (`ID` `LIST`).
func names(keep func(*Command) bool) string {
	var out []string
	open := ""
	for c := range All() {
		if !keep(c) {
			continue
		}
		head, sub, isSub := strings.Cut(strings.ToUpper(c.Name), "|")
		switch last := len(out) - 1; {
		case !isSub:
			out, open = append(out, "`"+head+"`"), ""
		case head == open:
			out[last] = strings.TrimSuffix(out[last], ")") + " `" + sub + "`)"
		default:
			out, open = append(out, "`"+head+"` (`"+sub+"`)"), head
		}
	}
	return strings.Join(out, ", ")
}
