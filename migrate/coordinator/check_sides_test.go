package coordinator

import (
	"strings"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"

	"github.com/transload/transload/internal/redisproc"
	"github.com/transload/transload/internal/redistest"
	"github.com/transload/transload/topology"
)

func TestCheckReach(t *testing.T) {
	_, b, s := twoServers(t, nil, nil)
	other := s
	other.source.Password = "wrong"
	r := checked(t, coordinate(t, other, alone))
	r.wants(t, "reach", "source", OK) // a server without a password takes any
	if err := b.Kill(); err != nil {
		t.Fatal(err)
	}
	r = checked(t, coordinate(t, s, alone))
	r.wants(t, "reach", "target", Refused, "refused")
	r.wants(t, "reach", "source", OK)
	if r.line("memory", "").Check != "" || r.Verdict != Refused || !strings.Contains(r.Refusal().Error(), "reach of the target") {
		t.Errorf("got %+v, %v; want nothing about what was not asked, and a refusal", r.line("memory", ""), r.Refusal())
	}
}

func TestCheckPassword(t *testing.T) {
	a := redistest.Standalone(t, redistest.Options{Password: "right"})
	b := redistest.Standalone(t, redistest.Options{Password: "right"})
	s := sides{config(t, a), config(t, b)}
	s.target.Password = "wrong"
	r := checked(t, coordinate(t, s, alone))
	r.wants(t, "reach", "source", OK)
	r.wants(t, "reach", "target", Refused, "WRONGPASS")
	for _, l := range r.Lines {
		if strings.Contains(l.Figure+l.Next, "wrong") && !strings.Contains(l.Figure, "WRONGPASS") || strings.Contains(l.Figure+l.Next, "right ") {
			t.Errorf("a password in %+v", l)
		}
	}
}

func TestCheckMode(t *testing.T) {
	set := redistest.SharedCluster(t)
	cfg := config(t, redistest.Standalone(t, redistest.Options{}))
	told := cfg
	told.Addrs = []string{set.Nodes[0].Addr()}
	r := checked(t, coordinate(t, sides{cfg, told}, alone))
	r.wants(t, "mode", "target", Refused, "a node of a cluster")
	r.wants(t, "mode", "source", OK)
}

// TestCheckTwice gives one server under two addresses.
func TestCheckTwice(t *testing.T) {
	_, _, s := twoServers(t, nil, nil)
	_, port, _ := strings.Cut(s.source.Addrs[0], ":")
	s.target.Addrs = []string{"localhost:" + port}
	checked(t, coordinate(t, s, alone)).wants(t, "two sides", "", Refused, "one process")
}

func TestCheckTwiceWithoutRunIDs(t *testing.T) {
	cfg := embeddedConfig(t)
	_, port, _ := strings.Cut(cfg.Addrs[0], ":")
	twin := cfg
	twin.Addrs = []string{"localhost:" + port}
	checked(t, coordinate(t, sides{cfg, twin}, alone)).wants(t, "two sides", "", Refused, "count their commands")
}

func TestCheckReplicaOfTheSource(t *testing.T) {
	a, b, s := twoServers(t, nil, nil)
	_, port, _ := strings.Cut(a.Addr(), ":")
	redistest.Do(t, b, "REPLICAOF", "127.0.0.1", port)
	redistest.Eventually(t, 10*time.Second, func() error { return replicaOnline(t, a) })
	checked(t, coordinate(t, s, alone)).wants(t, "mode", "target", Refused, "a replica")
}

func replicaOnline(t *testing.T, s *redisproc.Server) error {
	if info, _ := redistest.Do(t, s, "INFO", "replication").(string); !strings.Contains(info, "state=online") {
		return errUntoldFact
	}
	return nil
}

func TestCheckClocks(t *testing.T) {
	start := func(ahead time.Duration) topology.Config {
		m := miniredis.NewMiniRedis()
		if err := m.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(m.Close)
		m.SetTime(time.Now().Add(ahead))
		return topology.Config{Mode: topology.Standalone, Addrs: []string{m.Addr()}}
	}
	for name, tt := range map[string]struct {
		source, target time.Duration
		want           Verdict
	}{
		"far apart":          {0, 3 * time.Minute, Refused},
		"apart":              {0, -300 * time.Millisecond, Warn},
		"together, not ours": {time.Hour, time.Hour, Warn},
		"together":           {0, 0, OK},
	} {
		t.Run(name, func(t *testing.T) {
			c := coordinate(t, sides{start(tt.source), start(tt.target)}, alone)
			checked(t, c).wants(t, "clocks", "", tt.want)
		})
	}
}

func TestCheckRoundTrip(t *testing.T) {
	_, b, s := twoServers(t, nil, nil)
	p := redistest.Proxy(t, b)
	s.target.Addrs = []string{p.Addr()}
	hold := func(d time.Duration) func(*Options) { return func(o *Options) { o.Hold, o.MaxHold = d, longestHold } }
	p.SetDelay(12 * time.Millisecond)
	checked(t, coordinate(t, s, alone, hold(time.Second))).wants(t, "round trip", "", Warn)
	checked(t, coordinate(t, s, alone, hold(100*time.Millisecond))).wants(t, "round trip", "", Refused, "25 in a hold")
	p.SetDelay(0)
	checked(t, coordinate(t, s, alone, hold(5*time.Second))).wants(t, "round trip", "", OK)
}

func TestCheckRecord(t *testing.T) {
	a, _, s := twoServers(t, nil, nil)
	c := coordinate(t, s, alone)
	redistest.Do(t, a, "SET", "transload:{default}:control", `{"format":99}`)
	checked(t, c).wants(t, "control record", "source", Refused, "99")
}
