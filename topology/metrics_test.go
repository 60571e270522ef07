package topology_test

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil/promlint"
	dto "github.com/prometheus/client_model/go"
	"github.com/redis/go-redis/v9"

	"github.com/transload/transload/internal/redistest"
	"github.com/transload/transload/topology"
)

// plannedMetrics are those that the plan names.
var plannedMetrics = []string{
	"sentinel_masters_count", "sentinel_quorum_status", "replication_lag_seconds", "connected_replicas",
	"failover_count_total", "failover_duration_seconds", "last_failover_timestamp",
	"read_operations_total", "write_operations_total", "operation_latency_seconds",
	"write_pool_size", "read_pool_size", "pool_acquire_latency_seconds",
}

// gather reads a client's metrics through a registry that refuses what was not
// described and what is told twice.
func gather(t *testing.T, clients ...*topology.Client) map[string]*dto.MetricFamily {
	t.Helper()
	reg := prometheus.NewPedanticRegistry()
	for _, c := range clients {
		if err := reg.Register(c.Metrics()); err != nil {
			t.Fatal(err)
		}
	}
	list, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]*dto.MetricFamily{}
	for _, f := range list {
		all[f.GetName()] = f
	}
	return all
}

// values returns the metrics of a family by their labels' values.
func values(f *dto.MetricFamily) map[string]float64 {
	all := map[string]float64{}
	for _, m := range f.GetMetric() {
		var labels []string
		for _, l := range m.GetLabel() {
			labels = append(labels, l.GetValue())
		}
		all[strings.Join(labels, " ")] = m.GetGauge().GetValue() + m.GetCounter().GetValue() + float64(m.GetHistogram().GetSampleCount()) + float64(m.GetSummary().GetSampleCount())
	}
	return all
}

// lint has promlint look at metrics.
func lint(t *testing.T, all map[string]*dto.MetricFamily) {
	t.Helper()
	problems, err := promlint.NewWithMetricFamilies(slices.Collect(maps.Values(all))).Lint()
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		if p.Metric != "sentinel_masters_count" { // keeps the plan's name
			t.Errorf("%s: %s", p.Metric, p.Text)
		}
	}
}

func TestMetricsOfSentinel(t *testing.T) {
	t.Parallel()
	set := redistest.Sentinel(t, redistest.Options{})
	c := open(t, set.Env("REDIS"), []topology.Option{topology.WithMetrics()})
	roundTrip(t, c)
	pipe := c.Pipeline()
	pipe.Set(t.Context(), "a", 1, 0)
	pipe.Get(t.Context(), "a")
	pipe.Get(t.Context(), "b")
	if _, err := pipe.Exec(t.Context()); err != nil && err != redis.Nil {
		t.Fatal(err)
	}
	c.Do(t.Context(), "no.such.command", "x")
	status(t, c, topology.Healthy)
	redistest.Eventually(t, 60*time.Second, func() error {
		if got := values(gather(t, c)["replication_lag_seconds"]); len(got) != 2 {
			return fmt.Errorf("got lags %v; want two", got)
		}
		return nil
	})
	all := gather(t, c)
	for _, name := range plannedMetrics {
		if len(all[name].GetMetric()) == 0 {
			t.Errorf("%s is missing", name)
		}
	}
	lint(t, all)
	primary := "primary/" + set.Primaries(t.Context())[0].Addr()
	for name, want := range map[string]map[string]float64{
		"sentinel_masters_count": {"": 1}, "sentinel_quorum_status": {"": 1},
		"connected_replicas": {primary: 2}, "failover_count_total": {"": 0}, "last_failover_timestamp": {"": 0},
		"read_operations_total": {primary: 22}, "write_operations_total": {primary: 21},
	} {
		if got := values(all[name]); !maps.Equal(got, want) {
			t.Errorf("%s: got %v; want %v", name, got, want)
		}
	}
	took := values(all["operation_latency_seconds"])
	for op, want := range map[string]float64{"get": 20, "set": 20, "pipeline": 1} {
		if got := took[primary+" "+op]; got != want {
			t.Errorf("%s: got %v of %v; want %v", op, got, took, want)
		}
	}
	if n, told := took[primary+" role"]; told {
		t.Errorf("got %v of role; want the client's own checks left out", n)
	}
	if took[primary+" other"] == 0 {
		t.Errorf("got %v; want handshakes and the unknown command under other", took)
	}
	if uses := values(all["pool_acquire_latency_seconds"]); uses["write"] < 41 {
		t.Errorf("got uses %v; want those of the commands", uses)
	}
}

