package redistest_test

import (
	"errors"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/transload/transload/internal/redisproc"
	"github.com/transload/transload/internal/redistest"
)

func TestStandalone(t *testing.T) {
	t.Parallel()
	for name, o := range map[string]redistest.Options{
		"plain":               {},
		"Unix socket":         {Unix: true},
		"password":            {Password: "s3cret"},
		"password, two users": {Password: "s3cret", Username: "app"},
		"TLS":                 {TLS: true, Password: "s3cret"},
		"own arguments":       {Args: []string{"--maxmemory", "10mb"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := redistest.Standalone(t, o)
			redistest.Do(t, s, "SET", "k", "v")
			if got := redistest.Do(t, s, "GET", "k"); got != "v" {
				t.Errorf("got %v; want v", got)
			}
			if s.Env("REDIS")["REDIS_URL"] == "" {
				t.Errorf("got %v; want REDIS_URL in it", s.Env("REDIS"))
			}
		})
	}
}

func TestCloseEndsAFrozenServerAndItsDirectory(t *testing.T) {
	t.Parallel()
	s := redistest.Standalone(t, redistest.Options{})
	if err := s.Freeze(); err != nil {
		t.Fatal(err)
	}
	pid := s.PID()
	for range 2 {
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if err := syscall.Kill(pid, 0); !errors.Is(err, syscall.ESRCH) {
		t.Errorf("process %d: got %v; want that there is none", pid, err)
	}
	if _, err := os.Stat(s.Dir()); !os.IsNotExist(err) {
		t.Errorf("directory: got %v; want that there is none", err)
	}
}

func TestRestartKeepsPortAndDirectory(t *testing.T) {
	t.Parallel()
	s := redistest.Standalone(t, redistest.Options{Args: []string{"--appendonly", "yes", "--appendfsync", "always"}})
	redistest.Do(t, s, "SET", "k", "v")
	addr, pid := s.Addr(), s.PID()
	if err := s.Kill(); err != nil {
		t.Fatal(err)
	}
	if s.Alive() {
		t.Fatal("got a server that runs after Kill")
	}
	if err := s.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	if s.Addr() != addr || s.PID() == pid {
		t.Errorf("got %s, process %d; want %s and another process than %d", s.Addr(), s.PID(), addr, pid)
	}
	if got := redistest.Do(t, s, "GET", "k"); got != "v" {
		t.Errorf("got %v; want v from the append-only file", got)
	}
}

func TestFrozenServerAnswersAfterThaw(t *testing.T) {
	t.Parallel()
	s := redistest.Standalone(t, redistest.Options{})
	c := redistest.Conn(t, s)
	if err := s.Freeze(); err != nil {
		t.Fatal(err)
	}
	if err := c.Send("PING"); err != nil {
		t.Fatal(err)
	}
	_ = c.SetReadDeadline(time.Now().Add(50 * time.Millisecond))
	if v, err := c.Receive(); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("frozen: got %v, %v; want a time-out", v, err)
	}
	if err := s.Thaw(); err != nil {
		t.Fatal(err)
	}
	_ = c.SetReadDeadline(time.Time{})
	if v, err := c.Receive(); v != "PONG" || err != nil {
		t.Errorf("thawed: got %v, %v; want PONG", v, err)
	}
}

func TestNoServerSaysWhatToInstall(t *testing.T) {
	t.Parallel()
	_, err := redisproc.Standalone(t.Context(), redistest.Options{Binary: "/nowhere/redis-server"})
	if !errors.Is(err, redisproc.ErrNoServer) {
		t.Fatalf("got %v; want ErrNoServer", err)
	}
	for _, want := range []string{"package redis-server", "REDIS_SERVER"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("got %q; want %q in it", err, want)
		}
	}
}

func TestStartTellsWhatTheServerSaid(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("needs a redis-server: left out by -short")
	}
	_, err := redisproc.Standalone(t.Context(), redistest.Options{Args: []string{"--no-such-setting", "1"}})
	if err == nil || !strings.Contains(err.Error(), "no-such-setting") {
		t.Errorf("got %v; want the server's own complaint", err)
	}
}
