package drill

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/transload/transload/internal/redisproc"
	"github.com/transload/transload/topology"
)

// plainRounds is how many rounds a plain client takes part in. Its outages are
// long and repeat to half a second.
const plainRounds = 3

// plainName names the plain client's connections, those to sentinels too.
const plainName = "plain"

// A bout is one kind of fault on one kind of set.
type bout struct {
	name    string
	options redisproc.Options
	mode    topology.Mode
	planned bool // no write may be lost, and the write window is short
	rate    int  // of each client; 0 means the default
	cause   func(a *arena) Cause
	after   func(ctx context.Context, a *arena) error // once all has recovered
}

// bouts are what `make bench-failover` measures.
func bouts() (list []bout) {
	down := func(d time.Duration) redisproc.Options { return redisproc.Options{DownAfter: d} }
	add := func(b bout) { list = append(list, b) }
	for _, d := range []time.Duration{3 * time.Second, time.Second} {
		at := fmt.Sprintf(", down-after %d", d.Milliseconds())
		add(bout{name: "kill -9" + at, options: down(d), cause: kill})
		add(bout{name: "SIGSTOP" + at, options: down(d), cause: freeze, after: thaw})
	}
	add(bout{name: "kill -9 and a hung sentinel, down-after 3000", options: down(3 * time.Second), cause: besides((*redisproc.Server).Freeze)})
	add(bout{name: "kill -9 and a dead sentinel, down-after 3000", options: down(3 * time.Second), cause: besides((*redisproc.Server).Kill)})
	add(bout{name: "planned, down-after 3000", options: down(3 * time.Second), rate: 2500, planned: true, cause: handover(false)})
	add(bout{name: "SENTINEL FAILOVER alone, down-after 3000", options: down(3 * time.Second), rate: 2500, cause: handover(true)})
	cluster := redisproc.Options{NodeTimeout: 2 * time.Second, Args: clusterArgs}
	add(bout{name: "cluster, kill -9, node-timeout 2000", mode: topology.Cluster, options: cluster, cause: kill})
	add(bout{name: "cluster, SIGSTOP, node-timeout 2000", mode: topology.Cluster, options: cluster, cause: freeze, after: thaw})
	add(bout{name: "cluster, planned, node-timeout 2000", mode: topology.Cluster, options: cluster, rate: 2500, planned: true, cause: handover(false)})
	return list
}

// An arena is what one round is played in.
type arena struct {
	*Local
	cfg     topology.Config
	control *topology.Client
	frozen  *redisproc.Server
}

func kill(a *arena) Cause { return a.KillPrimary }

func freeze(a *arena) Cause {
	return func(ctx context.Context, w *Watch) (Moment, error) {
		m, err := a.FreezePrimary(ctx, w)
		a.frozen = a.Node(m.Addr)
		return m, err
	}
}

// thaw lets the old primary go on, and waits until it is a replica: what a client
// writes to it until then is lost.
func thaw(ctx context.Context, a *arena) error {
	if err := a.frozen.Thaw(); err != nil {
		return err
	}
	return poll(ctx, 30*time.Second, probeEvery, func() error {
		v, err := a.frozen.Do(ctx, "ROLE")
		if role, _ := v.([]any); err == nil && len(role) > 0 && role[0] != "slave" {
			err = fmt.Errorf("the old primary says %v", role[0])
		}
		return err
	})
}

// besides kills the primary, and a moment before does something to a sentinel: the
// one that the plain client is bound to, if there is one.
func besides(do func(*redisproc.Server) error) func(a *arena) Cause {
	return func(a *arena) Cause {
		return func(ctx context.Context, w *Watch) (Moment, error) {
			if err := do(a.bound(ctx)); err != nil {
				return Moment{}, err
			}
			return a.KillPrimary(ctx, w)
		}
	}
}

