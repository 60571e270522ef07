package coordinator

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/transload/transload/internal/load"
	"github.com/transload/transload/internal/redistest"
	"github.com/transload/transload/migrate"
	"github.com/transload/transload/topology"
	"github.com/transload/transload/topology/embedded"
)

// sides are where a test migrates from and to.
type sides struct {
	source, target topology.Config
}

// kinds of sides that the life cycle is tried on.
var kinds = map[string]func(t *testing.T) sides{
	"standalone": func(t *testing.T) sides {
		return sides{config(t, redistest.Standalone(t, redistest.Options{})), config(t, redistest.Standalone(t, redistest.Options{}))}
	},
	"embedded": func(t *testing.T) sides {
		return sides{embeddedConfig(t), embeddedConfig(t)}
	},
	"sentinel": func(t *testing.T) sides {
		return sides{config(t, redistest.Standalone(t, redistest.Options{})), config(t, redistest.Sentinel(t, redistest.Options{}))}
	},
	"cluster": func(t *testing.T) sides {
		return sides{config(t, redistest.Standalone(t, redistest.Options{})), config(t, redistest.Cluster(t, redistest.Options{}))}
	},
}

func config(t *testing.T, s interface {
	Env(string) map[string]string
}) topology.Config {
	t.Helper()
	cfg, err := topology.FromEnv("REDIS", redistest.Getenv(s.Env("REDIS")))
	if err != nil {
		t.Fatal(err)
	}
	return cfg
}

func embeddedConfig(t *testing.T) topology.Config {
	t.Helper()
	s, err := embedded.Start(nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	cfg := s.Config()
	cfg.ReadTimeout = 5 * time.Second // miniredis on a busy machine
	return cfg
}

// client opens a plain client of one side.
func client(t *testing.T, cfg topology.Config) *topology.Client {
	t.Helper()
	cfg.ReadTimeout = 30 * time.Second // a script that fills a server may take long on a busy machine
	c, err := topology.Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// testLog writes what coordinator and members log to the test's log while it
// runs.
func testLog(t *testing.T, who string) *slog.Logger {
	t.Helper()
	return slog.New(slog.NewTextHandler(writer{t}, &slog.HandlerOptions{Level: slog.LevelInfo})).With("who", who)
}

type writer struct{ t *testing.T }

func (w writer) Write(b []byte) (int, error) {
	select {
	case <-w.t.Context().Done():
	default:
		w.t.Log(string(b[:len(b)-1]))
	}
	return len(b), nil
}

// coordinate opens a coordinator of a test's sides.
func coordinate(t *testing.T, s sides, change ...func(*Options)) *Coordinator {
	t.Helper()
	o := Options{Source: s.source, Target: s.target, Logger: testLog(t, "coordinator"), MaxHold: longestHold, Hold: 5 * time.Second, // a busy machine, and the race detector
		Limits:   Limits{P99: time.Minute, Lag: 5 * time.Second, MirrorFails: 1e9},
		Progress: func(p Progress) { writer{t}.Write(fmt.Appendf(nil, "%s: %s\n", p.Stage, p.Text)) }}
	for _, f := range change {
		f(&o)
	}
	c, err := Open(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// An app is some members under load.
type app struct {
	clients  []*migrate.Client
	journals []*load.Journal
	stop     context.CancelFunc
	wg       sync.WaitGroup
}

// startApp starts n members, and load on each.
func startApp(t *testing.T, s sides, n, rate int) *app {
	t.Helper()
	ctx, stop := context.WithCancel(context.Background())
	a := &app{stop: stop}
	for i := range n {
		c, err := migrate.Open(ctx, migrate.Options{Source: s.source, Target: s.target, Logger: testLog(t, fmt.Sprint("member ", i))})
		if err != nil {
			t.Fatal(err)
		}
		a.clients = append(a.clients, c)
		ready, cancel := context.WithTimeout(ctx, 10*time.Second)
		err = c.Ready(ready)
		cancel()
		if err != nil {
			t.Fatal(err)
		}
		j := load.NewJournal(fmt.Sprint("m", i))
		a.journals = append(a.journals, j)
		if rate > 0 {
			a.wg.Go(func() { load.Run(ctx, c, j, load.Options{Member: fmt.Sprint("m", i), Workers: 4, Rate: rate}) })
		}
	}
	t.Cleanup(a.end)
	return a
}

// end stops the load and closes the members. It may be called twice.
func (a *app) end() {
	a.stop()
	a.wg.Wait()
	for _, c := range a.clients {
		_ = c.Close()
	}
	a.clients = nil
}

// verdict ends the app and judges it by its journals.
func (a *app) verdict(t *testing.T, cfg topology.Config) {
	t.Helper()
	a.end()
	v, err := load.Check(t.Context(), client(t, cfg), a.journals...)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("verdict: %+v", v)
	if !v.OK() || v.Acknowledged == 0 {
		t.Errorf("got verdict %+v; want nothing lost", v)
	}
}

// shadowing runs Shadow in the background until the test ends or stop is called.
func shadowing(t *testing.T, c *Coordinator) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() {
		err := c.Shadow(ctx)
		if ctx.Err() == nil && err != nil {
			t.Errorf("shadow: %v", err)
		}
		ended <- err
	}()
	stop = sync.OnceFunc(func() {
		cancel()
		<-ended
	})
	t.Cleanup(stop)
	return stop
}

// seed writes keys of every type to a side.
func seed(t *testing.T, cfg topology.Config, n int) {
	t.Helper()
	cfg.ReadTimeout = 30 * time.Second // a script that fills a server may take long on a busy machine
	c, err := topology.Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close() // a writer that stays connected shuts a gate
	p := c.Pipeline()
	for i := range n {
		p.Set(t.Context(), fmt.Sprintf("sess:{%d}", i), fmt.Sprint("value ", i), time.Hour)
		p.HSet(t.Context(), fmt.Sprintf("h:%d", i), "a", i, "b", "x")
		p.RPush(t.Context(), fmt.Sprintf("l:%d", i), 1, 2, i)
		p.ZAdd(t.Context(), fmt.Sprintf("rl:z:%d", i), redis.Z{Score: float64(i), Member: "m"})
		if i%100 < 99 && i < n-1 {
			continue
		}
		if _, err := p.Exec(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
}

// eventually waits for a state.
func eventually(t *testing.T, f func() bool) {
	t.Helper()
	redistest.Eventually(t, 60*time.Second, func() error {
		if !f() {
			return fmt.Errorf("not so yet")
		}
		return nil
	})
}
