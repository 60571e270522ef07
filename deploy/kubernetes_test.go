package deploy

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write kubernetes/config.yaml")

// TestConfigMaps holds kubernetes/config.yaml to the files that Compose and the tests
// use: there is one set of settings and scripts. go test ./deploy -run ConfigMaps
// -update writes it.
func TestConfigMaps(t *testing.T) {
	var b strings.Builder
	b.WriteString("# Written from ../redis and ../sentinel by: go test ./deploy -run ConfigMaps -update\n")
	for _, m := range []struct {
		name  string
		files []string
	}{
		{"redis-config", []string{"redis/redis.conf", "redis/users.acl", "redis/start.sh", "redis/health.sh"}},
		{"sentinel-config", []string{"sentinel/sentinel.conf", "sentinel/users.acl", "sentinel/start.sh", "sentinel/health.sh", "sentinel/notify.sh"}},
	} {
		fmt.Fprintf(&b, "---\napiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: %s\ndata:\n", m.name)
		for _, path := range m.files {
			text, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			fmt.Fprintf(&b, "  %s: |\n", filepath.Base(path))
			for line := range strings.Lines(string(text)) {
				if line = strings.TrimRight(line, "\n"); line != "" {
					line = "    " + line
				}
				b.WriteString(line + "\n")
			}
		}
	}
	const path = "kubernetes/config.yaml"
	if *update {
		if err := os.WriteFile(path, []byte(b.String()), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(path)
	if err != nil || string(got) != b.String() {
		t.Errorf("%s is not what the files say (%v): go test ./deploy -run ConfigMaps -update", path, err)
	}
}
