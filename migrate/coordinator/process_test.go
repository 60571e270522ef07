package coordinator

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/transload/transload/internal/redistest"
	"github.com/transload/transload/migrate"
)

// processes are what this binary can be instead of a test, by TEST_PROCESS: what
// is measured, or frozen, needs a process of its own.
var processes = map[string]func() int{"shadow": beShadow, "writer": beWriter}

// beShadow keeps the sides equal until it is told to end.
func beShadow() int {
	return told(func(ctx context.Context, s sides) error {
		rate, _ := strconv.Atoi(os.Getenv("TEST_RATE"))
		c, err := Open(Options{Source: s.source, Target: s.target, NoMembers: true, Rate: rate})
		if err != nil {
			return err
		}
		defer c.Close()
		if err := c.Shadow(ctx); ctx.Err() == nil {
			return err
		}
		return nil
	})
}

// beWriter is a member that says when it is in shadow, and, once it was told a
// word, writes TEST_KEYS keys, each once, says so and stays.
func beWriter() int {
	return told(func(ctx context.Context, s sides) error {
		n, err := strconv.Atoi(os.Getenv("TEST_KEYS"))
		if err != nil {
			return err
		}
		c, err := migrate.Open(ctx, migrate.Options{Source: s.source, Target: s.target})
		if err != nil {
			return err
		}
		defer c.Close()
		fmt.Println("begun")
		for c.Phase() != "shadow" && pause(ctx, 10*time.Millisecond) {
		}
		fmt.Println("shadow")
		var word string
		if _, err := fmt.Scan(&word); err != nil {
			return err
		}
		for i := 0; i < n; i += 500 {
			p := c.Pipeline()
			for j := range 500 {
				p.Set(ctx, fmt.Sprintf("sess:{%0180d}", i+j), "a value", time.Hour)
			}
			if _, err := p.Exec(ctx); err != nil {
				return err
			}
		}
		fmt.Println("written")
		<-ctx.Done()
		return nil
	})
}

// told runs f with the sides of the environment until SIGTERM.
func told(f func(context.Context, sides) error) int {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	s, err := sidesFromEnv()
	if err == nil {
		err = f(ctx, s)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

// A process is one of those, under way.
type process struct {
	cmd   *exec.Cmd
	lines *bufio.Scanner
	in    io.Writer
}

func startProcess(t *testing.T, what string, envs ...map[string]string) *process {
	t.Helper()
	p := &process{cmd: exec.Command(os.Args[0])}
	p.cmd.Env = append(os.Environ(), "TEST_PROCESS="+what)
	for k, v := range redistest.Merge(envs...) {
		p.cmd.Env = append(p.cmd.Env, k+"="+v)
	}
	p.cmd.Stderr = os.Stderr
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if p.in, err = p.cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	p.lines = bufio.NewScanner(out)
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = p.cmd.Process.Kill()
		_ = p.cmd.Wait()
	})
	return p
}

func (p *process) signal(t *testing.T, s os.Signal) {
	t.Helper()
	if err := p.cmd.Process.Signal(s); err != nil {
		t.Fatal(err)
	}
}

// says waits until the process says a line.
func (p *process) says(t *testing.T, line string) {
	t.Helper()
	late := time.AfterFunc(10*time.Minute, func() { _ = p.cmd.Process.Kill() })
	defer late.Stop()
	for p.lines.Scan() {
		if strings.TrimSpace(p.lines.Text()) == line {
			return
		}
	}
	t.Fatalf("the process ended without saying %q", line)
}

// peak is the most memory that the process has had so far, in bytes. Where the
// kernel does not tell, the test is left out.
func (p *process) peak(t *testing.T) int64 {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid))
	if err != nil {
		t.Skipf("no /proc: %v", err)
	}
	for line := range strings.Lines(string(text)) {
		if rest, ok := strings.CutPrefix(line, "VmHWM:"); ok {
			kb, err := strconv.ParseInt(strings.Fields(rest)[0], 10, 64)
			if err != nil {
				t.Fatal(err)
			}
			return kb << 10
		}
	}
	t.Fatal("no VmHWM in the process's status")
	return 0
}

// long reports whether the long forms of tests are to run.
func long() bool { return os.Getenv("LONG") != "" }

// fill makes n keys on the server: hashes of 500 bytes, strings, lists, sets and
// sorted sets, half of which expire.
func fill(t *testing.T, s sides, n int) {
	t.Helper()
	const script = `
for i = tonumber(ARGV[1]), tonumber(ARGV[2]) do
  local kind, key = i % 5, 'sess:{' .. i .. '}'
  if kind == 0 then
    for f = 1, 10 do redis.call('HSET', key, 'field' .. f, string.rep(redis.sha1hex(i .. ':' .. f), 1)) end
  elseif kind == 1 then
    redis.call('SET', key, string.rep(redis.sha1hex(i), 5))
  elseif kind == 2 then
    redis.call('RPUSH', key, i, 'b', 'c', redis.sha1hex(i))
  elseif kind == 3 then
    redis.call('SADD', key, i, 'b', redis.sha1hex(i))
  else
    redis.call('ZADD', key, i, 'b', 2, 'c')
  end
  if i % 2 == 0 then redis.call('EXPIRE', key, 86400) end
end
return 1`
	c := client(t, s.source)
	for i := 0; i < n; i += 5000 {
		if err := c.Eval(t.Context(), script, []string{"sess:{0}"}, i, min(n, i+5000)-1).Err(); err != nil {
			t.Fatal(err)
		}
	}
}

// untilEqual waits until another process's coordinator says that the sides are
// equal, and compares them.
func untilEqual(t *testing.T, c *Coordinator, within time.Duration) VerifyReport {
	t.Helper()
	redistest.Eventually(t, within, func() error {
		st, err := c.Status(t.Context())
		if err != nil {
			return err
		}
		if !st.Sync.Done || st.Dirty > 0 || st.Feed.UnbrokenSince.IsZero() {
			time.Sleep(100 * time.Millisecond)
			return fmt.Errorf("%d keys of %d, %d dirty, waits for %s", st.Sync.Keys, st.Sync.Total, st.Dirty, st.WaitsFor)
		}
		return nil
	})
	rep, err := c.Verify(t.Context(), VerifyRequest{})
	if err != nil {
		t.Fatalf("verify: %+v, %v", rep, err)
	}
	return rep
}
