package drill

import (
	"testing"

	"github.com/transload/transload/internal/redisproc"
	"github.com/transload/transload/internal/redistest"
	"github.com/transload/transload/topology"
)

// config reads a set's variables.
func config(t testing.TB, env map[string]string) topology.Config {
	t.Helper()
	cfg, err := topology.FromEnv("REDIS", redistest.Getenv(env))
	if err != nil {
		t.Fatal(err)
	}
	return cfg
}

// client opens a client that ends with the test.
func client(t testing.TB, cfg topology.Config, opts ...topology.Option) *topology.Client {
	t.Helper()
	c, err := topology.Open(cfg, opts...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

func TestPlannedFailoverLosesNothing(t *testing.T) {
	set := redistest.Sentinel(t, redistest.Options{})
	cfg := config(t, set.Env("REDIS"))
	h := &Handover{}
	res, err := Run(t.Context(), Options{Config: cfg, Cause: Planned(client(t, cfg), h), Lossless: true, Say: say(t)})
	if err != nil {
		t.Fatal(err)
	}
	tell(t, res)
	if res.Verdict != Pass || res.Lost != 0 || res.Acknowledged == 0 {
		t.Errorf("got %s %v, %d lost of %d; want a pass and nothing lost", res.Verdict, res.Why, res.Lost, res.Acknowledged)
	}
	t.Log(h.Steps)
}

func TestClusterHandoverLosesNothing(t *testing.T) {
	set := redistest.Cluster(t, redistest.Options{})
	cfg := config(t, set.Env("REDIS"))
	h := &Handover{}
	res, err := Run(t.Context(), Options{Config: cfg, Cause: Planned(client(t, cfg), h), Lossless: true, Say: say(t)})
	if err != nil {
		t.Fatal(err)
	}
	tell(t, res)
	if res.Verdict != Pass || res.Lost != 0 || res.Acknowledged == 0 {
		t.Errorf("got %s %v, %d lost of %d; want a pass and nothing lost", res.Verdict, res.Why, res.Lost, res.Acknowledged)
	}
	t.Log(h.Steps)
}

func TestKilledPrimary(t *testing.T) {
	for _, mode := range []topology.Mode{topology.Sentinel, topology.Cluster} {
		t.Run(string(mode), func(t *testing.T) {
			set := redistest.Sentinel
			if mode == topology.Cluster {
				set = redistest.Cluster
			}
			l := &Local{set(t, redisproc.Options{}), mode}
			res, err := Run(t.Context(), Options{Config: config(t, l.Env("REDIS")), Cause: l.KillPrimary, Say: say(t)})
			if err != nil {
				t.Fatal(err)
			}
			tell(t, res)
		})
	}
}

func say(t testing.TB) func(string, string) {
	return func(stage, line string) { t.Logf("%s: %s", stage, line) }
}

func tell(t testing.TB, res *Result) {
	t.Helper()
	t.Logf("%s %v: %s: lost %d of %d, oldest %.1f ms", res.Verdict, res.Why, res.Fault, res.Lost, res.Acknowledged, res.OldestLostMS)
	for _, l := range res.Timeline {
		t.Logf("%9.1f  %s %s %s", l.MS, l.Name, l.Addr, l.Says)
	}
	t.Logf("writes %+v", res.Writes)
	t.Logf("reads %+v", res.Reads)
}
