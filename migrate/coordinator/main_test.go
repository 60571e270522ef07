package coordinator

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/transload/transload/internal/load"
	"github.com/transload/transload/internal/protocol"
	"github.com/transload/transload/internal/redistest"
	"github.com/transload/transload/migrate"
	"github.com/transload/transload/topology"
)

func TestMain(m *testing.M) {
	if path := os.Getenv("TEST_MEMBER_JOURNAL"); path != "" {
		os.Exit(beMember(path))
	}
	if stage := os.Getenv("TEST_COORDINATOR_STAGE"); stage != "" {
		os.Exit(beCoordinator(protocol.Stage(stage)))
	}
	if what := os.Getenv("TEST_PROCESS"); what != "" {
		os.Exit(processes[what]())
	}
	flag.Parse()
	// Most of the parallel tests wait out a lease, and use little of a core.
	if err := flag.Set("test.parallel", "12"); err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	os.Exit(redistest.Main(m, goleak.IgnoreAnyFunction("github.com/redis/go-redis/v9/internal/pool.(*ConnPool).tryDial")))
}

// beMember makes this process a member under load, until it is told to end.
func beMember(path string) int {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	s, err := sidesFromEnv()
	if err != nil {
		fmt.Println(err)
		return 1
	}
	c, err := migrate.Open(ctx, migrate.Options{Source: s.source, Target: s.target})
	if err != nil {
		fmt.Println(err)
		return 1
	}
	defer c.Close()
	j, err := load.Create(path, "child")
	if err != nil {
		fmt.Println(err)
		return 1
	}
	fmt.Println("running")
	load.Run(ctx, c, j, load.Options{Member: "child", Workers: 4, Rate: 60})
	if err := j.Close(); err != nil {
		fmt.Println(err)
		return 1
	}
	return 0
}

func sidesFromEnv() (s sides, err error) {
	var errs [2]error
	s.source, errs[0] = topology.FromEnv("REDIS", os.Getenv)
	s.target, errs[1] = topology.FromEnv("REDIS_TARGET", os.Getenv)
	return s, errors.Join(errs[:]...)
}

// A child is a member in a process of its own, which can be frozen and killed.
type child struct {
	cmd  *exec.Cmd
	path string
}

func startChild(t *testing.T, env map[string]string) *child {
	t.Helper()
	ch := &child{path: filepath.Join(t.TempDir(), "journal.json")}
	ch.cmd = exec.Command(os.Args[0])
	ch.cmd.Env = append(os.Environ(), "TEST_MEMBER_JOURNAL="+ch.path)
	for k, v := range env {
		ch.cmd.Env = append(ch.cmd.Env, k+"="+v)
	}
	ch.cmd.Stderr = os.Stderr
	if err := ch.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = ch.cmd.Process.Kill()
		_ = ch.cmd.Wait()
	})
	return ch
}

func (ch *child) signal(t *testing.T, s os.Signal) {
	t.Helper()
	if err := ch.cmd.Process.Signal(s); err != nil {
		t.Fatal(err)
	}
}

// journal ends the child and returns what it was told.
func (ch *child) journal(t *testing.T) *load.Journal {
	t.Helper()
	ch.signal(t, syscall.SIGTERM)
	ended := time.AfterFunc(30*time.Second, func() { _ = ch.cmd.Process.Kill() })
	defer ended.Stop()
	if err := ch.cmd.Wait(); err != nil {
		t.Fatalf("child: %v", err)
	}
	j, err := load.Open(ch.path)
	if err != nil {
		t.Fatal(err)
	}
	return j
}
