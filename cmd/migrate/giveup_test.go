package main

import (
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/transload/transload/internal/redisproc"
	"github.com/transload/transload/internal/redistest"
	"github.com/transload/transload/migrate/coordinator"
	"github.com/transload/transload/topology"
)

// TestEmergencyPage runs the commands of docs/emergency.md as they stand there: the
// source dies in shadow, and the target takes over; with LONG=1 the source comes
// back, and the target dies.
func TestEmergencyPage(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("needs a real server")
	}
	keeps := redistest.Options{Args: []string{"--appendonly", "yes", "--appendfsync", "always"}}
	src, dst := redistest.Standalone(t, keeps), redistest.Standalone(t, keeps)
	p := pairOf(t, src, dst)
	app := p.member(t, "default")
	write := func(key string) {
		t.Helper()
		redistest.Eventually(t, time.Minute, func() error { return app.Set(t.Context(), key, "1", 0).Err() })
	}
	stop := p.shadow(t)
	lines := documented(t, "../../docs/emergency.md")
	run := func(answer, line string, code int) result {
		t.Helper()
		r := commandWith(t.Context(), p.env, answer, strings.Fields(line)[1:]...)
		if r.code != code {
			t.Fatalf("%s: got code %d; want %d\n%s%s", line, r.code, code, r.out, r.err)
		}
		t.Logf("$ %s\n%s%s", line, r.out, r.err)
		return r
	}
	refused := run("", lines[0], codeRefused) // it answers
	refused.wantError(t, "refused: source: it answers")
	write("sess:{1}")
	kill(t, src)
	run("", lines[0], codeDone)
	run("another\n", lines[1], codeRefused)
	run("default\n", lines[1], codeDone)
	write("sess:{2}")
	stop()
	if os.Getenv("LONG") == "" {
		return
	}
	if err := src.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	stop = p.shadow(t) // lines[4]
	redistest.Eventually(t, time.Minute, func() error {
		st, err := p.status(t)
		if err == nil && strings.Contains(fmt.Sprint(st.Blockers), "given up") {
			err = fmt.Errorf("blockers: %q", st.Blockers)
		}
		return err
	})
	if r := p.run(t, "verify"); r.code != codeDone {
		t.Errorf("verify: got code %d: %s%s", r.code, r.out, r.err)
	}
	stop()
	kill(t, dst)
	run("", lines[2], codeDone)
	r := commandWith(t.Context(), p.env, "", append(strings.Fields(lines[3])[1:], "--yes", "--json")...)
	var rep coordinator.GiveUpReport
	if err := json.Unmarshal([]byte(r.out), &rep); err != nil || r.code != codeDone || !rep.Taken {
		t.Fatalf("%s: got code %d, %+v, %v: %s", lines[3], r.code, rep, err, r.err)
	}
	write("sess:{3}")
}

func kill(t *testing.T, s *redisproc.Server) {
	t.Helper()
	if err := s.Kill(); err != nil {
		t.Fatal(err)
	}
}

// pairOf is a pair of servers that were started already.
func pairOf(t *testing.T, a, b interface {
	Env(prefix string) map[string]string
}) pair {
	t.Helper()
	p := pair{env: redistest.Merge(a.Env("REDIS"), b.Env("REDIS_TARGET"))}
	for prefix, cfg := range map[string]*topology.Config{"REDIS": &p.source, "REDIS_TARGET": &p.target} {
		p.env[prefix+"_READ_TIMEOUT"] = "5s"
		var err error
		if *cfg, err = topology.FromEnv(prefix, redistest.Getenv(p.env)); err != nil {
			t.Fatal(err)
		}
	}
	return p
}

// TestGiveUpUsage refuses what makes no sense beside a side that is lost.
func TestGiveUpUsage(t *testing.T) {
	t.Parallel()
	p := embeddedPair(t)
	for _, args := range []string{"cutover --source-lost --to 100", "cutover --source-lost --only sessions", "cutover --source-lost --fence acl",
		"rollback --target-lost --accept-bypass", "cutover --to 100 --fence iptables", "cutover --to 100 --fence acl --accept-bypass"} {
		r := p.run(t, strings.Fields(args)...)
		r.wantCode(t, codeUsage)
	}
	r := p.run(t, "cutover", "--source-lost")
	r.wantCode(t, codeRefused)
	r.wantError(t, "the migration is in")
}
