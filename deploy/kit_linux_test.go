package deploy

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/transload/transload/internal/redisproc"
	"github.com/transload/transload/internal/redistest"
	"github.com/transload/transload/topology"
)

// within is how long anything may take on a busy machine: a vote of the sentinels
// that was split is held again after twenty seconds.
const within = 90 * time.Second

// master is the primary's name in the settings that are tested.
const master = "freight-master"

// A set is what the scripts of this directory start: data servers and sentinels, all
// with the host name localhost and a port of their own.
type set struct {
	t         *testing.T
	home      string
	nodes     []*process
	sentinels []*process
	tls       *tls.Config // nil without
}

// newSet makes a set, and starts nothing.
func newSet(t *testing.T, nodes, sentinels int, env ...string) *set {
	t.Helper()
	if testing.Short() {
		t.Skip("needs a redis-server: left out by -short")
	}
	ports, giveBack, err := redisproc.Ports(nodes + sentinels)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(giveBack)
	s := &set{t: t, home: t.TempDir()}
	run(t, nil, "./secrets.sh", s.secrets())
	for i, port := range ports {
		script, name := "redis/start.sh", fmt.Sprintf("redis-%d", i)
		if i >= nodes {
			script, name = "sentinel/start.sh", fmt.Sprintf("sentinel-%d", i-nodes)
		}
		p := &process{script: script, name: name, addr: "localhost:" + strconv.Itoa(port), data: filepath.Join(s.home, name)}
		if i < nodes {
			s.nodes = append(s.nodes, p)
		} else {
			s.sentinels = append(s.sentinels, p)
		}
	}
	common := append([]string{"HOST=localhost", "SECRETS=" + s.secrets(), "PATIENCE=5",
		"PEERS=" + strings.Join(addrs(s.nodes), " "), "SENTINELS=" + strings.Join(addrs(s.sentinels), " "),
		"PRIMARY=" + s.nodes[0].addr}, env...)
	for _, p := range s.all() {
		_, port, _ := net.SplitHostPort(p.addr)
		p.env = append(slices.Clone(common), "PORT="+port, "DATA="+p.data)
		t.Cleanup(func() { p.kill(t) })
	}
	t.Cleanup(func() {
		if t.Failed() {
			for _, p := range s.all() {
				t.Logf("log of %s (%s) ends:\n%s", p.name, p.addr, p.logTail(12))
			}
		}
	})
	return s
}

// startSet makes a set, starts it all at once, as a redeployment does, and waits
// until it is whole.
func startSet(t *testing.T, env ...string) *set {
	t.Helper()
	s := newSet(t, 3, 3, env...)
	s.start(s.all()...)
	s.whole(0)
	return s
}

func (s *set) secrets() string { return filepath.Join(s.home, "secrets") }
func (s *set) all() []*process { return append(slices.Clone(s.nodes), s.sentinels...) }
func addrs(ps []*process) (list []string) {
	for _, p := range ps {
		list = append(list, p.addr)
	}
	return list
}

func (s *set) start(ps ...*process) {
	s.t.Helper()
	for _, p := range ps {
		p.start(s.t)
	}
}

func (s *set) secret(user string) string {
	s.t.Helper()
	text, err := os.ReadFile(filepath.Join(s.secrets(), user))
	if err != nil {
		s.t.Fatal(err)
	}
	return string(text)
}

// as returns a client of one process.
func (s *set) as(user string, p *process) *redis.Client {
	s.t.Helper()
	c := redis.NewClient(s.options(user, p))
	s.t.Cleanup(func() { _ = c.Close() })
	return c
}

func (s *set) options(user string, p *process) *redis.Options {
	return &redis.Options{Addr: p.addr, Username: user, Password: s.secret(user), TLSConfig: s.tls, MaxRetries: -1, DisableIdentity: true, Protocol: 2}
}

// env returns the variables of an app that uses this set.
func (s *set) env(user string) map[string]string {
	return map[string]string{
		"REDIS_SENTINELS": strings.Join(addrs(s.sentinels), ","), "REDIS_SENTINEL_MASTER": master,
		"REDIS_USERNAME": user, "REDIS_PASSWORD": s.secret(user),
		"REDIS_SENTINEL_USERNAME": "app", "REDIS_SENTINEL_PASSWORD": s.secret("app"),
	}
}

// open returns a client such as the app's.
func (s *set) open(env map[string]string, opts ...topology.Option) *topology.Client {
	s.t.Helper()
	cfg, err := topology.FromEnv("REDIS", redistest.Getenv(env))
	if err != nil {
		s.t.Fatal(err)
	}
	c, err := topology.Open(cfg, opts...)
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { _ = c.Close() })
	return c
}

// role returns what a server says of itself, "" while it does not answer.
func (s *set) role(p *process) string {
	return s.info(p, "replication")["role"]
}

func (s *set) info(p *process, section string) map[string]string {
	ctx, cancel := context.WithTimeout(s.t.Context(), time.Second)
	defer cancel()
	c := redis.NewClient(s.options("operator", p))
	defer c.Close()
	text, _ := c.Info(ctx, section).Result()
	f := map[string]string{}
	for line := range strings.Lines(text) {
		if name, value, ok := strings.Cut(strings.TrimSpace(line), ":"); ok {
			f[name] = value
		}
	}
	return f
}

