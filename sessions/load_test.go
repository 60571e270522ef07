package sessions

import (
	"os"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/transload/transload/internal/contract"
	"github.com/transload/transload/internal/redisproc"
	"github.com/transload/transload/internal/redistest"
)

const (
	// riders is how many sessions live before anything happens.
	riders = 10_000

	// lag is how old the oldest login may be that a failover loses: replicas on the
	// loopback are some milliseconds behind, and on a busy machine more.
	lag = time.Second

	// aofLag is the same for an append-only file that is synced each second: Redis
	// writes it at once, so that only the machine's death loses anything; two seconds
	// is what Redis says.
	aofLag = 2 * time.Second

	// pause is how long the load runs between two events.
	pause = 3 * time.Second
)

// TestLoad has sessions live through all that a Redis goes through. `make load
// W=sessions` runs it.
func TestLoad(t *testing.T) {
	if os.Getenv("LOAD") == "" {
		t.Skip("a load: LOAD=1 runs it")
	}
	t.Run("migration and back", loadMigration)
	t.Run("failover, sentinel", func(t *testing.T) { loadFailover(t, redistest.Sentinel(t, redistest.Options{})) })
	t.Run("failover, cluster", func(t *testing.T) { loadFailover(t, redistest.Cluster(t, redistest.Options{})) })
	t.Run("restart with AOF", loadRestart)
}

// loadMigration moves a standalone server's sessions to a Sentinel set, back, and
// there for good. Nothing may be lost, neither a session nor a save.
func loadMigration(t *testing.T) {
	m := contract.Begin(t, 3, contract.Config(t, redistest.Standalone(t, redistest.Options{})), contract.Config(t, redistest.Sentinel(t, redistest.Options{})))
	var members []redis.UniversalClient
	for _, c := range m.Members {
		members = append(members, c)
	}
	c := newCrowd(t, members...)
	stop := c.ride()
	m.Shadow(t)
	for _, percent := range []int{10, 50, 100} {
		m.Cutover(t, percent)
		time.Sleep(pause)
	}
	m.Rollback(t)
	time.Sleep(pause)
	m.Cutover(t, 100)
	m.Finish(t)
	time.Sleep(pause)
	stop()
	c.judge(verdict{})
}

// loadFailover kills a primary, of a cluster one of three.
func loadFailover(t *testing.T, set *redisproc.Set) {
	c := newCrowd(t, open(t, set), open(t, set), open(t, set))
	stop := c.ride()
	time.Sleep(pause)
	primary := set.Primaries(t.Context())[0]
	killed := c.kill(primary)
	time.Sleep(5 * pause)
	if err := primary.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	time.Sleep(pause)
	stop()
	c.judge(verdict{killed: killed, lag: lag})
}

func loadRestart(t *testing.T) {
	s := redistest.Standalone(t, redistest.Options{Args: []string{"--appendonly", "yes"}}) // synced each second
	c := newCrowd(t, open(t, s), open(t, s), open(t, s))
	stop := c.ride()
	time.Sleep(pause)
	killed := c.kill(s)
	time.Sleep(pause)
	if err := s.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	time.Sleep(pause)
	stop()
	c.judge(verdict{killed: killed, lag: aofLag})
}
