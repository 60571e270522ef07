package chaos

import (
	"os"
	"testing"

	"go.uber.org/goleak"

	"github.com/transload/transload/internal/redistest"
)

func TestMain(m *testing.M) {
	if role := os.Getenv(roleVar); role != "" {
		os.Exit(play(role))
	}
	// After as many failed dials as PoolSize go-redis tries the address once a second
	// by itself, and notices only then that the client was closed.
	os.Exit(redistest.Main(m, goleak.IgnoreAnyFunction("github.com/redis/go-redis/v9/internal/pool.(*ConnPool).tryDial")))
}
