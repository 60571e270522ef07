package deploy

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
)

// with runs a script with further variables, and returns what it wrote and whether it
// ended well.
func with(t *testing.T, env []string, args ...string) (string, error) {
	t.Helper()
	c := exec.CommandContext(t.Context(), "/bin/sh", args...)
	c.Env = append(os.Environ(), env...)
	out, err := c.CombinedOutput()
	return string(out), err
}

func TestSecrets(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "secrets")
	seen := map[string]bool{}
	for range 2 { // the second time changes nothing
		if out, err := with(t, nil, "secrets.sh", dir); err != nil {
			t.Fatal(err, out)
		}
		files, _ := filepath.Glob(dir + "/*")
		for _, f := range files {
			text, err := os.ReadFile(f)
			if err != nil || len(text) != 64 || strings.Trim(string(text), "0123456789abcdef") != "" {
				t.Errorf("%s: got %q, %v; want 64 hexadecimal digits", f, text, err)
			}
			seen[string(text)] = true
		}
	}
	if len(seen) != 6 {
		t.Errorf("got %d passwords; want 6, each another", len(seen))
	}
	if st, err := os.Stat(dir); err != nil || st.Mode().Perm() != 0o700 {
		t.Errorf("got %v, %v; want a directory that nobody else can read", st.Mode(), err)
	}
}

// notices is an address to which sentinels tell their news.
type notices struct {
	*httptest.Server
	mu     sync.Mutex
	bodies []string
}

func newNotices(t *testing.T) *notices {
	n := &notices{}
	n.Server = httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		n.mu.Lock()
		defer n.mu.Unlock()
		n.bodies = append(n.bodies, string(body))
	}))
	t.Cleanup(n.Close)
	return n
}

// holds returns nil once one of the notices has a text.
func (n *notices) holds(text string) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, b := range n.bodies {
		if strings.Contains(b, text) {
			return nil
		}
	}
	return fmt.Errorf("nobody was told of %q: got %q", text, n.bodies)
}

// TestNotify: people are told of what they should know, and of nothing else, and an
// address that does not answer is no reason for the sentinel to try again.
func TestNotify(t *testing.T) {
	srv := newNotices(t)
	for _, args := range [][]string{
		{"+switch-master", `freight-master redis-0 6379 redis-1 6379`},
		{"+slave", "slave redis-1:6379 redis-1 6379 @ freight-master redis-0 6379"},
		{"+odown", `master freight-master "$(reboot)" #quorum 2/2`},
	} {
		if out, err := with(t, []string{"NOTIFY_URL=" + srv.URL, "HOST=sentinel-0"}, append([]string{"sentinel/notify.sh"}, args...)...); err != nil {
			t.Errorf("%q: %v\n%s", args, err, out)
		}
	}
	want := []string{
		`{"text":"redis sentinel-0: +switch-master freight-master redis-0 6379 redis-1 6379"}`,
		`{"text":"redis sentinel-0: +odown master freight-master reboot #quorum 2/2"}`,
	}
	if !slices.Equal(srv.bodies, want) {
		t.Errorf("got %q; want %q", srv.bodies, want)
	}
	out, err := with(t, []string{"NOTIFY_URL=http://127.0.0.1:1"}, "sentinel/notify.sh", "+switch-master", "x")
	if err != nil || !strings.Contains(out, "did not take it") {
		t.Errorf("got %v, %q; want a line in the log and a good end", err, out)
	}
}

// TestElastiCacheScript runs create.sh against an aws command that notes what it is
// asked: everything is made, the password comes from a file, and the second run makes
// nothing anew.
func TestElastiCacheScript(t *testing.T) {
	dir := t.TempDir()
	fake := `#!/bin/sh
echo "$*" >>"$FAKE/calls"
for a in "$@"; do case $a in file://*) cp "${a#file://}" "$FAKE/token" ;; esac; done
case "$1 $2" in
"ec2 describe-security-groups") [ -f "$FAKE/made" ] && echo sg-1 || echo None ;;
"ec2 create-security-group") echo sg-1 ;;
"sns create-topic") echo arn:topic ;;
"secretsmanager get-secret-value") cat "$FAKE/token" ;;
*" describe-replication-groups") case "$*" in *Address*) echo master.freight.example ;; *) [ -f "$FAKE/made" ] ;; esac ;;
*" describe-"*) [ -f "$FAKE/made" ] ;;
esac
`
	if err := os.WriteFile(filepath.Join(dir, "aws"), []byte(fake), 0o700); err != nil {
		t.Fatal(err)
	}
	env := []string{"FAKE=" + dir, "PATH=" + dir + ":" + os.Getenv("PATH"), "VPC_ID=vpc-1", "SUBNET_IDS=subnet-a subnet-b", "APP_SECURITY_GROUP=sg-app"}
	out, err := with(t, env, "elasticache/create.sh")
	if err != nil || !strings.Contains(out, "REDIS_URL=rediss://master.freight.example:6379") {
		t.Fatalf("%v\n%s", err, out)
	}
	calls, _ := os.ReadFile(filepath.Join(dir, "calls"))
	for _, want := range []string{"--source-group sg-app", "--subnet-ids subnet-a subnet-b", "create-cache-parameter-group", "create-secret", "sns create-topic",
		"--multi-az-enabled", "--automatic-failover-enabled", "--transit-encryption-enabled", "--auth-token file://", "wait replication-group-available"} {
		if !strings.Contains(string(calls), want) {
			t.Errorf("no call has %s:\n%s", want, calls)
		}
	}
	token, _ := os.ReadFile(filepath.Join(dir, "token"))
	if len(token) != 64 || strings.Contains(string(calls)+out, string(token)) {
		t.Errorf("the password %q is not there, or is on a command line or the screen", token)
	}
	for _, s := range []string{"made", "calls"} {
		if err := os.WriteFile(filepath.Join(dir, s), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if out, err := with(t, env, "elasticache/create.sh"); err != nil {
		t.Fatalf("again: %v\n%s", err, out)
	}
	calls, _ = os.ReadFile(filepath.Join(dir, "calls"))
	if made := strings.Count(string(calls), " create-"); made != 1 { // the topic, which is asked for by making it
		t.Errorf("the second run made %d things:\n%s", made, calls)
	}
}
