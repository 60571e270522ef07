package check

import (
	"bufio"
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

func newReader(text []byte) *bufio.Reader { return bufio.NewReader(bytes.NewReader(text)) }

// tool finds a program: by its variable, else in PATH. The variable's value "none"
// leaves its test out, and says so.
func tool(t *testing.T, name, variable, pkg string) string {
	t.Helper()
	path := os.Getenv(variable)
	if path == "none" {
		t.Skipf("NOT RUN: %s=none", variable)
	}
	if path == "" {
		path = name
	}
	found, err := exec.LookPath(path)
	if err != nil {
		t.Fatalf("%v: install the Debian package %s, or set %s to a %s, or to none to go on without", err, pkg, variable, name)
	}
	return found
}

func runs(t *testing.T, dir, name string, args ...string) {
	t.Helper()
	c := exec.CommandContext(t.Context(), name, args...)
	c.Dir = dir
	if out, err := c.CombinedOutput(); err != nil {
		t.Errorf("%s %v: %v\n%s", name, args, err, out)
	}
}

// TestPromtool has Prometheus check its rules and settings, and run the rules' cases.
func TestPromtool(t *testing.T) {
	promtool := tool(t, "promtool", "PROMTOOL", "prometheus")
	runs(t, "../prometheus", promtool, "check", "rules", "alerts.yaml")
	runs(t, "../prometheus", promtool, "check", "config", "prometheus.yaml")
	runs(t, "../prometheus", promtool, "test", "rules", "alerts_test.yaml", "alerts_days_test.yaml")
}

// TestKustomize has kubectl build what it would apply, where there is a kubectl.
func TestKustomize(t *testing.T) {
	kubectl, err := exec.LookPath("kubectl")
	if err != nil {
		t.Skip("NOT RUN: no kubectl on this machine")
	}
	out, err := exec.CommandContext(t.Context(), kubectl, "kustomize", manifests).Output()
	if got, want := strings.Count("\n"+string(out), "\nkind: "), len(objects(t)); err != nil || got != want || !strings.Contains(string(out), "namespace: redis") {
		t.Errorf("got %d objects, %v; want %d, in their namespace", got, err, want)
	}
}

func scripts(t *testing.T) []string {
	t.Helper()
	one, _ := filepath.Glob("../*.sh")
	two, _ := filepath.Glob("../*/*.sh")
	list := append(one, two...)
	if len(list) < 8 {
		t.Fatalf("got %q", list)
	}
	return list
}

// TestShellcheck has every script checked.
func TestShellcheck(t *testing.T) {
	runs(t, ".", tool(t, "shellcheck", "SHELLCHECK", "shellcheck"), append([]string{"-s", "sh"}, scripts(t)...)...)
}

// TestScripts holds that scripts can be run, and that none has a password on a command
// line, where everybody on the machine can read it.
func TestScripts(t *testing.T) {
	onLine := regexp.MustCompile(`(?m)^[^#\n]*(redis-cli[^\n]* -a |--requirepass|--auth-token "?\$|--pass )`)
	for _, path := range scripts(t) {
		st, err := os.Stat(path)
		if err != nil || st.Mode()&0o111 == 0 {
			t.Errorf("%s cannot be run: %v, %v", path, st.Mode(), err)
		}
		if found := onLine.FindString(string(read(t, path))); found != "" {
			t.Errorf("%s: a password on a command line: %s", path, found)
		}
	}
}

// TestRailway holds the service files to the keys that the service knows, with their
// types (numbers are no texts to it), and to files that are there.
func TestRailway(t *testing.T) {
	type service struct {
		Schema string `json:"$schema"`
		Build  struct {
			Builder        string   `json:"builder"`
			DockerfilePath string   `json:"dockerfilePath"`
			WatchPatterns  []string `json:"watchPatterns"`
		} `json:"build"`
		Deploy struct {
			NumReplicas       int    `json:"numReplicas"`
			RestartPolicyType string `json:"restartPolicyType"`
			SleepApplication  bool   `json:"sleepApplication"`
			OverlapSeconds    int    `json:"overlapSeconds"`
			DrainingSeconds   int    `json:"drainingSeconds"`
			RequiredMountPath string `json:"requiredMountPath"`
		} `json:"deploy"`
	}
	for _, name := range []string{"redis", "sentinel"} {
		var s service
		dec := json.NewDecoder(bytes.NewReader(read(t, "../railway/"+name+".json")))
		dec.DisallowUnknownFields()
		if err := dec.Decode(&s); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if s.Build.Builder != "DOCKERFILE" || s.Deploy.NumReplicas != 1 || s.Deploy.RestartPolicyType != "ALWAYS" || s.Deploy.RequiredMountPath != "/data" {
			t.Errorf("%s: got %+v", name, s)
		}
		for line := range strings.Lines(string(read(t, "../../"+s.Build.DockerfilePath))) {
			f := strings.Fields(line)
			if len(f) == 3 && f[0] == "COPY" {
				if _, err := os.Stat("../../" + f[1]); err != nil {
					t.Error(err)
				}
			}
		}
	}
	variables := string(read(t, "../railway/variables.env"))
	for _, user := range users {
		if !slices.Contains(strings.Split(variables, "\n"), "SECRET_"+strings.ToUpper(user)+"=") {
			t.Errorf("variables.env has no empty SECRET_%s", strings.ToUpper(user))
		}
	}
}
