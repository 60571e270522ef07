package coordinator

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/transload/transload/internal/protocol"
	"github.com/transload/transload/topology"
)

// beCoordinator makes this process a coordinator that cuts over to 100 %, and stops
// itself as soon as a record of the stage has been written.
func beCoordinator(stage protocol.Stage) int {
	s, err := sidesFromEnv()
	if err != nil {
		fmt.Println(err)
		return 1
	}
	k := &killer{stage: stage, act: func() {
		fmt.Println("written")
		_ = syscall.Kill(os.Getpid(), syscall.SIGSTOP)
	}}
	c, err := Open(Options{Source: s.source, Target: s.target, Hold: 2 * time.Second,
		Limits: Limits{P99: time.Minute, Lag: 5 * time.Second, MirrorFails: 1e9, ReadsDiffer: 1e9},
		extra:  []topology.Option{topology.WithHook(k)}})
	if err != nil {
		fmt.Println(err)
		return 1
	}
	defer c.Close()
	res, err := c.Cutover(context.Background(), CutoverRequest{To: []int{100}})
	fmt.Printf("cutover: %+v, %v\n", res, err)
	if errors.Is(err, ErrReplaced) || errors.Is(err, ErrAborted) {
		return 0
	}
	return 1
}

// coordinatorProcess starts beCoordinator and returns once the record is written.
func coordinatorProcess(t *testing.T, env map[string]string, stage protocol.Stage) *exec.Cmd {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), "TEST_COORDINATOR_STAGE="+string(stage))
	for k, v := range env {
		cmd.Env = append(cmd.Env, k+"="+v)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	late := time.AfterFunc(time.Minute, func() { _ = cmd.Process.Kill() })
	defer late.Stop()
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		if strings.TrimSpace(lines.Text()) == "written" {
			return cmd
		}
		t.Log(lines.Text())
	}
	t.Fatalf("the coordinator's process never wrote a record of stage %q", stage)
	return nil
}

// TestStoppedCoordinator stops a coordinator's process in a hold, lets another
// take over and finish the move, and lets the first go on. It may write nothing.
func TestStoppedCoordinator(t *testing.T) {
	t.Parallel()
	s, env := pairEnv(t)
	seed(t, s.source, 50)
	a := startApp(t, s, 2, 30)
	startShadow(t, s)
	old := coordinatorProcess(t, env, protocol.Held)
	next := coordinate(t, s)
	if err := cutOrDone(t, next); err != nil {
		t.Fatal(err)
	}
	before, err := next.readings(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := old.Process.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	late := time.AfterFunc(time.Minute, func() { _ = old.Process.Kill() })
	defer late.Stop()
	if err := old.Wait(); err != nil {
		t.Errorf("the replaced coordinator: got %v; want it to end with ErrReplaced or ErrAborted", err)
	}
	after, err := next.readings(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, side := range protocol.Sides {
		if !after[side].Record.Same(before[side].Record) {
			t.Errorf("%v: got %+v; want what it was before the old process went on, %+v", side, after[side].Record, before[side].Record)
		}
	}
	a.verdict(t, s.target)
}

// cutOrDone cuts over to 100 %, unless that has come about already.
func cutOrDone(t *testing.T, c *Coordinator) error {
	t.Helper()
	res, err := c.Cutover(t.Context(), CutoverRequest{To: []int{100}})
	logMoves(t, res.Moves)
	if err == nil && res.Phase != protocol.Soak {
		err = fmt.Errorf("got %v; want soak", res.Phase)
	}
	return err
}
