package redistest

import (
	"context"
	"flag"
	"fmt"
	"os"
	"sync"
	"testing"

	"go.uber.org/goleak"

	"github.com/transload/transload/internal/redisproc"
)

// Main runs a package's tests, ends what they shared, and looks for goroutines
// that were left behind. It returns the exit code for TestMain. Packages that call
// it run one at a time on one machine, unless -short leaves their servers out.
func Main(m *testing.M, opts ...goleak.Option) int {
	if !flag.Parsed() { // for Short; a TestMain that has set flags has parsed them
		flag.Parse()
	}
	if !testing.Short() {
		if err := alone(); err != nil {
			fmt.Fprintln(os.Stderr, "redistest:", err)
			return 1
		}
	}
	code := m.Run()
	for _, c := range []closer{&sharedStandalone, &sharedSentinel, &sharedCluster} {
		if err := c.Close(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = max(code, 1)
		}
	}
	if code != 0 {
		return code // the failure is the news; its goroutines are not
	}
	if err := goleak.Find(opts...); err != nil {
		fmt.Fprintln(os.Stderr, "goleak:", err)
		return 1
	}
	return 0
}

var (
	sharedStandalone = shared[*redisproc.Server]{run: redisproc.Standalone}
	sharedSentinel   = shared[*redisproc.Set]{run: redisproc.Sentinel}
	sharedCluster    = shared[*redisproc.Set]{run: redisproc.Cluster}
)

// SharedStandalone returns the package's one server, started at the first call.
// Tests that share it keep apart by key prefixes, and kill nothing. The package's
// TestMain must call Main.
func SharedStandalone(tb testing.TB) *redisproc.Server {
	tb.Helper()
	return sharedStandalone.get(tb)
}

// SharedSentinel does the same for a Sentinel set.
func SharedSentinel(tb testing.TB) *redisproc.Set {
	tb.Helper()
	return sharedSentinel.get(tb)
}

// SharedCluster does the same for a Cluster.
func SharedCluster(tb testing.TB) *redisproc.Set {
	tb.Helper()
	return sharedCluster.get(tb)
}

// shared starts something once, for as long as the package's tests run.
type shared[T closer] struct {
	run func(context.Context, Options) (T, error)

	mu      sync.Mutex
	started bool
	v       T
}

func (s *shared[T]) get(tb testing.TB) T {
	tb.Helper()
	if testing.Short() {
		tb.Skip("needs a redis-server: left out by -short")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.started {
		return s.v
	}
	ctx, cancel := context.WithTimeout(tb.Context(), startLimit)
	defer cancel()
	v, err := s.run(ctx, Options{})
	if err != nil {
		tb.Fatal(err)
	}
	s.v, s.started = v, true
	return v
}

func (s *shared[T]) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.started {
		return nil
	}
	s.started = false
	return s.v.Close()
}
