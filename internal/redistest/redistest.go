package redistest

import (
	"context"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/transload/transload/internal/redisproc"
)

// Options say what to start; see redisproc.Options.
type Options = redisproc.Options

// startLimit bounds a start: it takes a fraction of a second, but not on a
// machine that runs something else as well.
const startLimit = 60 * time.Second

// Standalone starts a server that ends with the test.
func Standalone(tb testing.TB, o Options) *redisproc.Server {
	tb.Helper()
	s := start(tb, o, redisproc.Standalone)
	logOnFailure(tb, s)
	return s
}

// Sentinel starts a primary, two replicas and three Sentinels, which end with the
// test.
func Sentinel(tb testing.TB, o Options) *redisproc.Set {
	tb.Helper()
	s := start(tb, o, redisproc.Sentinel)
	logOnFailure(tb, s.Servers()...)
	return s
}

// Cluster starts three primaries with a replica each, which end with the test.
func Cluster(tb testing.TB, o Options) *redisproc.Set {
	tb.Helper()
	s := start(tb, o, redisproc.Cluster)
	logOnFailure(tb, s.Servers()...)
	return s
}

// Getenv makes a getenv function of a map.
func Getenv(env map[string]string) func(string) string {
	return func(name string) string { return env[name] }
}

// Merge joins the variables of several servers, for Getenv.
func Merge(envs ...map[string]string) map[string]string {
	all := map[string]string{}
	for _, env := range envs {
		for name, value := range env {
			all[name] = value
		}
	}
	return all
}

// Client returns a plain client of one server, over its Unix socket, with
// go-redis's own retries off; it ends with the test.
func Client(tb testing.TB, s *redisproc.Server, change ...func(*redis.Options)) *redis.Client {
	tb.Helper()
	o := &redis.Options{Network: "unix", Addr: s.Socket(), Password: s.Password(), MaxRetries: -1, DisableIdentity: true}
	for _, f := range change {
		f(o)
	}
	c := redis.NewClient(o)
	tb.Cleanup(func() { _ = c.Close() })
	return c
}

// Conn returns a raw connection to a server, which ends with the test.
func Conn(tb testing.TB, s *redisproc.Server) *redisproc.Conn {
	tb.Helper()
	c, err := s.Dial(tb.Context())
	if err != nil {
		tb.Fatalf("dial %s: %v", s.Addr(), err)
	}
	tb.Cleanup(func() { _ = c.Close() })
	return c
}

// Do sends one command to a server and returns the reply.
func Do(tb testing.TB, s *redisproc.Server, args ...string) any {
	tb.Helper()
	v, err := s.Do(tb.Context(), args...)
	if err != nil {
		tb.Fatalf("%s: %v: %v", s.Addr(), args, err)
	}
	return v
}

// Eventually calls f until it returns nil, and fails the test with f's last error
// when limit is over. It asks often at first, and then forty times a second: what
// is asked takes its time from what is waited for.
func Eventually(tb testing.TB, limit time.Duration, f func() error) {
	tb.Helper()
	deadline := time.Now().Add(limit)
	for wait := time.Millisecond; ; time.Sleep(wait) {
		err := f()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			tb.Fatalf("not within %v: %v", limit, err)
		}
		wait = min(wait*5/4, 25*time.Millisecond)
	}
}

type closer interface{ Close() error }

// start runs one of redisproc's starts and has its result end with the test.
func start[T closer](tb testing.TB, o Options, run func(context.Context, Options) (T, error)) T {
	tb.Helper()
	if testing.Short() {
		tb.Skip("needs a redis-server: left out by -short")
	}
	ctx, cancel := context.WithTimeout(tb.Context(), startLimit)
	defer cancel()
	v, err := run(ctx, o)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := v.Close(); err != nil {
			tb.Errorf("close: %v", err)
		}
	})
	return v
}

// logOnFailure prints the end of the servers' logs if the test fails. It runs
// before the clean-up that removes them.
func logOnFailure(tb testing.TB, servers ...*redisproc.Server) {
	tb.Cleanup(func() {
		if !tb.Failed() {
			return
		}
		for _, s := range servers {
			tb.Logf("log of %s ends:\n%s", s.Addr(), s.LogTail(10))
		}
	})
}
