package crash

import (
	"flag"
	"fmt"
	"os"
	"testing"

	"go.uber.org/goleak"

	"github.com/transload/transload/internal/redistest"
	"github.com/transload/transload/topology"
)

// roleVar names what this binary is when a test starts it again: one process of
// the app, or the coordinator.
const roleVar = "TEST_CRASH_ROLE"

func TestMain(m *testing.M) {
	switch os.Getenv(roleVar) {
	case "member":
		os.Exit(beMember())
	case "coordinator":
		os.Exit(beCoordinator())
	}
	flag.Parse()
	// Rows wait out leases and locks more than they work, so many stand side by
	// side. In the long form each has servers of every mode.
	parallel := "24"
	if isLong() {
		parallel = "4"
	}
	if err := flag.Set("test.parallel", parallel); err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	// After as many failed dials as PoolSize go-redis tries the address once a second
	// by itself, and notices only then that the client was closed.
	os.Exit(redistest.Main(m, goleak.IgnoreAnyFunction("github.com/redis/go-redis/v9/internal/pool.(*ConnPool).tryDial")))
}

// sidesFromEnv finds both sides as an app does.
func sidesFromEnv() (source, target topology.Config, err error) {
	if source, err = topology.FromEnv("REDIS", os.Getenv); err != nil {
		return source, target, err
	}
	target, err = topology.FromEnv("REDIS_TARGET", os.Getenv)
	return source, target, err
}

// long leaves a test to LONG=1, which `make real` sets.
func long(t *testing.T) {
	t.Helper()
	if !isLong() {
		t.Skip("takes minutes; LONG=1 runs it")
	}
}

// isLong reports whether rows are to be repeated at every step and in every mode.
func isLong() bool { return os.Getenv("LONG") != "" }
