package main

import (
	"context"
	"os"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/transload/transload/internal/load"
)

// asTested are the options with which a test runs a documented verb: it has no
// week to wait, and a machine that others use too.
var asTested = map[string][]string{
	"cutover":  {"--max-p99", "1m", "--max-lag", "1m", "--hold", "2s", "--max-read-differences", "1000"},
	"rollback": {"--max-lag", "1m", "--hold", "2s", "--max-read-differences", "1000"},
	"finish":   {"--min-soak", "0"},
	"forget":   {"--yes", "--quiet", "0"},
}

// TestMovingPage runs the commands of docs/moving.md as they stand there, one
// after the other, on real servers under an app's load, and holds the app's
// journals against the target at the end.
func TestMovingPage(t *testing.T) {
	t.Parallel()
	p := realPair(t)
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
	for _, line := range documented(t, "../../docs/moving.md") {
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
		r := commandWith(t.Context(), p.env, "freight\n", args...)
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
	if err != nil || !v.OK() || len(v.Errors) > 0 || v.Acknowledged == 0 {
		t.Errorf("got %+v, %v; want nothing lost, and no error shown to the app", v, err)
	}
	left, err := p.client(t, p.target).Keys(t.Context(), "transload:*").Result()
	left = slices.DeleteFunc(left, func(key string) bool { return strings.HasSuffix(key, ":marker") }) // gone within a minute
	if err != nil || len(left) > 0 {
		t.Errorf("after forget: got keys %q, %v; want none", left, err)
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
	for _, path := range []string{"../../docs/cli.md", "../../docs/moving.md", "../../docs/emergency.md", "../../README.md"} {
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
