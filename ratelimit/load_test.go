package ratelimit

import (
	"os"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/transload/transload/internal/contract"
	"github.com/transload/transload/internal/redisproc"
	"github.com/transload/transload/internal/redistest"
	"github.com/transload/transload/topology"
)

// loadLimit is for one window that is longer than the test.
const loadLimit = 2000

var loadPolicies = []Policy{{Name: "hourly", Limit: loadLimit, Per: time.Hour}}

// TestLoad holds three instances under load to the bound of the package's comment,
// through all that a Redis goes through. `make load W=ratelimit` runs it.
func TestLoad(t *testing.T) {
	if os.Getenv("LOAD") == "" {
		t.Skip("a load: LOAD=1 runs it")
	}
	t.Run("migration and back", loadMigration)
	t.Run("failover, sentinel", func(t *testing.T) { loadFailover(t, redistest.Sentinel(t, redistest.Options{})) })
	t.Run("failover, cluster", func(t *testing.T) { loadFailover(t, redistest.Cluster(t, redistest.Options{})) })
	t.Run("restart with AOF", loadRestart)
}

// loadMigration moves a standalone server's counters to a Sentinel set, back, and
// there for good.
func loadMigration(t *testing.T) {
	m := contract.Begin(t, 3, contract.Config(t, redistest.Standalone(t, redistest.Options{})), contract.Config(t, redistest.Sentinel(t, redistest.Options{})))
	var members []redis.UniversalClient
	for _, c := range m.Members {
		members = append(members, c)
	}
	c := newCrowd(t, loadPolicies, members...)
	stop := c.run("subject ", 20, 5*time.Millisecond)
	m.Shadow(t)
	for _, percent := range []int{10, 50, 100} {
		m.Cutover(t, percent)
		time.Sleep(2 * time.Second)
	}
	m.Rollback(t)
	time.Sleep(2 * time.Second)
	m.Cutover(t, 100)
	m.Finish(t)
	c.exhaust()
	stop()
	c.judge(loadLimit)
	c.strict(loadLimit)
}

// exhaust goes on until every subject has had its limit.
func (c *crowd) exhaust() {
	c.t.Helper()
	redistest.Eventually(c.t, 5*time.Minute, func() error {
		time.Sleep(100 * time.Millisecond)
		c.mu.Lock()
		defer c.mu.Unlock()
		for subject, x := range c.tally {
			if x.granted < loadLimit {
				return errNotYet(subject)
			}
		}
		return nil
	})
	time.Sleep(2 * time.Second)
}

type errNotYet string

func (e errNotYet) Error() string { return string(e) + " has not had its limit" }

// strict wants more than the bound: a migration alone lets no more pass than what
// was decided without Redis.
func (c *crowd) strict(limit int) {
	c.t.Helper()
	over := 0
	for _, x := range c.tally {
		over += max(0, x.granted-limit)
	}
	c.t.Logf("%d units over the limits of all subjects, %d decisions without Redis", over, c.without.Load())
	if int64(over) > c.without.Load() {
		c.t.Errorf("got %d units over the limits; want no more than the %d decided without Redis", over, c.without.Load())
	}
}

// loadFailover kills a primary.
func loadFailover(t *testing.T, set *redisproc.Set) {
	cfg := contract.Config(t, set)
	var list []redis.UniversalClient
	for range 3 {
		c, err := topology.Open(cfg)
		must(t, err)
		t.Cleanup(func() { _ = c.Close() })
		list = append(list, c)
	}
	c := newCrowd(t, loadPolicies, list...)
	stop := c.run("subject ", 20, 5*time.Millisecond)
	time.Sleep(5 * time.Second)
	primaries := set.Primaries(t.Context())
	must(t, primaries[0].Kill())
	killed := time.Now()
	time.Sleep(10 * time.Second)
	c.asked()
	must(t, primaries[0].Restart(t.Context()))
	c.exhaust()
	stop()
	c.judge(loadLimit, killed)
	c.strict(loadLimit)
}

func loadRestart(t *testing.T) {
	server := redistest.Standalone(t, redistest.Options{Args: []string{"--appendonly", "yes"}}) // each second
	c := newCrowd(t, loadPolicies, clients(t, server, 3)...)
	stop := c.run("subject ", 20, 5*time.Millisecond)
	time.Sleep(5 * time.Second)
	must(t, server.Kill())
	killed := time.Now()
	time.Sleep(5 * time.Second)
	must(t, server.Restart(t.Context()))
	c.asked()
	c.exhaust()
	stop()
	c.judge(loadLimit, killed)
}
