package main

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/transload/transload/examples/freight/app"
	"github.com/transload/transload/internal/redistest"
)

// mainVar makes the test's binary the app itself, so that tests run it as processes.
const mainVar = "FREIGHT_MAIN"

func TestMain(m *testing.M) {
	if os.Getenv(mainVar) != "" {
		main()
		return
	}
	// go-redis tries an address by itself once a second when many dials have failed, and
	// notices only then that the client was closed.
	os.Exit(redistest.Main(m, goleak.IgnoreAnyFunction("github.com/redis/go-redis/v9/internal/pool.(*ConnPool).tryDial"),
		goleak.IgnoreAnyFunction("net/http.(*persistConn).readLoop"), goleak.IgnoreAnyFunction("net/http.(*persistConn).writeLoop")))
}

// within is how long anything may take on a busy machine.
const within = time.Minute

// An instance is one process of the app.
type instance struct {
	t         testing.TB
	users     string // its URL for them
	engineers string
	env       map[string]string
	stop      func() error // as a deployment does it
}

// settingsOf are those of an app of so many demo users. More of them win.
func settingsOf(t testing.TB, demo int, more ...map[string]string) map[string]string {
	env := map[string]string{
		"DATABASE_URL": "sqlite:" + filepath.Join(t.TempDir(), "freight.db"),
		"SESSION_KEYS": base64.StdEncoding.EncodeToString(bytes.Repeat([]byte{7}, 32)),
		"FREIGHT_DEMO": fmt.Sprint(demo),
	}
	for _, m := range more {
		maps.Copy(env, m)
	}
	return env
}

// free is an address that nobody listens on at the moment.
func free(t testing.TB) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// begin has the app started, by one of inside and process, at the addresses of env or at
// free ones, and waits until it answers.
func begin(t testing.TB, start func(*instance, *logs), env map[string]string) *instance {
	t.Helper()
	env = maps.Clone(env)
	for _, name := range []string{"FREIGHT_ADDR", "FREIGHT_ADMIN"} {
		if env[name] == "" {
			env[name] = free(t)
		}
	}
	i := &instance{t: t, env: env, users: "http://" + env["FREIGHT_ADDR"], engineers: "http://" + env["FREIGHT_ADMIN"]}
	log := &logs{}
	start(i, log)
	i.stop = sync.OnceValue(i.stop)
	t.Cleanup(func() {
		if err := i.stop(); err != nil {
			t.Errorf("the app ended with %v", err)
		}
		if t.Failed() {
			t.Logf("%s:\n%s", i.users, log.tail())
		}
	})
	redistest.Eventually(t, within, func() error {
		status, _, err := fetch(i.users+"/readyz", nil)
		if err == nil && status != http.StatusOK {
			err = fmt.Errorf("status %d", status)
		}
		return err
	})
	return i
}

// inside runs the app in this process.
func inside(i *instance, log *logs) {
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- run(ctx, nil, redistest.Getenv(i.env), log, log) }()
	i.stop = func() error { cancel(); return <-ended }
}

// process runs it as one of its own.
func process(i *instance, log *logs) {
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), mainVar+"=1")
	for name, value := range i.env {
		cmd.Env = append(cmd.Env, name+"="+value)
	}
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	i.start(cmd, log)
}

func (i *instance) start(cmd *exec.Cmd, log *logs) {
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		i.t.Fatal(err)
	}
	i.stop = func() error {
		if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
			return err
		}
		return cmd.Wait()
	}
}

// end stops it before the test is over.
func (i *instance) end() {
	i.t.Helper()
	if err := i.stop(); err != nil {
		i.t.Errorf("%s ended with %v", i.users, err)
	}
}

// in is nil once its status page has a phase.
func (i *instance) in(phase string) error {
	if s, err := i.status(); err != nil || s.Phase != phase {
		return fmt.Errorf("%s is in phase %q, %v; want %s", i.users, s.Phase, err, phase)
	}
	return nil
}

// lost waits until its status page tells of all workloads that they are degraded.
func (i *instance) lost() {
	i.t.Helper()
	redistest.Eventually(i.t, within, func() error {
		s, err := i.status()
		if err != nil || len(degraded(s)) != 5 {
			return fmt.Errorf("degraded are %v, %v; want all five", degraded(s), err)
		}
		return nil
	})
}

// status is what its engineers see.
func (i *instance) status() (s app.Status, err error) {
	code, body, err := fetch(i.engineers+"/status.json", nil)
	if err == nil && code != http.StatusOK {
		err = fmt.Errorf("status %d", code)
	}
	if err == nil {
		err = json.Unmarshal(body, &s)
	}
	return s, err
}

// degraded names the workloads that are.
func degraded(s app.Status) (names []string) {
	for _, w := range s.Workloads {
		if w.Degraded {
			names = append(names, w.Name)
		}
	}
	return names
}

// well waits until a status says that all is well.
func (i *instance) well(limit time.Duration) {
	i.t.Helper()
	redistest.Eventually(i.t, limit, func() error {
		s, err := i.status()
		if err != nil {
			return err
		}
		if bad := degraded(s); bad != nil || len(s.Workloads) != 5 {
			return fmt.Errorf("of %d workloads %v are degraded", len(s.Workloads), bad)
		}
		return nil
	})
}

// probed runs freight probe, again if a busy machine was late, and returns what it
// prints.
func (i *instance) probed() string {
	i.t.Helper()
	var out bytes.Buffer
	redistest.Eventually(i.t, within, func() error {
		out.Reset()
		err := run(i.t.Context(), []string{"probe", i.engineers}, nil, &out, &out)
		if err != nil {
			err = fmt.Errorf("freight probe: %w\n%s", err, out.Bytes())
		}
		return err
	})
	return out.String()
}

// plainly is a client without connections that outlive a test.
var plainly = &http.Client{Timeout: 30 * time.Second, Transport: &http.Transport{DisableKeepAlives: true},
	CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}

func fetch(url string, head http.Header) (status int, body []byte, err error) {
	r, err := http.NewRequest(http.MethodGet, url, nil)
	if err != nil {
		return 0, nil, err
	}
	if head != nil {
		r.Header = head
	}
	resp, err := plainly.Do(r)
	if err != nil {
		return 0, nil, err
	}
	defer resp.Body.Close()
	var b bytes.Buffer
	_, err = b.ReadFrom(resp.Body)
	return resp.StatusCode, b.Bytes(), err
}

// logs keep what an app has said.
type logs struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *logs) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(b)
}

func (l *logs) tail() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	lines := strings.Split(strings.TrimSpace(l.text.String()), "\n")
	return strings.Join(lines[max(0, len(lines)-40):], "\n")
}
