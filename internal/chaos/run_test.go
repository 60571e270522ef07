package chaos

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/transload/transload/internal/history"
	"github.com/transload/transload/internal/protocol"
	"github.com/transload/transload/internal/redisproc"
	"github.com/transload/transload/internal/redistest"
	"github.com/transload/transload/migrate/coordinator"
	"github.com/transload/transload/topology"
)

// runWithin bounds a run.
const runWithin = 4 * time.Minute

// A run is one migration with its faults.
type run struct {
	t      *testing.T
	ctx    context.Context
	plan   plan
	rate   int // operations a second of each member
	dir    string
	began  time.Time
	result result

	source  *redisproc.Server
	target  *redisproc.Set
	plainTo *redisproc.Server // in mode standalone, in place of target
	shards  int
	witness *witness
	env     map[string]string
	wires   []*wires // of each member, and of whoever coordinates
	looker  *coordinator.Coordinator

	due      []int // steps that were left out and whose strikes are still to come
	returned int64 // when the rollback was seen to be over
	struck   sync.WaitGroup
	servers  sync.Mutex // one server is struck at a time

	mu      sync.Mutex
	members []*process
	names   []string // of all processes of members that ever were
	shadow  *process
	verb    *process
	lines   []string
}

// carryOut makes a plan's run. It fails the test if the run does not pass.
func carryOut(t *testing.T, p plan, rate int) result {
	t.Helper()
	ctx, cancel := context.WithTimeoutCause(t.Context(), runWithin, fmt.Errorf("the run took longer than %v", runWithin))
	defer cancel()
	r := &run{t: t, ctx: ctx, plan: p, rate: rate, began: time.Now(), result: result{plan: p}}
	r.set()
	if err := r.play(); err != nil {
		r.trouble("%v", err)
	}
	r.result.took = time.Since(r.began)
	if *tell {
		t.Logf("%v\n%s", p, strings.Join(r.lines, "\n"))
	}
	if !r.result.pass() {
		t.Errorf("%v\nplan: %v\n%s\nlog:\n%s", r.result, p, strings.Join(r.result.wrong, "\n"), strings.Join(r.lines, "\n"))
		if kept, err := os.MkdirTemp("", "chaos-"); err == nil {
			_ = os.CopyFS(kept, os.DirFS(r.dir))
			t.Logf("the records are kept in %s", kept)
		}
	}
	return r.result
}

// log adds a line to what is printed of a run that fails. Times are those of the
// histories.
func (r *run) log(format string, args ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.lines = append(r.lines, fmt.Sprintf("%12.3f ", float64(history.Now())/1e6)+fmt.Sprintf(format, args...))
}

// trouble notes what is wrong with a run.
func (r *run) trouble(format string, args ...any) {
	r.log("wrong: "+format, args...)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.result.wrong = append(r.result.wrong, fmt.Sprintf(format, args...))
}

// set starts the servers and lays the wires.
func (r *run) set() {
	r.t.Helper()
	r.dir = r.t.TempDir()
	// Each write is in the file before it is answered; the kernel keeps it when the
	// server is killed.
	r.source = redistest.Standalone(r.t, redistest.Options{Args: []string{"--appendonly", "yes", "--appendfsync", "no"}})
	r.env = r.source.Env("REDIS")
	servers := [3][]*redisproc.Server{protocol.Source: {r.source}}
	switch r.plan.mode {
	case "sentinel":
		r.target, r.shards = redistest.Sentinel(r.t, redistest.Options{Hasty: true}), 1
		r.witness = &witness{set: r.target, replicas: 2, shards: map[string]*shard{}}
	case "cluster":
		r.target, r.shards = redistest.Cluster(r.t, redistest.Options{}), 3
		r.witness = &witness{set: r.target, replicas: 1, shards: map[string]*shard{}}
	default:
		r.plainTo = redistest.Standalone(r.t, redistest.Options{})
		maps.Copy(r.env, r.plainTo.Env("REDIS_TARGET"))
		servers[protocol.Target] = []*redisproc.Server{r.plainTo}
	}
	if r.target != nil {
		maps.Copy(r.env, r.target.Env("REDIS_TARGET"))
		servers[protocol.Target] = r.target.Servers()
	}
	r.env[dirVar] = r.dir
	for range parties {
		w, err := newWires(servers)
		if err != nil {
			r.t.Fatal(err)
		}
		r.t.Cleanup(w.close)
		r.wires = append(r.wires, w)
	}
	var err error
	if r.looker, err = coordinator.Open(leading(r.config(protocol.Source), r.config(protocol.Target))); err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { _ = r.looker.Close() })
}

