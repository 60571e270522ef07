package main

import (
	"bytes"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/transload/transload/examples/freight/load"
	"github.com/transload/transload/internal/redistest"
)

// A terminal gives the commands of README.md as they stand there, but for ports, which
// are free ones, programs, which are built already, and servers, which end with the test.
type terminal struct {
	t     *testing.T
	lines []string
	as    *strings.Replacer
	env   map[string]string
	built func() // waits for the operator's command
}

// step finds the commands of the page.
var step = regexp.MustCompile("(?s)\n\\*\\*\\d+\\.\\*\\*.*?\n```sh\n(.*?)\n```")

func openTerminal(t *testing.T) *terminal {
	t.Helper()
	page, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	x := &terminal{t: t, env: map[string]string{mainVar: "1", "FREIGHT_ADDR": free(t), "FREIGHT_ADMIN": free(t), "FREIGHT_DEMO": "4"}}
	for _, m := range step.FindAllStringSubmatch(string(page), -1) {
		x.lines = append(x.lines, m[1])
	}
	if len(x.lines) != 10 {
		t.Fatalf("README.md has %d commands; want ten", len(x.lines))
	}
	migrate := filepath.Join(t.TempDir(), "migrate")
	x.built = buildMigrate(t, migrate)
	port := func() string { _, p, _ := net.SplitHostPort(free(t)); return p }
	x.as = strings.NewReplacer("go run ./examples/freight probe", "exec "+os.Args[0]+" probe http://"+x.env["FREIGHT_ADMIN"],
		"go run ./examples/freight", "exec "+os.Args[0], "go run ./cmd/migrate", "exec "+migrate,
		"redis-server", "exec redis-server", "--daemonize yes", "", "7001", port(), "7002", port(),
		"-for 30s", "-for 2s -each 2 http://"+x.env["FREIGHT_ADDR"],
		"--execute", "--execute --max-p99 1m --max-lag 1m --hold 2s --max-read-differences 1000")
	return x
}

// buildMigrate begins to build the operator's command as this test was built, so that
// what it is made of has been compiled already.
func buildMigrate(t *testing.T, bin string) (wait func()) {
	t.Helper()
	args := []string{"build", "-o", bin, "../../cmd/migrate"}
	info, _ := debug.ReadBuildInfo()
	for _, s := range info.Settings {
		if s.Key == "-race" {
			args = slices.Insert(args, 1, "-race="+s.Value)
		}
	}
	cmd := exec.Command("go", args...)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := sync.OnceValue(cmd.Wait)
	t.Cleanup(func() { _ = ended() })
	return func() {
		t.Helper()
		if err := ended(); err != nil {
			t.Fatalf("go build: %v\n%s", err, out.Bytes())
		}
	}
}

func (x *terminal) command(n int) *exec.Cmd {
	cmd := exec.Command("sh", "-c", x.as.Replace(x.lines[n-1]))
	cmd.Dir, cmd.Env = x.t.TempDir(), os.Environ()
	for name, value := range x.env {
		cmd.Env = append(cmd.Env, name+"="+value)
	}
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	return cmd
}

// run gives a command, and returns its error with what it printed.
func (x *terminal) run(n int) error {
	out, err := x.command(n).CombinedOutput()
	x.t.Logf("$ %s\n%s", x.lines[n-1], out)
	if err != nil {
		return fmt.Errorf("%w\n%s", err, out)
	}
	return nil
}

func (x *terminal) must(n int) {
	x.t.Helper()
	if err := x.run(n); err != nil {
		x.t.Fatalf("step %d: %v", n, err)
	}
}

// begin gives a command that goes on until it is stopped, or the test ends.
func (x *terminal) begin(n int) (stop func() error) {
	x.t.Helper()
	cmd := x.command(n)
	if err := cmd.Start(); err != nil {
		x.t.Fatal(err)
	}
	stop = sync.OnceValue(func() error {
		_ = cmd.Process.Signal(syscall.SIGTERM) // it may have ended
		return cmd.Wait()
	})
	x.t.Cleanup(func() { _ = stop() })
	return stop
}

// serve begins the app.
func (x *terminal) serve(n int) *instance {
	x.t.Helper()
	return begin(x.t, func(i *instance, log *logs) {
		i.start(x.command(n), log)
	}, x.env)
}

// TestReadme runs it, breaks it and moves it, in the ten commands of the page.
func TestReadme(t *testing.T) {
	if testing.Short() {
		t.Skip("needs redis-servers: left out by -short")
	}
	t.Parallel() // it waits more than it works
	x := openTerminal(t)
	app := x.serve(1)
	x.must(2)
	redistest.Eventually(t, within, func() error { return x.run(3) }) // a busy machine may be late
	app.end()

	x.begin(4)
	app = x.serve(5)
	app.well(within)
	x.must(6)
	app.lost()
	if status, _, err := fetch(app.users+"/loads", nil); err != nil || status != 200 {
		t.Errorf("without Redis: got %d, %v; want a page", status, err)
	}
	x.begin(4)
	app.well(within)
	app.end()

	x.begin(7)
	app = x.serve(8)
	l, err := load.Start(t.Context(), small(app.users), load.NewJournal())
	if err != nil {
		t.Fatal(err)
	}
	x.built()
	x.begin(9)
	redistest.Eventually(t, within, func() error { return app.in("shadow") })
	redistest.Eventually(t, within, func() error { return x.run(10) }) // gates open as they are ready
	if err := app.in("soak"); err != nil {
		t.Error(err)
	}
	time.Sleep(time.Second) // of work on the target
	judge(t, l.Check(t.Context()))
}
