package topology_test

import (
	"os"
	"testing"

	"go.uber.org/goleak"

	"github.com/transload/transload/internal/redistest"
)

// After as many failed dials as PoolSize go-redis tries the address once a second
// by itself, and notices only then that the client was closed.
func TestMain(m *testing.M) {
	os.Exit(redistest.Main(m, goleak.IgnoreAnyFunction("github.com/redis/go-redis/v9/internal/pool.(*ConnPool).tryDial")))
}
