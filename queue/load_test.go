package queue

import (
	"fmt"
	"os"
	"strconv"
	"testing"
	"time"

	"github.com/transload/transload/internal/contract"
	"github.com/transload/transload/internal/protocol"
	"github.com/transload/transload/internal/redisproc"
	"github.com/transload/transload/internal/redistest"
)

// loadJobs is how many jobs a scenario has. LOAD_JOBS makes it another number.
const loadJobs = 100_000

// spread is over how long the producers enqueue them at least, so that what happens,
// happens while they and the workers are at work.
const spread = 30 * time.Second

// loadHold bounds the holds of these moves: well below asynq's lease, and long for a
// machine that runs another load beside this one.
const loadHold = 8 * time.Second

// TestLoad has jobs live through all that a Redis and its workers go through, by us
// and by asynq alone. `make load W=queue` runs it.
func TestLoad(t *testing.T) {
	if os.Getenv("LOAD") == "" {
		t.Skip("a load: LOAD=1 runs it")
	}
	for _, x := range []struct {
		name  string
		event func(t *testing.T, kind string)
	}{
		{"migration and back, sentinel", func(t *testing.T, kind string) {
			loadMigration(t, kind, redistest.Sentinel(t, redistest.Options{}), backlog)
		}},
		{"migration and back, cluster", func(t *testing.T, kind string) {
			loadMigration(t, kind, redistest.Cluster(t, redistest.Options{}), backlog)
		}},
		{"migration and back with a backlog, sentinel", func(t *testing.T, kind string) {
			loadMigration(t, kind, redistest.Sentinel(t, redistest.Options{}), 4*backlog)
		}},
		{"kill -9 of the primary, sentinel", func(t *testing.T, kind string) {
			loadPrimary(t, kind, redistest.Sentinel(t, redistest.Options{}), killed)
		}},
		{"kill -9 of the primary, cluster", func(t *testing.T, kind string) {
			loadPrimary(t, kind, redistest.Cluster(t, redistest.Options{}), killed)
		}},
		{"SIGSTOP of the primary for 8s, sentinel", func(t *testing.T, kind string) {
			loadPrimary(t, kind, redistest.Sentinel(t, redistest.Options{}), frozen)
		}},
		{"SIGSTOP of the primary for 8s, standalone", loadFrozen},
		{"kill -9 of a worker", loadWorker},
		{"kill of the coordinator mid-flip", loadCoordinator},
	} {
		for _, kind := range []string{"worker", "asynq"} {
			t.Run(x.name+"/"+map[string]string{"worker": "ours", "asynq": "asynq alone"}[kind], func(t *testing.T) {
				t.Parallel() // asynq's minutes are spent waiting
				x.event(t, kind)
			})
		}
	}
}

func jobsOfLoad() int {
	if n, err := strconv.Atoi(os.Getenv("LOAD_JOBS")); err == nil {
		return n
	}
	return loadJobs
}

// loadMigration moves a standalone server's queue to a set, back, and there for good.
func loadMigration(t *testing.T, kind string, target *redisproc.Set, most int) {
	source := redistest.Standalone(t, redistest.Options{})
	m := contract.Begin(t, 3, contract.Config(t, source), contract.Config(t, target))
	m.Hold = loadHold
	f := newFleet(t, kind, universal(m.Members), source.Env("REDIS"), target.Env("REDIS_TARGET"))
	f.most = most
	f.begin()
	f.strikes(0.1, "shadow", func() { m.Shadow(t) })
	f.strikes(0.2, "cutover", func() { m.Cutover(t, 100) })
	f.strikes(0.4, "rollback", func() { m.Rollback(t) })
	f.strikes(0.6, "cutover", func() { m.Cutover(t, 100) })
	f.strikes(0.8, "finish", func() { m.Finish(t) })
	f.judge(false)
}

// loadPrimary hurts a primary, of a cluster the one that has the queue.
func loadPrimary(t *testing.T, kind string, set *redisproc.Set, hurt func(*testing.T, *redisproc.Server)) {
	f := newFleet(t, kind, opened(t, set), set.Env("REDIS"))
	f.opts = []Option{Replicated()}
	f.begin()
	f.strikes(0.3, "the primary", func() { hurt(t, ownerOf(t, set)) })
	f.judge(true)
}

// loadFrozen has nobody who could be promoted.
func loadFrozen(t *testing.T, kind string) {
	s := redistest.Standalone(t, redistest.Options{})
	f := newFleet(t, kind, opened(t, s), s.Env("REDIS"))
	f.opts = []Option{Retain(time.Minute)} // what is enqueued again after the outage is found, though it was run
	f.begin()
	f.strikes(0.3, "SIGSTOP", func() { frozen(t, s) })
	f.judge(false)
}

// killed kills a server, and starts it again when another one has its place.
func killed(t *testing.T, s *redisproc.Server) {
	must(t, s.Kill())
	time.Sleep(15 * time.Second)
	must(t, s.Restart(t.Context()))
}

// frozen stops a server for 8s.
func frozen(t *testing.T, s *redisproc.Server) {
	must(t, s.Freeze())
	time.Sleep(8 * time.Second)
	must(t, s.Thaw())
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func loadWorker(t *testing.T, kind string) {
	s := redistest.Standalone(t, redistest.Options{})
	f := newFleet(t, kind, opened(t, s), s.Env("REDIS"))
	f.begin()
	f.strikes(0.3, "kill -9", f.workers[0].kill) // while it runs what it has begun
	f.judge(false)
}

// loadCoordinator kills a coordinator's process while it holds the queue, and has
// another one carry on.
func loadCoordinator(t *testing.T, kind string) {
	source, target := redistest.Standalone(t, redistest.Options{}), redistest.Standalone(t, redistest.Options{})
	m := contract.Begin(t, 3, contract.Config(t, source), contract.Config(t, target))
	m.Hold = loadHold
	f := newFleet(t, kind, universal(m.Members), source.Env("REDIS"), target.Env("REDIS_TARGET"))
	f.begin()
	f.strikes(0.1, "shadow", func() { m.Shadow(t) })
	c := redistest.Client(t, source)
	f.strikes(0.2, "the coordinator", func() {
		p := startRole(t, "coordinator", source.Env("REDIS"), target.Env("REDIS_TARGET"))
		eventually(t, func() error {
			text, _ := c.Get(t.Context(), "transload:{default}:control").Result()
			rec, _ := protocol.Decode(text)
			if rec.Move == nil || rec.Move.Stage != protocol.Held {
				return fmt.Errorf("the source holds nothing yet: %+v", rec.Move)
			}
			p.kill()
			return nil
		})
	})
	f.strikes(0.4, "another coordinator", func() { m.Cutover(t, 100) })
	f.strikes(0.8, "finish", func() { m.Finish(t) })
	f.judge(false)
}