// primary waits until one server is the primary, all others follow it and have what
// it has, and returns it.
func (s *set) primary() (p *process) {
	s.t.Helper()
	redistest.Eventually(s.t, within, func() error {
		p = nil
		for _, n := range s.nodes {
			if s.role(n) == "master" {
				if p != nil {
					return fmt.Errorf("%s and %s are both primaries", p.name, n.name)
				}
				p = n
			}
		}
		if p == nil {
			return errors.New("no primary")
		}
		for _, n := range s.nodes {
			f := s.info(n, "replication")
			if n != p && (f["master_link_status"] != "up" || f["master_host"]+":"+f["master_port"] != p.addr) {
				return fmt.Errorf("%s follows %s:%s, link %s; want %s", n.name, f["master_host"], f["master_port"], f["master_link_status"], p.addr)
			}
		}
		return nil
	})
	return p
}

// whole waits until node is the primary and every sentinel knows all the others and
// could lead a failover.
func (s *set) whole(node int) {
	s.t.Helper()
	if p := s.primary(); p != s.nodes[node] {
		s.t.Fatalf("%s is the primary; want %s", p.name, s.nodes[node].name)
	}
	redistest.Eventually(s.t, within, func() error {
		for _, p := range s.sentinels {
			f := s.sentinelSays(p)
			if f["num-slaves"] != strconv.Itoa(len(s.nodes)-1) || f["num-other-sentinels"] != strconv.Itoa(len(s.sentinels)-1) || f["flags"] != "master" {
				return fmt.Errorf("%s says %v", p.name, f)
			}
		}
		return nil
	})
}

// everywhere waits until every server has so many keys.
func (s *set) everywhere(keys int64) {
	s.t.Helper()
	for _, n := range s.nodes {
		c := s.as("operator", n)
		redistest.Eventually(s.t, within, func() error {
			if got, err := c.DBSize(s.t.Context()).Result(); err != nil || got != keys {
				return fmt.Errorf("%s has %d keys, %v; want %d", n.name, got, err, keys)
			}
			return nil
		})
	}
}

// sentinelSays returns what a sentinel says of the primary.
func (s *set) sentinelSays(p *process) map[string]string {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), time.Second)
	defer cancel()
	c := redis.NewSentinelClient(s.options("operator", p))
	defer c.Close()
	f, _ := c.Master(ctx, master).Result()
	return f
}

// A process is one run after another of a start script.
type process struct {
	name, script, addr, data string
	env                      []string

	mu   sync.Mutex
	cmd  *exec.Cmd
	done chan struct{}
}

// start runs the script, which becomes the server.
func (p *process) start(t *testing.T) {
	t.Helper()
	p.mu.Lock()
	defer p.mu.Unlock()
	if err := os.MkdirAll(p.data, 0o700); err != nil {
		t.Fatal(err)
	}
	log, err := os.OpenFile(p.data+".log", os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	args := append(shell(), p.script)
	p.cmd = exec.Command(args[0], args[1:]...)
	p.cmd.Env = append(os.Environ(), p.env...)
	p.cmd.Stdout, p.cmd.Stderr = log, log
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	done, cmd := make(chan struct{}), p.cmd
	p.done = done
	go func() { // ends with the process, which kill ends
		_ = cmd.Wait()
		close(done)
	}()
}

// shell is what runs the scripts: SHELL_OF_SCRIPTS="busybox ash" tries another.
func shell() []string {
	if f := strings.Fields(os.Getenv("SHELL_OF_SCRIPTS")); len(f) > 0 {
		return f
	}
	return []string{"/bin/sh"}
}

// kill ends the process as kill -9 does.
func (p *process) kill(t *testing.T) {
	t.Helper()
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.cmd == nil {
		return
	}
	select {
	case <-p.done:
		return
	default:
	}
	if err := syscall.Kill(-p.cmd.Process.Pid, syscall.SIGKILL); err != nil && !errors.Is(err, syscall.ESRCH) {
		t.Errorf("kill %s: %v", p.name, err)
	}
	<-p.done
}

func (p *process) log() string {
	text, _ := os.ReadFile(p.data + ".log")
	return string(text)
}

func (p *process) logTail(n int) string {
	lines := strings.Split(strings.TrimSpace(p.log()), "\n")
	return strings.Join(lines[max(0, len(lines)-n):], "\n")
}

// run runs a script of this directory to its end.
func run(t *testing.T, env []string, args ...string) string {
	t.Helper()
	args = append(shell(), args...)
	c := exec.CommandContext(t.Context(), args[0], args[1:]...)
	c.Env = append(os.Environ(), env...)
	out, err := c.CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %v\n%s", args, err, out)
	}
	return string(out)
}

// healthy holds what the health script says of a process.
func healthy(t *testing.T, p *process, question string, want bool) {
	t.Helper()
	out, err := with(t, p.env, filepath.Join(filepath.Dir(p.script), "health.sh"), question)
	if (err == nil) != want {
		t.Errorf("%s %s: got %v, %s; want a good end: %v", p.name, question, err, out, want)
	}
}
