package scenario

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/transload/transload/internal/drill"
	"github.com/transload/transload/internal/redisproc"
	"github.com/transload/transload/internal/redistest"
	"github.com/transload/transload/topology"
)

// within is how long anything may take on a busy machine. What a quiet one needs
// is measured by bench-failover. A vote of the sentinels that was split is held
// again after twelve seconds or more.
const within = 90 * time.Second

// slack is by how much a moment may seem to lie before the fault: the probe that a
// killed server did not answer was sent before it was killed.
const slack = 500 * time.Millisecond

// An app writes and reads under sentinels, reads from replicas, and logs.
type app struct {
	t       *testing.T
	client  *topology.Client
	control *topology.Client // reads from primaries
	load    *drill.Load
	watch   *drill.Watch
	log     warnings
	began   time.Time
	fault   time.Time
}

// run starts an app and waits until all of it has had answers.
func run(t *testing.T, env map[string]string) *app {
	t.Helper()
	a := &app{t: t}
	a.control = a.open(env)
	a.client = a.open(redistest.Merge(env, map[string]string{"REDIS_READ_FROM": "replica"}), topology.WithLogger(slog.New(&a.log)))
	var err error
	if a.watch, err = drill.StartWatch(t.Context(), a.control); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(a.watch.Stop)
	a.load = drill.StartLoad(t.Context(), a.client, drill.LoadOptions{Writers: 6, Readers: 6, Rate: 300, Deadline: 10 * time.Second})
	t.Cleanup(a.load.Stop)
	a.load.Pin()
	a.answeredSince(time.Now())
	a.began = time.Now()
	a.answeredSince(time.Now())
	return a
}

func (a *app) open(env map[string]string, opts ...topology.Option) *topology.Client {
	a.t.Helper()
	cfg, err := topology.FromEnv("REDIS", redistest.Getenv(env))
	if err != nil {
		a.t.Fatal(err)
	}
	c, err := topology.Open(cfg, opts...)
	if err != nil {
		a.t.Fatal(err)
	}
	a.t.Cleanup(func() { c.Close() })
	return c
}

// hurt brings a fault about.
func (a *app) hurt(do func() error) {
	a.t.Helper()
	a.fault = time.Now()
	if err := do(); err != nil {
		a.t.Fatal(err)
	}
}

// moment waits for something to happen on the servers' side since the fault.
func (a *app) moment(name string) (m drill.Moment) {
	a.t.Helper()
	redistest.Eventually(a.t, within, func() error {
		var ok bool
		if m, ok = a.watch.First(name, a.fault.Add(-slack)); !ok {
			return fmt.Errorf("%s has not come; got %v", name, a.watch.Moments())
		}
		return nil
	})
	return m
}

// answeredSince waits until every goroutine has made a call after t that was
// answered.
func (a *app) answeredSince(t time.Time) {
	a.t.Helper()
	redistest.Eventually(a.t, within, func() error {
		if !a.load.AnsweredSince(t) {
			return errors.New("not every writer and reader was answered")
		}
		return nil
	})
}

// end stops the load and returns what writers and readers saw, and what is lost.
func (a *app) end() (writes, reads drill.Figures, loss drill.Loss) {
	a.t.Helper()
	a.load.Stop()
	now := time.Now()
	loss, err := a.load.Check(a.t.Context(), a.control)
	if err != nil {
		a.t.Fatal(err)
	}
	writes, reads = a.load.Writes(a.began, now), a.load.Reads(a.began, now)
	a.t.Logf("writes %+v", writes)
	a.t.Logf("reads %+v", reads)
	a.t.Logf("lost %d of %d", loss.Lost, loss.Acknowledged)
	return writes, reads, loss
}

// noFailover fails the test if anybody was promoted or the sentinels began anew.
func (a *app) noFailover(set *redisproc.Set) {
	a.t.Helper()
	if m, ok := a.watch.First(drill.Promoted, a.began); ok {
		a.t.Errorf("%s was promoted; want no failover", m.Addr)
	}
	for _, s := range set.Sentinels {
		if !s.Alive() {
			continue
		}
		if f := master(a.t, s); f["config-epoch"] != "0" || strings.Contains(f["flags"], "o_down") {
			a.t.Errorf("sentinel %s: got epoch %s, flags %s; want the configuration of the beginning", s.Addr(), f["config-epoch"], f["flags"])
		}
	}
}

// master returns what a sentinel says of the primary.
func master(t *testing.T, s *redisproc.Server) map[string]string {
	t.Helper()
	list := redistest.Do(t, s, "SENTINEL", "MASTER", redisproc.DefaultMaster).([]any)
	f := map[string]string{}
	for pair := range slices.Chunk(list, 2) {
		f[fmt.Sprint(pair[0])] = fmt.Sprint(pair[1])
	}
	return f
}

// info returns one field of a server's INFO, or "" while it does not answer.
func info(ctx context.Context, s *redisproc.Server, section, field string) string {
	v, _ := s.Do(ctx, "INFO", section)
	text, _ := v.(string)
	for line := range strings.Lines(text) {
		if name, value, ok := strings.Cut(strings.TrimSpace(line), ":"); ok && name == field {
			return value
		}
	}
	return ""
}

// gets returns how many GETs a server has answered since its start.
func gets(ctx context.Context, s *redisproc.Server) int {
	calls, _, _ := strings.Cut(info(ctx, s, "commandstats", "cmdstat_get"), ",")
	n, _ := strconv.Atoi(strings.TrimPrefix(calls, "calls="))
	return n
}

// isReplicaOf waits until a server follows another and has all that it has.
func isReplicaOf(t *testing.T, s *redisproc.Server, addr string) {
	t.Helper()
	redistest.Eventually(t, within, func() error {
		of := info(t.Context(), s, "replication", "master_host") + ":" + info(t.Context(), s, "replication", "master_port")
		if link := info(t.Context(), s, "replication", "master_link_status"); of != addr || link != "up" {
			return fmt.Errorf("%s follows %s, link %q; want %s and up", s.Addr(), of, link, addr)
		}
		return nil
	})
}

// warnings keeps the lines that people should look at.
type warnings struct {
	mu    sync.Mutex
	lines []string
}

func (*warnings) Enabled(_ context.Context, l slog.Level) bool { return l >= slog.LevelWarn }
func (w *warnings) WithAttrs([]slog.Attr) slog.Handler         { return w }
func (w *warnings) WithGroup(string) slog.Handler              { return w }

func (w *warnings) Handle(_ context.Context, r slog.Record) error {
	line := r.Message
	r.Attrs(func(a slog.Attr) bool { line += " " + a.String(); return true })
	w.mu.Lock()
	defer w.mu.Unlock()
	w.lines = append(w.lines, line)
	return nil
}

// holding returns the lines that hold a text.
func (w *warnings) holding(text string) []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(w.lines), func(l string) bool { return !strings.Contains(l, text) })
}
