package fences

import (
	"os/exec"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/transload/transload/"

// workloads are the packages that an app uses without a migration.
var workloads = []string{"ratelimit", "sessions", "queue", "pubsub", "cache"}

// commands are what only cmd/migrate may know.
var commands = []string{"github.com/urfave/cli/", module + "cmd/"}

// kits are what only tests may know.
var kits = []string{"testing", "go.uber.org/goleak", module + "internal/redistest", module + "internal/faultproxy"}

// list returns what go list prints, a line each.
func list(t *testing.T, args ...string) []string {
	t.Helper()
	cmd := exec.Command("go", append([]string{"list"}, args...)...)
	cmd.Dir = "../.."
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list %v: %v", args, err)
	}
	return strings.Fields(string(out))
}

// TestFences looks at everything that each shipped package brings along.
func TestFences(t *testing.T) {
	var all []string
	for _, pkg := range list(t, "./...") {
		if name := strings.TrimPrefix(pkg, module); !strings.HasPrefix(name, "internal/") {
			all = append(all, name)
		}
	}
	for _, name := range all {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			not := slices.Concat(kits, forbidden(name))
			for _, dep := range list(t, "-deps", "./"+name) {
				if i := slices.IndexFunc(not, func(f string) bool { return under(dep, f) }); i >= 0 && !under(dep, module+name) {
					t.Errorf("%s imports %s", name, dep)
				}
			}
		})
	}
}

// forbidden is what a package may not know besides the kits.
func forbidden(name string) (not []string) {
	top, _, _ := strings.Cut(name, "/")
	if top == "cmd" || top == "examples" {
		return nil
	}
	for _, w := range workloads {
		if w != top {
			not = append(not, module+w)
		}
	}
	not = append(not, commands...)
	if top != "migrate" {
		not = append(not, module+"migrate")
	}
	if name == "migrate" {
		not = append(not, module+"migrate/coordinator")
	}
	return not
}

// under reports whether a package is, or lies below, another.
func under(pkg, root string) bool {
	root = strings.TrimSuffix(root, "/")
	return pkg == root || strings.HasPrefix(pkg, root+"/")
}