func (r *run) config(s protocol.Side) topology.Config {
	cfg, err := topology.FromEnv(prefixes[s], redistest.Getenv(r.env))
	if err != nil {
		r.t.Fatal(err)
	}
	return cfg
}

// with adds the wires to a process's variables.
func (w *wires) with(env map[string]string) map[string]string { return redistest.Merge(env, w.env) }

// play has the app and a coordinator run, goes through the life cycle, and judges.
func (r *run) play() (err error) {
	ctx, stop := context.WithCancel(r.ctx)
	var background sync.WaitGroup
	defer background.Wait()
	defer stop()
	if r.witness != nil {
		background.Go(func() { r.witness.watch(ctx) })
		r.mended()
	}
	r.members = make([]*process, members)
	defer r.endAll()
	defer r.struck.Wait() // what strikes may start a member or a server again
	for i := range members {
		if err := r.join(i); err != nil {
			return err
		}
	}
	shadowing, goodbye := context.WithCancel(ctx)
	defer goodbye()
	background.Go(func() {
		if err := r.keep(shadowing); err != nil {
			r.trouble("%v", err)
		}
	})
	if !r.plan.keeps {
		background.Go(func() { r.sayGoodbye(ctx, goodbye) })
	}
	if err := r.live(); err != nil {
		return err
	}
	if err := r.finish(); err != nil {
		return err
	}
	if err := r.endMembers(); err != nil {
		return err
	}
	return r.judge()
}

// sayGoodbye ends the coordinator that shadows once the sides are equal: from then
// on each verb leads by itself.
func (r *run) sayGoodbye(ctx context.Context, goodbye func()) {
	for ctx.Err() == nil {
		if st, err := r.status(ctx); err == nil && st.Sync.Done {
			goodbye()
			return
		}
		r.pause(100 * time.Millisecond)
	}
}

// join starts a member, in place of one that has ended.
func (r *run) join(i int) error {
	r.mu.Lock()
	who := fmt.Sprintf("m%d-%d", i, len(r.names))
	r.names = append(r.names, who)
	r.mu.Unlock()
	env := r.wires[i].with(r.env)
	env[rateVar] = fmt.Sprint(r.rate)
	p, err := start("member", who, env, r.log)
	if err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.members[i] = p
	return nil
}

// order has every member rest, or work, and waits until it says so.
func (r *run) order(word, then string) {
	for i := range members {
		r.member(i).tell(word)
	}
	for i := range members {
		if err := r.wait(time.Minute, func() error {
			if p := r.member(i); p.does() != then {
				return fmt.Errorf("%s %s", p.who, p.does())
			}
			return nil
		}); err != nil {
			r.trouble("%s: %v", word, err)
		}
	}
}

func (r *run) endMembers() (err error) {
	for i := range members {
		if e := r.member(i).end(); e != nil {
			err = errors.Join(err, fmt.Errorf("%s: %w", r.member(i).who, e))
		}
	}
	return err
}

// endAll kills what is left.
func (r *run) endAll() {
	r.mu.Lock()
	all := append([]*process{r.shadow, r.verb}, r.members...)
	r.mu.Unlock()
	for _, p := range all {
		if p != nil {
			p.kill()
		}
	}
}
