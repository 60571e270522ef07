package coordinator

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/transload/transload/internal/load"
	"github.com/transload/transload/internal/redistest"
	"github.com/transload/transload/migrate"
	"github.com/transload/transload/topology"
)

func TestMain(m *testing.M) {
	if path := os.Getenv("TEST_MEMBER_JOURNAL"); path != "" {
		os.Exit(beMember(path))
	}
	os.Exit(redistest.Main(m))
}

// beMember makes this process a member under load, until it is told to end; then
// it writes its journal.
func beMember(path string) int {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	src, err := topology.FromEnv("REDIS", os.Getenv)
	if err != nil {
		fmt.Println(err)
		return 1
	}
	dst, err := topology.FromEnv("REDIS_TARGET", os.Getenv)
	if err != nil {
		fmt.Println(err)
		return 1
	}
	c, err := migrate.Open(ctx, migrate.Options{Source: src, Target: dst})
	if err != nil {
		fmt.Println(err)
		return 1
	}
	defer c.Close()
	j := load.NewJournal("child")
	fmt.Println("running")
	load.Run(ctx, c, j, load.Options{Member: "child", Workers: 4, Rate: 200})
	if err := j.Save(path); err != nil {
		fmt.Println(err)
		return 1
	}
	return 0
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
