package mutants

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var (
	only   = flag.String("mutant", "", "run the mutants whose file begins so")
	update = flag.Bool("update", false, "write README.md anew")
)

// TestMutants builds the package of each mutant's test with it, and wants that
// test to fail.
func TestMutants(t *testing.T) {
	if testing.Short() && *only == "" {
		t.Skip("builds a test binary for each mutant")
	}
	all, err := load()
	if err != nil {
		t.Fatal(err)
	}
	sound := map[string]error{} // what each test says without a mutant
	for _, m := range all {
		if !wanted(m) {
			continue
		}
		t.Run(m.name, func(t *testing.T) {
			key := strings.Join(m.dies, " ")
			if _, ok := sound[key]; !ok && os.Getenv("LONG") != "" {
				_, sound[key] = run(t, mutant{dies: m.dies})
			}
			if err := sound[key]; err != nil {
				t.Fatalf("%s fails without a mutant: %v", key, err)
			}
			out, err := run(t, m)
			if err == nil {
				t.Fatalf("%s: %s lives: %s passes", m.title, m.why, key)
			}
			if !errors.Is(err, errDied) {
				t.Fatalf("%s: %v\n%s", m.title, err, out)
			}
			t.Logf("%s: %s", m.title, cause(out))
		})
	}
}

// wanted reports whether a mutant is run now.
func wanted(m mutant) bool {
	if *only != "" {
		return strings.HasPrefix(m.name, *only)
	}
	return m.short || os.Getenv("LONG") != ""
}

var errDied = errors.New("the test fails")

// run builds the test of a mutant and runs it. It returns what the test printed,
// and errDied if it was that test which failed.
func run(t *testing.T, m mutant) (string, error) {
	dir := t.TempDir()
	pkg, test, args := m.dies[0], m.dies[1], m.dies[2:]
	build := []string{"test", "-c", "-vet", "off", "-o", filepath.Join(dir, "mutant.test")}
	if len(m.edits) > 0 {
		list, err := m.overlay(dir)
		if err != nil {
			return "", err
		}
		build = append(build, "-overlay", list)
	}
	cmd := exec.CommandContext(t.Context(), "go", append(build, "./"+pkg)...)
	cmd.Dir = root
	if out, err := cmd.CombinedOutput(); err != nil {
		return string(out), fmt.Errorf("it does not build: %w", err)
	}
	args = append([]string{"-test.run", "^" + strings.ReplaceAll(test, "/", "$/^") + "$", "-test.timeout", "5m"}, args...)
	cmd = exec.CommandContext(t.Context(), filepath.Join(dir, "mutant.test"), args...)
	cmd.Dir = filepath.Join(root, pkg)
	out, err := cmd.CombinedOutput()
	switch top, _, _ := strings.Cut(test, "/"); {
	case err != nil && strings.Contains(string(out), "--- FAIL: "+top):
		return string(out), errDied
	case err != nil:
		return string(out), fmt.Errorf("%s does not run: %w", test, err)
	case strings.Contains(string(out), "no tests to run"):
		return string(out), fmt.Errorf("there is no test %s", test)
	}
	return string(out), nil
}

// said matches what a failed test says: the file and line, and then its words.
var said = regexp.MustCompile(`(?m)^\s+\w+_test\.go:\d+: (.*)$`)

// cause picks from a failed test's output the first thing that it says of what it
// got or wanted, or else the first: that may be a log.
func cause(out string) string {
	if i := strings.Index(out, "--- FAIL: "); i >= 0 {
		out = out[i:]
	}
	all := said.FindAllStringSubmatch(out, -1)
	for _, m := range all {
		if strings.Contains(m[1], "got ") || strings.Contains(m[1], "want ") {
			return m[1]
		}
	}
	if len(all) > 0 {
		return all[0][1]
	}
	return strings.TrimSpace(out)
}

// TestTable holds README.md against the files, and every old text against the code.
func TestTable(t *testing.T) {
	all, err := load()
	if err != nil {
		t.Fatal(err)
	}
	var rows strings.Builder
	for _, m := range all {
		if _, err := m.files(); err != nil {
			t.Errorf("%s: %v", m.name, err)
		}
		fmt.Fprintf(&rows, "| %s | %s | `%s` | `%s` |\n", m.title, m.why, m.name, strings.Join(m.dies[:2], "` `"))
	}
	const file, mark = "README.md", "|---|---|---|---|\n"
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	head, rest, _ := strings.Cut(string(b), mark)
	_, tail, _ := strings.Cut(rest, "\n\n")
	want := head + mark + rows.String() + "\n" + tail
	if *update {
		err = os.WriteFile(file, []byte(want), 0o600)
	} else if string(b) != want {
		err = errors.New("README.md is not the table of testdata; write it with go test ./internal/mutants -run Table -update")
	}
	if err != nil {
		t.Error(err)
	}
}
