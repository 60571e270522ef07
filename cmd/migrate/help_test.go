package main

import (
	"fmt"
	"strings"
	"testing"
)

// TestHelp holds every verb's help against a golden file: what operators read is
// changed on purpose only.
func TestHelp(t *testing.T) {
	r := command(t, nil, "--help")
	r.wantCode(t, codeDone)
	var all strings.Builder
	all.WriteString(r.out)
	for _, verb := range []string{"check", "backup", "shadow", "status", "verify", "cutover", "rollback", "finish", "forget", "drill", "demo", "completion"} {
		r := command(t, nil, verb, "--help")
		r.wantCode(t, codeDone)
		if again := command(t, nil, "help", verb); again.out != r.out {
			t.Errorf("help %s: got\n%s\nwant what --help prints:\n%s", verb, again.out, r.out)
		}
		fmt.Fprintf(&all, "\n-- migrate %s --help --\n%s", verb, r.out)
	}
	golden(t, "help", all.String())
	if strings.Contains(all.String(), memberVerb) {
		t.Errorf("the help shows the hidden verb %s", memberVerb)
	}
}

func TestCompletion(t *testing.T) {
	for _, shell := range []string{"bash", "zsh", "fish"} {
		r := command(t, nil, "completion", shell)
		r.wantCode(t, codeDone)
		if !strings.Contains(r.out, "migrate") {
			t.Errorf("%s: got %q; want a script", shell, r.out)
		}
	}
}
