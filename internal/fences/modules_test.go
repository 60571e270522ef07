package fences

import (
	"cmp"
	"fmt"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// nested are the modules inside this one: what they need nobody else should see, and what
// they try takes programs that few machines have. So nobody notices when a new dependency
// of ours is not in their go.mod, and they build no more.
var nested = []string{"deploy/check", "internal/browser"}

// TestNestedModules holds that those know all that the packages which they import bring
// along.
func TestNestedModules(t *testing.T) {
	for _, dir := range nested {
		t.Run(dir, func(t *testing.T) {
			t.Parallel()
			has := required(t, dir+"/go.mod")
			format := `{{with .Module}}{{if not .Main}}{{.Path}}@{{.Version}}{{end}}{{end}}`
			lines := list(t, append([]string{"-deps", "-f", format}, ours(t, dir)...)...)
			if len(lines) == 0 {
				t.Fatal("it brings nothing along: is nothing of ours imported?")
			}
			slices.Sort(lines)
			for _, line := range slices.Compact(lines) {
				path, version, _ := strings.Cut(line, "@")
				if got := has[path]; got == "" || older(got, version) {
					t.Errorf("%s has %s %q; want %s or later: go mod tidy there", dir, path, got, version)
				}
			}
		})
	}
}

// required returns the versions in a go.mod.
func required(t *testing.T, path string) map[string]string {
	t.Helper()
	text, err := os.ReadFile("../../" + path)
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]string{}
	for _, m := range regexp.MustCompile(`(?m)^(?:require)?\s+(\S+) (v\S+)`).FindAllStringSubmatch(string(text), -1) {
		all[m[1]] = m[2]
	}
	return all
}

// ours returns the packages of this module that another one imports.
func ours(t *testing.T, dir string) (paths []string) {
	t.Helper()
	err := filepath.WalkDir("../../"+dir, func(path string, _ os.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(path, ".go") {
			return err
		}
		f, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.ImportsOnly)
		if err != nil {
			return err
		}
		for _, i := range f.Imports {
			if p, _ := strconv.Unquote(i.Path.Value); under(p, module) && !under(p, module+dir) {
				paths = append(paths, p)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(paths)
	return slices.Compact(paths)
}

// older compares the three numbers of versions, which is enough to see that one was
// forgotten.
func older(a, b string) bool {
	var v [2][3]int
	for i, text := range []string{a, b} {
		_, _ = fmt.Sscanf(text, "v%d.%d.%d", &v[i][0], &v[i][1], &v[i][2]) // as go.mod has them
	}
	return slices.CompareFunc(v[0][:], v[1][:], cmp.Compare[int]) < 0
}
