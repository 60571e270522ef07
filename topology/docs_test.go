package topology

import (
	"os"
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
