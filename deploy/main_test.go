package deploy

import (
	"os"
	"testing"

	"go.uber.org/goleak"

	"github.com/transload/transload/internal/redistest"
)

func TestMain(m *testing.M) {
	os.Exit(redistest.Main(m, goleak.IgnoreAnyFunction("github.com/redis/go-redis/v9/internal/pool.(*ConnPool).tryDial")))
}
