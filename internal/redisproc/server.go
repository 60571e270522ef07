package redisproc

import (
	"context"
	"errors"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
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
	if o.Unix && o.TLS {
		return nil, errors.New("redisproc: a Unix socket has no TLS")
	}
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

// tail returns the last n lines of s.
func tail(s string, n int) string {
	lines := strings.Split(strings.TrimRight(s, "\n"), "\n")
	return strings.Join(lines[max(0, len(lines)-n):], "\n")
}
