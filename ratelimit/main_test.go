package ratelimit

import (
	"os"
	"testing"

	"go.uber.org/goleak"

	"github.com/transload/transload/internal/redistest"
)

func TestMain(m *testing.M) {
	// go-redis tries a dead server again in the background, until it answers or the
	// client is closed and the pause is over.
	os.Exit(redistest.Main(m, goleak.IgnoreAnyFunction("github.com/redis/go-redis/v9/internal/pool.(*ConnPool).tryDial")))
}