// bound returns the sentinel that the plain client listens to, else the first.
func (a *arena) bound(ctx context.Context) *redisproc.Server {
	for _, s := range a.Sentinels {
		list, _ := s.Do(ctx, "CLIENT", "LIST")
		text, _ := list.(string)
		for line := range strings.Lines(text) {
			if strings.Contains(line, "name="+plainName+" ") && !strings.Contains(line, " sub=0 ") {
				return s
			}
		}
	}
	return a.Sentinels[0]
}

func handover(plain bool) func(a *arena) Cause {
	return func(a *arena) Cause { return Planned(a.control, &Handover{Plain: plain}) }
}

// plainClient is go-redis as it comes.
func plainClient(cfg topology.Config) redis.UniversalClient {
	if cfg.Mode == topology.Cluster {
		return redis.NewClusterClient(&redis.ClusterOptions{Addrs: cfg.Addrs})
	}
	return redis.NewFailoverClient(&redis.FailoverOptions{MasterName: cfg.SentinelMaster, SentinelAddrs: cfg.Addrs, ClientName: plainName})
}

// A score is what one client made of one round.
type score struct {
	write, read    float64 // the worst goroutine's outages, ms
	promoted, past float64 // when the servers had a primary again, ms after the fault; how much later the last writer wrote
	errors, late   int64
	lost           int64
	oldest         float64 // ms before the fault
}

// TestFailoverFigures is `make bench-failover`. BENCH_FAILOVER is the number of
// rounds.
func TestFailoverFigures(t *testing.T) {
	rounds, _ := strconv.Atoi(os.Getenv("BENCH_FAILOVER"))
	if rounds == 0 {
		t.Skip("a long one: make bench-failover runs it")
	}
	fmt.Printf("%-20s", "min/median/max, ms")
	for _, f := range told {
		fmt.Printf("%20s", f.name)
	}
	fmt.Println()
	for _, b := range bouts() {
		t.Run(b.name, func(t *testing.T) {
			var ours, plain []score
			for i := range rounds {
				t.Run(fmt.Sprint(i+1), func(t *testing.T) { // what it started ends before the next
					o, p := b.round(t, i < plainRounds)
					ours, plain = append(ours, o), append(plain, p...)
					b.hold(t, o)
				})
			}
			fmt.Println(b.name)
			row("  ours", ours)
			row("  plain go-redis", plain)
		})
	}
}

// hold asserts our figures.
func (b bout) hold(t *testing.T, s score) {
	t.Helper()
	check := func(ok bool, format string, args ...any) {
		if !ok {
			t.Errorf(format, args...)
		}
	}
	check(s.write < 5000, "writes were away for %.0f ms; want under 5000", s.write)
	check(s.past < 500, "writes went on %.0f ms after the promotion; want under 500", s.past)
	check(s.read < 1000, "a reader was away for %.0f ms; want under 1000", s.read)
	check(s.late == 0, "%d calls outlived their deadline; want none", s.late)
	if b.planned {
		check(s.lost == 0, "%d acknowledged writes are lost; want none", s.lost)
		check(s.write < 500, "writes were away for %.0f ms; want under 500", s.write)
	}
}

// round plays one fault, which ours and perhaps a plain client watch.
func (b bout) round(t *testing.T, withPlain bool) (ours score, plain []score) {
	t.Helper()
	a := b.arena(t)
	app := client(t, a.cfg)
	loads := []*Load{StartLoad(t.Context(), app, LoadOptions{Rate: b.rate})}
	if withPlain {
		c := plainClient(a.cfg)
		t.Cleanup(func() { c.Close() })
		loads = append(loads, StartLoad(t.Context(), c, LoadOptions{Rate: b.rate, Deadline: -1}))
	}
	watch, err := StartWatch(t.Context(), a.control)
	if err != nil {
		t.Fatal(err)
	}
	fault := b.fault(t, a, watch, loads)
	for _, l := range loads {
		l.Stop()
	}
	end := time.Now()
	watch.Stop()
	scores := make([]score, len(loads))
	for i, l := range loads {
		scores[i] = scoreOf(t, a, watch, l, fault, end)
	}
	return scores[0], scores[1:]
}

