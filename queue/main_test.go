package queue

import (
	"os"
	"testing"

	"go.uber.org/goleak"

	"github.com/transload/transload/internal/redistest"
)

// go-redis tries an address by itself once a second when many dials have failed, and
// notices only then that the client was closed.
func TestMain(m *testing.M) {
	if role := os.Getenv(roleVar); role != "" { // a process of the load
		os.Exit(play(role))
	}
	os.Exit(redistest.Main(m, goleak.IgnoreAnyFunction("github.com/redis/go-redis/v9/internal/pool.(*ConnPool).tryDial")))
}
