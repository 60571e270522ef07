package redisproc

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"
)

// A Server is one redis-server process. Its methods are safe for concurrent use.
type Server struct {
	opts     Options
	home     *workdir // of a standalone server; nil for one of a set, whose directory is the set's
	certs    *Certs   // nil without TLS
	dir      string
	port     int
	sentinel bool
	password string
	args     []string

	mu   sync.Mutex
	cmd  *exec.Cmd     // of the latest start
	done chan struct{} // closed when cmd has ended
}

// Standalone starts one server.
func Standalone(ctx context.Context, o Options) (*Server, error) {
	o, err := o.withDefaults(0)
	if err != nil {
		return nil, err
	}
	return retryPorts(ctx, func() (*Server, error) { return standalone(ctx, o) })
}

// retryPorts runs start again for as long as a port was snatched away.
func retryPorts[T any](ctx context.Context, start func() (T, error)) (T, error) {
	for {
		v, err := start()
		if !errors.Is(err, errPortTaken) || ctx.Err() != nil {
			return v, err
		}
	}
}

func standalone(ctx context.Context, o Options) (_ *Server, err error) {
	home, err := newWorkdir()
	if err != nil {
		return nil, err
	}
	s := &Server{opts: o, home: home, dir: home.path, password: o.Password}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.Close())
		}
	}()
	if o.TLS {
		if s.certs, err = newCerts(home.path); err != nil {
			return nil, err
		}
	}
	if !o.Unix {
		ports, err := takePorts(1)
		if err != nil {
			return nil, err
		}
		s.port = ports[0]
	}
	if err := s.configure(ctx, nil); err != nil {
		return nil, err
	}
	if err := s.start(ctx); err != nil {
		return nil, err
	}
	return s, nil
}

// Addr returns the server's address: host and port, or the path of its socket if
// it has no port.
func (s *Server) Addr() string {
	if s.port == 0 {
		return s.Socket()
	}
	return hostPort(s.port)
}

// Network returns the network of Addr, "tcp" or "unix".
func (s *Server) Network() string {
	if s.port == 0 {
		return "unix"
	}
	return "tcp"
}

// Socket returns the path of the server's Unix socket. Every server has one; it
// never speaks TLS.
func (s *Server) Socket() string { return filepath.Join(s.dir, "s") }

// Dir returns the server's working directory.
func (s *Server) Dir() string { return s.dir }

// Certs returns the files of the server's CA and certificates, or nil without TLS.
func (s *Server) Certs() *Certs { return s.certs }

// PID returns the id of the latest process.
func (s *Server) PID() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.cmd.Process.Pid
}

// Log returns what the server has logged in its whole life.
func (s *Server) Log() string {
	b, _ := os.ReadFile(filepath.Join(s.dir, "log"))
	return string(b)
}

// LogTail returns the last n lines of Log.
func (s *Server) LogTail(n int) string { return tail(s.Log(), n) }

// Password returns the password that the server asks for, or "".
func (s *Server) Password() string { return s.password }

// Env returns the variables, begun with prefix ("REDIS"), by which an app finds
// this server.
func (s *Server) Env(prefix string) map[string]string {
	env := map[string]string{}
	switch {
	case s.port == 0:
		env[prefix+"_URL"] = "unix://" + s.Socket()
	case s.opts.TLS:
		env[prefix+"_URL"] = "rediss://" + s.Addr()
	default:
		env[prefix+"_URL"] = "redis://" + s.Addr()
	}
	commonEnv(env, prefix, s.opts, s.certs)
	return env
}

func commonEnv(env map[string]string, prefix string, o Options, certs *Certs) {
	set := func(name, value string) {
		if value != "" {
			env[prefix+name] = value
		}
	}
	set("_USERNAME", o.Username)
	set("_PASSWORD", o.Password)
	if certs == nil {
		return
	}
	set("_TLS", "true")
	set("_TLS_CA", certs.CA)
	if o.ClientCerts {
		set("_TLS_CERT", certs.Cert)
		set("_TLS_KEY", certs.Key)
	}
}

// Dial opens a raw connection over the Unix socket and logs in if there is a
// password.
func (s *Server) Dial(ctx context.Context) (*Conn, error) {
	var d net.Dialer
	nc, err := d.DialContext(ctx, "unix", s.Socket())
	if err != nil {
		return nil, err
	}
	c := NewConn(nc)
	if s.password != "" {
		if _, err := c.Do(ctx, "AUTH", s.password); err != nil {
			_ = c.Close()
			return nil, err
		}
	}
	return c, nil
}

// Do sends one command over a connection of its own.
func (s *Server) Do(ctx context.Context, args ...string) (any, error) {
	c, err := s.Dial(ctx)
	if err != nil {
		return nil, err
	}
	defer c.Close()
	return c.Do(ctx, args...)
}

// Kill ends the process as kill -9 does, and returns when it is gone. Restart
// brings it back.
func (s *Server) Kill() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.killLocked()
}

func (s *Server) killLocked() error {
	if s.cmd == nil {
		return nil
	}
	select {
	case <-s.done:
		return nil // its id may be another's by now
	default:
	}
	if err := killGroup(s.cmd.Process.Pid); err != nil {
		return fmt.Errorf("redisproc: kill %d: %w", s.cmd.Process.Pid, err)
	}
	<-s.done
	return nil
}

