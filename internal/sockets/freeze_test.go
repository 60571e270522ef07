package sockets_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/transload/transload/internal/redistest"
)

// result is what one command came back with.
type result struct {
	n   int64
	err error
}

func incr(ctx context.Context, c redis.Cmdable, key string) <-chan result {
	done := make(chan result, 1)
	go func() { // ends with the command
		n, err := c.Incr(ctx, key).Result()
		done <- result{n, err}
	}()
	return done
}

// TestStoppedBeforeItsWrite: a process is stopped when it is about to write a
// command to a connection, is fenced, and goes on. The command dies with the
// connection, unless the client tries it again: so retries are off, and the first
// check keeps the next command out.
func TestStoppedBeforeItsWrite(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		retries  int
		record   string
		executed string // of the command that was stopped
		err      error
		next     error // of the command after it
	}{
		"no retries, record moved":    {retries: -1, record: "moved", executed: "", err: io.EOF, next: errRefused},
		"no retries, record the same": {retries: -1, record: "here", executed: "", err: io.EOF},
		"retries, record moved":       {retries: 3, record: "moved", executed: "", err: errRefused, next: errRefused},
		"retries, record the same":    {retries: 3, record: "here", executed: "1"}, // after the fence!
	} {
		t.Run(name, func(t *testing.T) {
			ways(t, redistest.Options{}, func(t *testing.T, w way) {
				control := redistest.Client(t, w.server)
				dial, write, _ := w.gated()
				o := member(control, dial)
				o.MaxRetries = tt.retries
				c := newClient(t, o)
				if err := c.Ping(t.Context()).Err(); err != nil {
					t.Fatal(err)
				}

				write.shut()
				defer write.open()
				got := incr(t.Context(), c, "k")
				write.arrived(t)
				setRecord(t, control, tt.record)
				mustFence(t, w)
				write.open()

				if r := <-got; !sameFailure(r.err, tt.err) {
					t.Errorf("stopped command: got %d, %v; want error %v", r.n, r.err, tt.err)
				}
				if v, _ := control.Get(t.Context(), "k").Result(); v != tt.executed {
					t.Errorf("stopped command: got k=%q; want %q", v, tt.executed)
				}
				if err := c.Incr(t.Context(), "next").Err(); !errors.Is(err, tt.next) {
					t.Errorf("next command: got %v; want %v", err, tt.next)
				}
			})
		})
	}
}

// sameFailure reports whether a command failed as it should have. Where its
// connection was killed, that shows as an end of file, or as a reset.
func sameFailure(got, want error) bool {
	if errors.Is(want, io.EOF) {
		return errors.Is(got, io.EOF) || errors.Is(got, syscall.ECONNRESET) || errors.Is(got, syscall.EPIPE)
	}
	return errors.Is(got, want)
}

// TestStoppedAfterItsWrite: a process is stopped when its command is on the way,
// is fenced, and goes on. The command was executed before the fence, and the dead
// connection still delivers its reply: success, of a lease that has lapsed. So a
// reply counts only under the lease under which the command was sent.
func TestStoppedAfterItsWrite(t *testing.T) {
	t.Parallel()
	for _, retries := range []int{-1, 3} {
		t.Run(fmt.Sprintf("retries %d", retries), func(t *testing.T) {
			ways(t, redistest.Options{}, func(t *testing.T, w way) {
				control := redistest.Client(t, w.server)
				dial, _, read := w.gated()
				o := member(control, dial)
				o.MaxRetries = retries
				c := newClient(t, o)
				if err := c.Ping(t.Context()).Err(); err != nil {
					t.Fatal(err)
				}

				read.shut()
				defer read.open()
				got := incr(t.Context(), c, "k")
				read.arrived(t)
				setRecord(t, control, "moved")
				mustFence(t, w)
				read.open()

				if r := <-got; r.n != 1 || r.err != nil {
					t.Errorf("got %d, %v; want 1: the reply outlives the connection", r.n, r.err)
				}
				if err := c.Incr(t.Context(), "next").Err(); err == nil {
					t.Error("next command: got no error; want the end of the connection, or a refusal")
				}
				if v, _ := control.Get(t.Context(), "next").Result(); v != "" {
					t.Errorf("next command: got next=%q; want nothing executed", v)
				}
			})
		})
	}
}

// stopHook stops a command when it has been let through and has taken no
// connection yet.
type stopHook struct{ gate *gate }

func (h stopHook) DialHook(next redis.DialHook) redis.DialHook { return next }

func (h stopHook) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return next
}

func (h stopHook) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		if cmd.Name() == "incr" {
			h.gate.pass()
		}
		return next(ctx, cmd)
	}
}

