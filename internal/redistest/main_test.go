package redistest_test

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/transload/transload/internal/redistest"
)

func TestMain(m *testing.M) { os.Exit(redistest.Main(m)) }

// TestServersDieWithTheProcess runs this test binary again and kills it while it
// holds a server that is frozen: no clean-up of its own can run.
func TestServersDieWithTheProcess(t *testing.T) {
	if os.Getenv("REDISTEST_CHILD") != "" {
		s := redistest.Standalone(t, redistest.Options{})
		if err := s.Freeze(); err != nil {
			t.Fatal(err)
		}
		fmt.Printf("\nchild: %d\n", s.PID())
		select {}
	}
	if testing.Short() {
		t.Skip("needs a redis-server: left out by -short")
	}
	cmd := exec.Command(os.Args[0], "-test.run=^TestServersDieWithTheProcess$")
	cmd.Env = append(os.Environ(), "REDISTEST_CHILD=1")
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	pid := 0
	for sc := bufio.NewScanner(out); pid == 0 && sc.Scan(); {
		if s, ok := strings.CutPrefix(sc.Text(), "child: "); ok {
			pid, _ = strconv.Atoi(s)
		}
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait()
	if pid == 0 {
		t.Fatal("the child started no server")
	}
	redistest.Eventually(t, 5*time.Second, func() error {
		if err := syscall.Kill(pid, 0); !errors.Is(err, syscall.ESRCH) && !isZombie(pid) {
			return fmt.Errorf("server %d outlived its parent", pid)
		}
		return nil
	})
}

// isZombie reports whether a process is dead but for the name: in a container
// without an init nobody collects an orphan.
func isZombie(pid int) bool {
	b, _ := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	return strings.Contains(string(b), ") Z ")
}

func TestSharedIsStartedOnce(t *testing.T) {
	t.Parallel()
	a, b := redistest.SharedStandalone(t), redistest.SharedStandalone(t)
	if a != b {
		t.Errorf("got two servers, %s and %s; want one", a.Addr(), b.Addr())
	}
	if len(redistest.SharedCluster(t).Nodes) != 6 || len(redistest.SharedSentinel(t).Sentinels) != 3 {
		t.Error("got incomplete sets")
	}
}
