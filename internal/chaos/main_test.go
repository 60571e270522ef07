package chaos

import (
	"flag"
	"fmt"
	"os"
	"testing"

	"go.uber.org/goleak"

	"github.com/transload/transload/internal/redistest"
)

func TestMain(m *testing.M) {
	if role := os.Getenv(roleVar); role != "" {
		os.Exit(play(role))
	}
	flag.Parse()
	// Runs wait more than they work.
	if err := flag.Set("test.parallel", "4"); err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	// After as many failed dials as PoolSize go-redis tries the address once a second
	// by itself, and notices only then that the client was closed.
	os.Exit(redistest.Main(m, goleak.IgnoreAnyFunction("github.com/redis/go-redis/v9/internal/pool.(*ConnPool).tryDial")))
}