// TestOldCommandNewConnection: a command that was let through before a fence and
// took its connection after it gets an honest new one, made by somebody else under
// a good record, and is executed. Nothing on the connection can show that. What
// helps is that a pool belongs to one unbroken lease: it is closed when the lease
// lapses, and the old command with it.
func TestOldCommandNewConnection(t *testing.T) {
	t.Parallel()
	for _, closed := range []bool{false, true} {
		t.Run(fmt.Sprintf("pool closed %v", closed), func(t *testing.T) {
			ways(t, redistest.Options{}, func(t *testing.T, w way) {
				control := redistest.Client(t, w.server)
				c := newClient(t, member(control, w.dial))
				stop := stopHook{newGate()}
				c.AddHook(stop)
				if err := c.Ping(t.Context()).Err(); err != nil {
					t.Fatal(err)
				}

				stop.gate.shut()
				defer stop.gate.open()
				got := incr(t.Context(), c, "k")
				stop.gate.arrived(t)
				mustFence(t, w)
				want := result{n: 1}
				if closed {
					if err := c.Close(); err != nil {
						t.Fatal(err)
					}
					want = result{err: redis.ErrClosed}
				} else {
					redistest.Eventually(t, 10*time.Second, func() error { return c.Ping(t.Context()).Err() })
				}
				stop.gate.open()

				if r := <-got; r.n != want.n || !errors.Is(r.err, want.err) {
					t.Errorf("got %d, %v; want %d, %v", r.n, r.err, want.n, want.err)
				}
				if n, _ := control.Exists(t.Context(), "k").Result(); n != want.n {
					t.Errorf("got %d keys; want %d", n, want.n)
				}
			})
		})
	}
}

func setRecord(t *testing.T, control redis.UniversalClient, v string) {
	t.Helper()
	if err := control.Set(t.Context(), recordKey, v, 0).Err(); err != nil {
		t.Fatal(err)
	}
}

func mustFence(t *testing.T, w way) {
	t.Helper()
	if _, err := fence(t.Context(), w.server, memberName); err != nil {
		t.Fatal(err)
	}
}

// TestStoppedProcess does it with a process: this test binary again, which writes
// as fast as it can, is sent SIGSTOP wherever it happens to be, fenced, and sent
// SIGCONT.
func TestStoppedProcess(t *testing.T) {
	t.Parallel()
	if addr := os.Getenv("SOCKETS_CHILD"); addr != "" {
		beStopped(t, addr)
		return
	}
	s := redistest.Standalone(t, redistest.Options{})
	for name, addr := range map[string]string{"socket": s.Addr(), "proxy": redistest.Proxy(t, s).Addr()} {
		t.Run(name, func(t *testing.T) {
			control := redistest.Client(t, s)
			setRecord(t, control, "here")
			cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestStoppedProcess$", "-test.v")
			cmd.Env = append(os.Environ(), "SOCKETS_CHILD="+addr)
			out, err := cmd.StdoutPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			defer func() { _ = cmd.Wait() }()
			defer func() { _ = cmd.Process.Kill() }()
			lines := bufio.NewScanner(out)
			counts := &writers{n: 9}

			for range 3 {
				setRecord(t, control, "here")
				counts.underWay(t, control)
				if err := cmd.Process.Signal(syscall.SIGSTOP); err != nil {
					t.Fatal(err)
				}
				setRecord(t, control, "moved")
				if _, err := fence(t.Context(), s, memberName); err != nil {
					t.Fatal(err)
				}
				atFence, fenced := counts.counts(t, control), time.Now().UnixNano()
				if err := cmd.Process.Signal(syscall.SIGCONT); err != nil {
					t.Fatal(err)
				}
				for began := int64(0); began <= fenced; { // until each writer has been refused since
					if !lines.Scan() {
						t.Fatalf("the process reports no more: %v", lines.Err())
					}
					_, _ = fmt.Sscanf(lines.Text(), "all refused since %d", &began)
				}
				if later := counts.counts(t, control); !slices.Equal(later, atFence) {
					t.Errorf("got %v at the fence and %v later; want nothing executed after it", atFence, later)
				}
			}
		})
	}
}

// beStopped is the process that is stopped. It ends by being killed.
func beStopped(t *testing.T, addr string) {
	control := redis.NewClient(&redis.Options{Addr: addr, MaxRetries: -1})
	o := member(control, func(ctx context.Context) (net.Conn, error) { return dialTo(addr)(ctx) })
	w := startWriters(t, redis.NewClient(o), 9)
	for t.Context().Err() == nil {
		began := time.Now().UnixNano()
		for i := range w.n {
			for want := w.refused[i].Load() + 2; w.refused[i].Load() < want; {
				time.Sleep(time.Millisecond)
			}
		}
		fmt.Println("all refused since", began)
	}
}
