package main

import (
	"context"
	"os"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/transload/transload/internal/load"
	"github.com/transload/transload/internal/redistest"
)

// asTested are the options with which a test runs a documented verb: it has no
// week to wait, and a machine that others use too.
var asTested = map[string][]string{
	"cutover":  {"--max-p99", "1m", "--max-lag", "1m", "--hold", "2s", "--max-read-differences", "1000"},
	"rollback": {"--max-lag", "1m", "--hold", "2s", "--max-read-differences", "1000"},
	"finish":   {"--min-soak", "0", "--max-mirror-errors", "1000"}, // of a drill a minute before
	"forget":   {"--yes", "--quiet", "0"},
	"drill":    {"--budget", "1m"},
}

// TestMovingPage runs the commands of docs/moving.md as they stand there, between two
// standalone servers.
func TestMovingPage(t *testing.T) {
	t.Parallel()
	if v := follow(t, "../../docs/moving.md", realPair(t)); len(v.Errors) > 0 {
		t.Errorf("got %+v; want no error shown to the app", v)
	}
}

// TestRunbookPage does the same with docs/runbook.md, which drills the target: that
// is a Sentinel set. When the target answers, a drill may show the app some writes of
// which nobody can say whether they were carried out.
func TestRunbookPage(t *testing.T) {
	t.Parallel()
	follow(t, "../../docs/runbook.md", pairOf(t, redistest.Standalone(t, redistest.Options{}), redistest.Sentinel(t, redistest.Options{})))
}

// follow runs the commands of a page, one after the other, on real servers under an
// app's load, and holds the app's journals against the target at the end.
func follow(t *testing.T, page string, p pair) load.Verdict {
	t.Helper()
	app := []*load.Journal{load.NewJournal("m1"), load.NewJournal("m2")}
	ctx, leave := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	for _, j := range app {
		c := p.member(t, "freight")
		wg.Go(func() {
			load.Run(ctx, c, j, load.Options{Member: j.Member, Workers: 2, Rate: 100})
			c.Close()
		})
	}
	t.Cleanup(func() { leave(); wg.Wait() })
	stop := func() result { return result{} }
	for _, line := range documented(t, page) {
		args := strings.Fields(line)[1:]
		if args[0] == "MIGRATE_NAME=freight" { // export
			p.env["MIGRATE_NAME"] = "freight"
			continue
		}
		verb := args[0]
		args = append(args, asTested[verb]...)
		switch verb {
		case "shadow":
			stop = p.shadow(t, args[1:]...)
			continue
		case "forget": // the app is deployed without the migrating client
			leave()
			wg.Wait()
		}
		r := patiently(t, p.env, args)
		if verb == "verify" && r.code == codeFailed && strings.Contains(r.out, ":last") {
			continue // written all the time by scripts that do not declare it: the feed names it, a moment later
		}
		if r.code != codeDone {
			t.Fatalf("%s %q: got code %d; want 0\n%s%s", line, asTested[verb], r.code, r.out, r.err)
		}
		t.Logf("$ %s\n%s", line, r.out)
	}
	if r := stop(); r.code != codeDone {
		t.Errorf("shadow: got code %d, %s; want it to end with the migration", r.code, r.err)
	}
	v, err := load.Check(t.Context(), p.client(t, p.target), app...)
	if err != nil || !v.OK() || v.Acknowledged == 0 {
		t.Errorf("got %+v, %v; want nothing lost", v, err)
	}
	left, err := p.client(t, p.target).Keys(t.Context(), "transload:*").Result()
	left = slices.DeleteFunc(left, func(key string) bool { return strings.HasSuffix(key, ":marker") }) // gone within a minute
	if err != nil || len(left) > 0 {
		t.Errorf("after forget: got keys %q, %v; want none", left, err)
	}
	return v
}

// passing are the refusals that pass by themselves, in seconds: the app has not yet
// obeyed what was just changed; a drill's failover broke the feeds, and servers,
// replicas and sentinels are not yet whole again; a busy machine answers late.
var passing = regexp.MustCompile(`(?m)^migrate: refused: (members|sync|feed of the (source|target)|lock|source|target|` +
	`replication lag|replicas of the (source|target)|hold|primary|replica|sentinels): `)

// patiently gives a command, and again for a minute while it is refused for what
// passes: as an operator would.
func patiently(t *testing.T, env map[string]string, args []string) (r result) {
	t.Helper()
	for began := time.Now(); ; time.Sleep(time.Second) {
		r = commandWith(t.Context(), env, "freight\n", args...)
		if r.code != codeRefused || !passing.MatchString(r.err) || time.Since(began) > time.Minute {
			return r
		}
		t.Logf("%s: %s", args[0], r.err)
	}
}

var fence = regexp.MustCompile("(?ms)^ *```sh\n(.*?)^ *```")

// documented returns the commands of a page, in their order.
func documented(t *testing.T, path string) (out []string) {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, block := range fence.FindAllStringSubmatch(string(text), -1) {
		for line := range strings.Lines(block[1]) {
			if line = strings.TrimSpace(line); line != "" {
				out = append(out, line)
			}
		}
	}
	if len(out) == 0 {
		t.Fatalf("%s holds no commands", path)
	}
	return out
}

// TestPagesNameVerbs holds docs/cli.md against the verbs that are there, and each
// option that a page names against the verbs' options.
func TestPagesNameVerbs(t *testing.T) {
	help := command(t, nil, "--help").out
	var options strings.Builder
	cli, err := os.ReadFile("../../docs/cli.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range regexp.MustCompile(`(?m)^   ([a-z]+)  `).FindAllStringSubmatch(help, -1) {
		if verb := line[1]; verb != "help" && !strings.Contains(string(cli), "| `"+verb+"` |") {
			t.Errorf("docs/cli.md has no row for %s", verb)
		}
		options.WriteString(command(t, nil, line[1], "--help").out)
	}
	for _, path := range []string{"../../docs/cli.md", "../../docs/moving.md", "../../docs/runbook.md", "../../docs/emergency.md", "../../README.md"} {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		named := regexp.MustCompile("`[^`\n]*`").FindAllString(string(text), -1)
		for _, code := range named {
			if strings.Contains(code, "go ") { // of another program
				continue
			}
			for _, option := range regexp.MustCompile(`--[a-z][-a-z0-9]+`).FindAllString(code, -1) {
				if option != "--help" && !slices.Contains(strings.Fields(options.String()), option) {
					t.Errorf("%s names %s, which no verb has", path, option)
				}
			}
		}
	}
}
