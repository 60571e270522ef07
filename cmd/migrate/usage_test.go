package main

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
)

// TestUsage asks for what cannot be understood: always code 64, a text that says
// what is wrong, and the next step.
func TestUsage(t *testing.T) {
	env := map[string]string{"REDIS_URL": "redis://127.0.0.1:1", "REDIS_TARGET_URL": "redis://127.0.0.1:2"}
	var all strings.Builder
	for _, args := range [][]string{
		{"frobnicate"},
		{"cut"},
		{"--frob", "status"},
		{"status", "--frob"},
		{"status", "now"},
		{"status", "--watch", "--every", "1ms"},
		{"verify", "--sample", "many"},
		{"verify", "--sample", "0"},
		{"cutover"},
		{"cutover", "--to", ""},
		{"cutover", "--to", "120"},
		{"cutover", "--to", "0"},
		{"cutover", "--to", "-5"},
		{"cutover", "--to", "ten"},
		{"cutover", "--to", "50,10"},
		{"cutover", "--to", "50,50"},
		{"cutover", "--to", "10", "--every", "-1s"},
		{"cutover", "--to", "10", "--hold", "soon"},
		{"cutover", "--to", "10", "--hold", "1h"},
		{"cutover", "--to", "10", "--execute", "--dry-run"},
		{"rollback", "--execute", "--dry-run"},
		{"shadow", "--target-keys", "burn"},
		{"shadow", "--rate", "-1"},
		{"status", "--name", "a b"},
		{"demo", "--mode", "cloud"},
		{"demo", "--keys", "1000"},
		{"demo", "--mode", "sentinel", "--keys", "-1"},
		{"drill"},
		{"drill", "--wait", "--planned"},
		{"drill", "--planned", "--mode", "cluster"},
		{"drill", "--local", "--mode", "cloud"},
		{"drill", "--wait", "--promote", "127.0.0.1:1"},
		{"drill", "--local", "--target"},
		{"drill", "--local", "--budget", "0s"},
		{"drill", "--local", "--rate", "0"},
		{"completion"},
		{"completion", "tcsh"},
		{"help", "frobnicate"},
	} {
		r := command(t, env, args...)
		if r.code != codeUsage || r.out != "" {
			t.Errorf("%q: got code %d, stdout %q; want %d and nothing", args, r.code, r.out, codeUsage)
		}
		r.wantError(t, "migrate: ")
		fmt.Fprintf(&all, "$ migrate %s\n%s", strings.Join(args, " "), r.err)

		asJSON := command(t, env, append(args, "--json")...)
		var o outcome
		if err := json.Unmarshal([]byte(asJSON.err), &o); err != nil || o.Code != codeUsage || o.Next == "" || asJSON.out != "" {
			t.Errorf("%q --json: got stdout %q, stderr %q, %v; want one object with code and next", args, asJSON.out, asJSON.err, err)
		}
	}
	golden(t, "usage", all.String())
}

func TestNoVerb(t *testing.T) {
	r := command(t, nil)
	r.wantCode(t, codeUsage)
	r.wantError(t, "no verb was given")
	if !strings.Contains(r.err, "COMMANDS:") || r.out != "" {
		t.Errorf("got stdout %q, stderr %q; want the help on stderr", r.out, r.err)
	}
}

// TestSettings gives each kind of bad setting to a verb that would go to the
// servers: all faults at once, by name, without a value.
func TestSettings(t *testing.T) {
	const secret = "hunter2"
	good := map[string]string{"REDIS_URL": "redis://127.0.0.1:1", "REDIS_TARGET_URL": "redis://127.0.0.1:2"}
	var all strings.Builder
	for _, tt := range []struct {
		what  string
		env   map[string]string
		wants []string
	}{
		{"nothing set", map[string]string{}, []string{"REDIS_URL", "REDIS_TARGET_URL"}},
		{"no target", map[string]string{"REDIS_URL": good["REDIS_URL"]}, []string{"REDIS_TARGET_URL"}},
		{"disabled", map[string]string{"REDIS_URL": good["REDIS_URL"], "REDIS_TARGET_URL": good["REDIS_TARGET_URL"], "REDIS_ENABLED": "false"}, []string{"REDIS_URL"}},
		{"both sides bad", map[string]string{"REDIS_HOST": "a", "REDIS_PORT": secret, "REDIS_TARGET_URL": "http://" + secret}, []string{"REDIS_PORT", "REDIS_TARGET_URL"}},
		{"many faults of one side", map[string]string{
			"REDIS_URL": good["REDIS_URL"], "REDIS_TARGET_CLUSTER_NODES": "a:b:c", "REDIS_TARGET_DB": "3",
			"REDIS_TARGET_POOL_SIZE": secret, "REDIS_TARGET_READ_TIMEOUT": "-1s", "REDIS_TARGET_TLS": "perhaps",
		}, []string{"_CLUSTER_NODES", "_DB", "_POOL_SIZE", "_READ_TIMEOUT", "_TLS"}},
		{"a file that is not there", map[string]string{"REDIS_URL": good["REDIS_URL"], "REDIS_TARGET_URL": good["REDIS_TARGET_URL"], "REDIS_PASSWORD_FILE": "/nowhere/" + secret}, []string{"REDIS_PASSWORD_FILE"}},
		{"a user without a password", map[string]string{"REDIS_URL": good["REDIS_URL"], "REDIS_TARGET_URL": good["REDIS_TARGET_URL"], "REDIS_TARGET_USERNAME": secret}, []string{"REDIS_TARGET_USERNAME"}},
	} {
		for _, verb := range [][]string{{"check"}, {"backup"}, {"shadow"}, {"status"}, {"verify"}, {"cutover", "--to", "10"}, {"rollback"}, {"finish", "--yes"}, {"forget", "--yes"}} {
			r := command(t, tt.env, verb...)
			if r.code != codeUsage || r.out != "" {
				t.Errorf("%s, %q: got code %d, stdout %q; want %d and nothing", tt.what, verb, r.code, r.out, codeUsage)
			}
			for _, name := range tt.wants {
				r.wantError(t, name)
			}
			if strings.Contains(r.err, secret) {
				t.Errorf("%s: a value is shown:\n%s", tt.what, r.err)
			}
			if verb[0] == "check" {
				fmt.Fprintf(&all, "-- %s --\n%s", tt.what, r.err)
			}
		}
	}
	golden(t, "settings", all.String())
}

func TestSteps(t *testing.T) {
	for text, want := range map[string]string{"10": "[10]", "10,50,100": "[10 50 100]", " 10 , 50% ": "[10 50]"} {
		if got, err := steps(text); err != nil || fmt.Sprint(got) != want {
			t.Errorf("%q: got %v, %v; want %s", text, got, err, want)
		}
	}
}