// Freeze stops the process as kill -STOP does: its connections stay open, the
// kernel goes on taking bytes for it, and nothing is answered until Thaw.
func (s *Server) Freeze() error { return s.signal("freeze", freezeGroup) }

// Thaw lets a frozen process go on.
func (s *Server) Thaw() error { return s.signal("thaw", thawGroup) }

func (s *Server) signal(verb string, send func(pid int) error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	select {
	case <-s.done:
		return fmt.Errorf("redisproc: %s %d: %w", verb, s.cmd.Process.Pid, os.ErrProcessDone)
	default:
	}
	if err := send(s.cmd.Process.Pid); err != nil {
		return fmt.Errorf("redisproc: %s %d: %w", verb, s.cmd.Process.Pid, err)
	}
	return nil
}

// Restart kills the process if it still runs and starts it anew: same port, same
// directory, same settings. What it had only in memory is gone.
func (s *Server) Restart(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.killLocked(); err != nil {
		return err
	}
	return s.startLocked(ctx)
}

// Alive reports whether the process runs; a frozen one does.
func (s *Server) Alive() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	select {
	case <-s.done:
		return false
	default:
		return true
	}
}

// Close ends the process and, for a standalone server, removes its directory. It
// may be called twice.
func (s *Server) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	err := s.killLocked()
	if s.home != nil {
		err = errors.Join(err, s.home.remove())
		releasePorts([]int{s.port})
	}
	return err
}

func (s *Server) start(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.startLocked(ctx)
}

// startLocked starts the process and waits until it answers.
func (s *Server) startLocked(ctx context.Context) error {
	log, err := os.OpenFile(filepath.Join(s.dir, "log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("redisproc: start: %w", err)
	}
	defer log.Close()
	began, err := log.Seek(0, 2)
	if err != nil {
		return fmt.Errorf("redisproc: start: %w", err)
	}
	_ = os.Remove(s.Socket()) // a killed server leaves its socket behind
	cmd := exec.Command(s.opts.Binary, s.args...)
	cmd.Dir, cmd.Stdout, cmd.Stderr, cmd.SysProcAttr = s.dir, log, log, sysProcAttr()
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("redisproc: start: %w", err)
	}
	done := make(chan struct{})
	s.cmd, s.done = cmd, done
	go func() { // ends with the process, which Close ends
		_ = cmd.Wait()
		close(done)
	}()
	err = s.waitReady(ctx)
	if err == nil {
		return nil
	}
	said := s.Log()[began:]
	_ = s.killLocked()
	if strings.Contains(said, "Failed listening on port") {
		return errPortTaken
	}
	return fmt.Errorf("redisproc: start %s: %w; its log ends:\n%s", filepath.Base(s.opts.Binary), err, tail(said, 15))
}

func (s *Server) waitReady(ctx context.Context) error {
	return poll(ctx, time.Millisecond, func() error {
		select {
		case <-s.done:
			return permanent{errors.New("the process ended")}
		default:
		}
		_, err := s.Do(ctx, "PING")
		return err
	})
}

// configure writes the server's settings. A file and not arguments, so that
// CONFIG REWRITE works: Sentinels use it to make a failover survive a restart.
func (s *Server) configure(ctx context.Context, extra []string) error {
	v, err := version(ctx, s.opts.Binary)
	if err != nil {
		return err
	}
	lines := []string{
		"bind 127.0.0.1", "daemonize no", "unixsocket " + s.Socket(), "dir " + s.dir,
		"save \"\"", "appendonly no",
	}
	if s.certs != nil {
		lines = append(lines, s.certs.settings(s.port, s.opts.ClientCerts)...)
	} else {
		lines = append(lines, "port "+strconv.Itoa(s.port))
	}
	if s.password != "" {
		lines = append(lines, "requirepass "+s.password)
	}
	if !s.sentinel {
		// Over a pipe a replica counts as online only at its second report, which
		// comes a second later; over a file it does at once.
		lines = append(lines, "repl-diskless-sync no")
		if s.password != "" {
			lines = append(lines, "masterauth "+s.password)
		}
		if v[0] >= 7 {
			lines = append(lines, "enable-debug-command yes", "enable-protected-configs yes")
		}
		if s.opts.Username != "" {
			lines = append(lines, "user "+s.opts.Username+" on >"+s.opts.Password+" ~* &* +@all")
		}
	}
	lines = append(lines, extra...)
	conf := filepath.Join(s.dir, "redis.conf")
	if err := os.WriteFile(conf, []byte(strings.Join(lines, "\n")+"\n"), 0o600); err != nil {
		return fmt.Errorf("redisproc: write settings: %w", err)
	}
	s.args = []string{conf}
	if s.sentinel {
		s.args = append(append(s.args, "--sentinel"), s.opts.SentinelArgs...)
	} else {
		s.args = append(s.args, s.opts.Args...)
	}
	return nil
}

// tail returns the last n lines of s.
func tail(s string, n int) string {
	lines := strings.Split(strings.TrimRight(s, "\n"), "\n")
	return strings.Join(lines[max(0, len(lines)-n):], "\n")
}
