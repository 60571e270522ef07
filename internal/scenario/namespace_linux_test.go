package scenario

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/transload/transload/internal/redisproc"
	"github.com/transload/transload/internal/redistest"
)

// A cable joins this network namespace, where replicas, sentinels and the app are,
// with one in which the primary is alone. Unix sockets lead past it.
type cable struct {
	space     string // the primary's
	near, far string // addresses of its ends
	end       string // the interface inside space
}

var cables atomic.Int64

// newCable lays one, or says why it cannot be had.
func newCable(t *testing.T) (*cable, error) {
	if os.Getuid() != 0 {
		return nil, errors.New("not root")
	}
	n := int64(os.Getpid()) + cables.Add(1)
	name := fmt.Sprintf("tl%d", n)
	net := fmt.Sprintf("10.213.%d.", n%254+1)
	c := &cable{space: name, near: net + "1", far: net + "2", end: name + "b"}
	t.Cleanup(func() { _ = ip("netns", "del", c.space) }) // the cable goes with it
	for _, args := range [][]string{
		{"netns", "add", c.space},
		{"link", "add", name + "a", "type", "veth", "peer", "name", c.end, "netns", c.space},
		{"addr", "add", c.near + "/24", "dev", name + "a"},
		{"link", "set", name + "a", "up"},
		{"-n", c.space, "link", "set", "lo", "up"},
		{"-n", c.space, "addr", "add", c.far + "/24", "dev", c.end},
		{"-n", c.space, "link", "set", c.end, "up"},
	} {
		if err := ip(args...); err != nil {
			return nil, err
		}
	}
	return c, nil
}

// set cuts the cable, or mends it: at the primary's end, so that addresses on
// this side stay reachable from this side.
func (c *cable) set(state string) error { return ip("-n", c.space, "link", "set", c.end, state) }

func ip(args ...string) error {
	out, err := exec.Command("ip", args...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("ip %s: %w: %s", strings.Join(args, " "), err, strings.TrimSpace(string(out)))
	}
	return nil
}

// byNamespace starts a set whose primary is at the other end of a cable.
func byNamespace(t *testing.T) (*partition, error) {
	c, err := newCable(t)
	if err != nil {
		return nil, err
	}
	const port = "6379"
	dir := c.start(t, true, c.far, port)
	for range 2 {
		c.start(t, false, c.near, freePort(t, c.near), "--replicaof", c.far, port)
	}
	var sentinels []*redisproc.Conn
	var addrs []string
	for range 3 {
		p := freePort(t, c.near)
		addrs = append(addrs, net.JoinHostPort(c.near, p))
		sentinels = append(sentinels, c.startSentinel(t, p))
	}
	for _, s := range sentinels {
		redistest.Eventually(t, within, func() error { return knows(t.Context(), s) })
	}
	return &partition{
		how: "a cable that is cut, between network namespaces",
		env: map[string]string{"REDIS_SENTINELS": strings.Join(addrs, ","), "REDIS_SENTINEL_MASTER": redisproc.DefaultMaster},
		cut: func() error { return c.set("down") }, heal: func() error { return c.set("up") },
		inside: func() (*redisproc.Conn, error) { return dial(dir) },
	}, nil
}

// start runs a data server, and returns its directory.
func (c *cable) start(t *testing.T, inside bool, host, port string, args ...string) string {
	t.Helper()
	dir := shortDir(t)
	args = append([]string{"--bind", host, "--port", port, "--unixsocket", filepath.Join(dir, "s"), "--dir", dir,
		"--protected-mode", "no", "--save", "", "--repl-diskless-sync-delay", "0"}, append(guarded(), args...)...)
	c.exec(t, inside, dir, args)
	return dir
}

// dial connects to the Unix socket of the server in a directory.
func dial(dir string) (*redisproc.Conn, error) {
	nc, err := net.DialTimeout("unix", filepath.Join(dir, "s"), time.Second)
	if err != nil {
		return nil, err
	}
	return redisproc.NewConn(nc), nil
}

// startSentinel runs a sentinel, and returns a connection to it.
func (c *cable) startSentinel(t *testing.T, port string) *redisproc.Conn {
	t.Helper()
	dir := shortDir(t)
	conf := filepath.Join(dir, "sentinel.conf")
	text := fmt.Sprintf("bind %s\nport %s\nunixsocket %s/s\ndir %s\nprotected-mode no\n"+
		"sentinel monitor %[5]s %[6]s 6379 2\nsentinel down-after-milliseconds %[5]s 1500\n"+
		"sentinel failover-timeout %[5]s 10000\nsentinel parallel-syncs %[5]s 1\n",
		c.near, port, dir, dir, redisproc.DefaultMaster, c.far)
	if err := os.WriteFile(conf, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return c.exec(t, false, dir, []string{conf, "--sentinel"})
}

// exec runs a server, here or inside, until the test ends, and returns a
// connection to it.
func (c *cable) exec(t *testing.T, inside bool, dir string, args []string) *redisproc.Conn {
	t.Helper()
	argv := append([]string{serverBinary()}, args...)
	if inside {
		argv = append([]string{"ip", "netns", "exec", c.space}, argv...)
	}
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	log, err := os.Create(filepath.Join(dir, "log"))
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
		_ = cmd.Wait() // that it was killed is no news
	})
	var conn *redisproc.Conn
	redistest.Eventually(t, within, func() (err error) {
		if conn, err = dial(dir); err == nil {
			_, err = conn.Do(t.Context(), "PING")
		}
		return err
	})
	t.Cleanup(func() { conn.Close() })
	return conn
}

// knows returns nil once a sentinel knows two replicas that are up, and two other
// sentinels.
func knows(ctx context.Context, s *redisproc.Conn) error {
	said, err := s.Do(ctx, "SENTINEL", "CKQUORUM", redisproc.DefaultMaster)
	if err != nil {
		return err
	}
	list, err := s.Do(ctx, "SENTINEL", "REPLICAS", redisproc.DefaultMaster)
	if err != nil {
		return err
	}
	replicas := fmt.Sprint(list)
	if !strings.HasPrefix(fmt.Sprint(said), "OK 3 usable") || strings.Count(replicas, "master-link-status ok") < 2 || strings.Contains(replicas, "s_down") {
		return fmt.Errorf("%v; %v", said, replicas)
	}
	return nil
}

func serverBinary() string {
	if path := os.Getenv("REDIS_SERVER"); path != "" {
		return path
	}
	return "redis-server"
}

// freePort returns a port of an address that nobody listens on now.
func freePort(t *testing.T, host string) string {
	t.Helper()
	l, err := net.Listen("tcp", net.JoinHostPort(host, "0"))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	_, port, _ := net.SplitHostPort(l.Addr().String())
	return port
}

// shortDir is t.TempDir with a name that leaves room for a socket's.
func shortDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "sc")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}