func TestMetricsOfTwoSides(t *testing.T) {
	t.Parallel()
	var clients []*topology.Client
	for _, side := range []string{"source", "target"} {
		s := redistest.Standalone(t, redistest.Options{})
		clients = append(clients, open(t, s.Env("REDIS"), []topology.Option{topology.WithSide(side), topology.WithMetrics()}))
	}
	roundTrip(t, clients[0])
	all := gather(t, clients...)
	if got := values(all["failover_count_total"]); len(got) != 2 {
		t.Errorf("got %v; want both sides", got)
	}
	if got := values(all["write_operations_total"]); len(got) != 2 {
		t.Errorf("got %v; want both sides", got)
	}
}

// TestMetricsOfAHungRedis: who collects is not held up, and is told.
func TestMetricsOfAHungRedis(t *testing.T) {
	t.Parallel()
	s := redistest.Standalone(t, redistest.Options{})
	c := open(t, s.Env("REDIS"), nil)
	roundTrip(t, c)
	if err := s.Freeze(); err != nil {
		t.Fatal(err)
	}
	defer s.Thaw()
	began := time.Now()
	up := values(gather(t, c)["server_up"])
	if took := time.Since(began); took > 10*time.Second { // the bound is 500ms
		t.Errorf("took %v", took)
	}
	if want := map[string]float64{"primary/" + s.Addr(): 0}; !maps.Equal(up, want) {
		t.Errorf("got %v; want %v", up, want)
	}
}

// TestMetricsOfReadsFromReplicas: reads and writes are told of where they went.
func TestMetricsOfReadsFromReplicas(t *testing.T) {
	t.Parallel()
	set := redistest.Sentinel(t, redistest.Options{})
	c := open(t, set.Env("REDIS"), []topology.Option{
		topology.WithMetrics(),
		topology.WithBreaker("source", []string{"cache"}, func(string) string { return "cache" }),
	}, "READ_FROM=replica")
	redistest.Eventually(t, 60*time.Second, func() error {
		if err := c.Get(t.Context(), "k").Err(); err != nil && err != redis.Nil {
			return err
		}
		all := gather(t, c)
		reads := 0.0
		for name, n := range values(all["read_operations_total"]) {
			if strings.HasPrefix(name, "replica/") {
				reads += n
			}
		}
		pools, open := values(all["read_pool_size"])[""], values(all["breaker_open"])
		if reads == 0 || reads != values(all["replica_reads_total"])[""] || pools == 0 || open["cache"] != 0 || len(open) != 1 {
			return fmt.Errorf("got %v reads of replicas, %v connections, breakers %v; want some", reads, pools, open)
		}
		if why := values(all["read_fallbacks_total"]); len(why) != 4 {
			return fmt.Errorf("got %v; want four reasons", why)
		}
		lint(t, all)
		return nil
	})
}

func TestMetricsOfCluster(t *testing.T) {
	t.Parallel()
	set := redistest.Cluster(t, redistest.Options{})
	c := open(t, set.Env("REDIS"), []topology.Option{topology.WithMetrics()})
	roundTrip(t, c)
	redistest.Eventually(t, 60*time.Second, func() error {
		all := gather(t, c)
		writes, replicas := values(all["write_operations_total"]), values(all["connected_replicas"])
		sum := 0.0
		for _, n := range writes {
			sum += n
		}
		if len(replicas) != 3 || sum < 20 || all["sentinel_masters_count"] != nil {
			return fmt.Errorf("got writes %v, replicas %v; want 20 writes, three primaries, no sentinels", writes, replicas)
		}
		return nil
	})
}

// BenchmarkGet compares a client that measures with one that does not, on a real
// server.
func BenchmarkGet(b *testing.B) {
	s := redistest.Standalone(b, redistest.Options{Unix: true})
	cfg, err := topology.FromEnv("REDIS", redistest.Getenv(s.Env("REDIS")))
	if err != nil {
		b.Fatal(err)
	}
	for name, opts := range map[string][]topology.Option{"plain": nil, "measured": {topology.WithMetrics()}} {
		b.Run(name, func(b *testing.B) {
			c, err := topology.Open(cfg, opts...)
			if err != nil {
				b.Fatal(err)
			}
			defer c.Close()
			b.ReportAllocs()
			for b.Loop() {
				if err := c.Get(b.Context(), "k").Err(); err != redis.Nil {
					b.Fatal(err)
				}
			}
		})
	}
}