// arena starts what a round needs. All of it ends with the round.
func (b bout) arena(t *testing.T) *arena {
	t.Helper()
	start := redisproc.Sentinel
	if b.mode == topology.Cluster {
		start = redisproc.Cluster
	}
	set, err := start(t.Context(), b.options)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { set.Close() })
	a := &arena{Local: &Local{set}}
	env := a.Env("REDIS")
	env["REDIS_READ_FROM"] = "replica"
	a.cfg = config(t, env)
	control := a.cfg
	control.Reader = topology.Reader{}
	a.control = client(t, control)
	return a
}

// fault brings the fault about and waits until all have recovered, or the limit
// is over: for a client that never does, that shows in its outage.
func (b bout) fault(t *testing.T, a *arena, w *Watch, loads []*Load) Moment {
	t.Helper()
	for _, l := range loads {
		if err := warm(t.Context(), l); err != nil {
			t.Fatal(err)
		}
		l.Pin()
	}
	shards := len(w.Primaries())
	m, err := b.cause(a)(t.Context(), w)
	if err != nil {
		t.Fatal(err)
	}
	if err := settle(t.Context(), w, m, shards, loads...); err != nil {
		t.Logf("%s: %v", b.name, err)
	}
	if b.after != nil {
		if err := b.after(t.Context(), a); err != nil {
			t.Error(err)
		}
	}
	return m
}

func scoreOf(t *testing.T, a *arena, w *Watch, l *Load, fault Moment, end time.Time) score {
	t.Helper()
	promoted, ok := w.First(Promoted, fault.At)
	if !ok {
		t.Fatal("no replica was promoted")
	}
	loss, err := l.Check(t.Context(), a.control)
	if err != nil {
		t.Fatal(err)
	}
	writes, reads := l.Writes(l.warm, end), l.Reads(l.warm, end)
	s := score{
		write: writes.OutageMS, read: reads.OutageMS, promoted: ms(promoted.At.Sub(fault.At)),
		errors: writes.Failed() + reads.Failed(), late: writes.Late + reads.Late, lost: loss.Lost,
	}
	s.past = ms(lastAnswer(l.writers, promoted.At, end, w.hit(fault.Addr)).Sub(promoted.At))
	if loss.Lost > 0 {
		s.oldest = ms(fault.At.Sub(loss.Oldest))
	}
	t.Logf("%+v; errors %v %v", s, writes.Errors, reads.Errors)
	return s
}

// told are the figures that are printed.
var told = []struct {
	name string
	of   func(score) float64
}{
	{"write outage", func(s score) float64 { return s.write }},
	{"read outage", func(s score) float64 { return s.read }},
	{"promoted", func(s score) float64 { return s.promoted }},
	{"all write after", func(s score) float64 { return s.past }},
	{"errors", func(s score) float64 { return float64(s.errors) }},
	{"writes lost", func(s score) float64 { return float64(s.lost) }},
	{"oldest lost", func(s score) float64 { return s.oldest }},
}

// row prints one client's figures of one bout.
func row(name string, list []score) {
	fmt.Printf("%-20s", name)
	for _, f := range told {
		fmt.Printf("%20s", spread(list, f.of))
	}
	fmt.Println()
}

// spread writes a figure's least, median and greatest.
func spread(list []score, of func(score) float64) string {
	if len(list) == 0 {
		return "-"
	}
	sorted := slices.SortedFunc(slices.Values(list), func(a, b score) int { return cmp.Compare(of(a), of(b)) })
	return fmt.Sprintf("%.0f/%.0f/%.0f", of(sorted[0]), of(sorted[len(sorted)/2]), of(sorted[len(sorted)-1]))
}
