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

// long leaves a test to make deploy-check, for it takes up to half a minute of two busy
// cores.
func long(t *testing.T) {
	t.Helper()
	if os.Getenv("DEPLOY") == "" {
		t.Skip("left out: make deploy-check runs it")
	}
}
