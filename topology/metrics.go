package topology

import (
	"context"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/redis/go-redis/v9"
)

// Metrics returns a collector of what this process sees of the Redis, for the
// app's own registry: docs/metrics.md lists the metrics. Their names are those of
// the plan. Where a process has two clients, WithSide tells theirs apart; without
// it a registry refuses the second. Operations are measured by WithMetrics alone.
// Collecting takes no longer than Health.
func (c *Client) Metrics() prometheus.Collector {
	k := collector{c: c, descs: map[string]*prometheus.Desc{}}
	for _, f := range families {
		k.descs[f.name] = prometheus.NewDesc(f.name, f.help, f.labels, sideLabel(c.events.side))
	}
	return k
}

// sideLabel is the label of WithSide, if it was given.
func sideLabel(side string) prometheus.Labels {
	if side == "" {
		return nil
	}
	return prometheus.Labels{"side": side}
}

// A family is a metric as it is described.
type family struct {
	name, help string
	labels     []string
}

var (
	byNode     = []string{"node"}
	byPool     = []string{"pool"}
	bySentinel = []string{"sentinel"}
	byReason   = []string{"reason"}
	byWorkload = []string{"workload"}
)

var families = []family{
	{"sentinel_masters_count", "Primaries that the sentinels name: 0 if none answers, 2 if they disagree.", nil},
	{"sentinel_quorum_status", "1 if enough sentinels answer to replace a primary.", nil},
	{"sentinel_up", "1 if the sentinel answers.", bySentinel},
	{"server_up", "1 if the data server answers.", byNode},
	{"replication_lag_seconds", "How far a replica is behind its primary.", byNode},
	{"connected_replicas", "Replicas of a primary, as it counts them.", byNode},
	{"failover_count_total", "Primaries that this process saw replaced.", nil},
	{"last_failover_timestamp", "When a primary was replaced last, in seconds since 1970; 0 for never.", nil},
	{"read_operations_total", "Reads sent.", byNode},
	{"write_operations_total", "Writes sent.", byNode},
	{"replica_reads_total", "Reads that replicas answered.", nil},
	{"read_fallbacks_total", "Reads that went elsewhere than to a replica, by why.", byReason},
	{"breaker_open", "1 while commands of the workload are refused.", byWorkload},
	{"write_pool_size", "Open connections to primaries.", nil},
	{"read_pool_size", "Open connections to replicas.", nil},
	{"pool_acquire_latency_seconds", "Waiting for a free connection, over all uses of one.", byPool},
	{"pool_idle_connections", "Open connections that are not in use.", byPool},
	{"pool_hits_total", "Uses of a connection that was open.", byPool},
	{"pool_misses_total", "Uses for which a connection was made.", byPool},
	{"pool_timeouts_total", "Uses for which no connection was free in time.", byPool},
	{"pool_stale_connections_total", "Connections closed because they were no longer good.", byPool},
}

// The histograms are prometheus's own; they are there before anybody collects.
var (
	failoverDuration = family{"failover_duration_seconds", "From the first sign of a failover until the new primary answered.", nil}
	operationLatency = family{"operation_latency_seconds", "Time until the reply, with waiting for a connection and retries.", []string{"operation", "node"}}

	// operationBounds are in seconds: from a tenth of a millisecond, which a server
	// on the same machine takes, to the 5 s that the plan gives to a failover.
	operationBounds = []float64{0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5}

	// failoverBounds are dense where a budget of 5 s is kept or missed.
	failoverBounds = []float64{0.1, 0.25, 0.5, 1, 2, 3, 4, 5, 7.5, 10, 20, 30, 60}
)

func histogramOpts(f family, side string, bounds []float64) prometheus.HistogramOpts {
	return prometheus.HistogramOpts{Name: f.name, Help: f.help, Buckets: bounds, ConstLabels: sideLabel(side)}
}

type collector struct {
	c     *Client
	descs map[string]*prometheus.Desc
}

// Describe implements prometheus.Collector.
func (k collector) Describe(ch chan<- *prometheus.Desc) {
	for _, f := range families {
		ch <- k.descs[f.name]
	}
	k.c.events.failovers.lasted.Describe(ch)
	if k.c.meter != nil {
		k.c.meter.took.Describe(ch)
	}
}

// Collect implements prometheus.Collector.
func (k collector) Collect(ch chan<- prometheus.Metric) {
	// prometheus hands no context; view has a bound of its own.
	s := k.c.view(context.Background()) //nolint:forbidigo // as said
	out := told{k, ch}
	out.servers(s)
	if k.c.cfg.Mode == Sentinel {
		out.sentinels(s)
	}
	out.failovers(k.c.events.failovers.count(time.Now()))
	out.pool("write", "write_pool_size", k.c.writePool())
	out.pool("read", "read_pool_size", k.c.readPool())
	if k.c.meter != nil {
		out.operations(k.c.meter)
	}
	if reads, ok := k.c.readFigures(); ok {
		out.reads(reads)
	}
	for _, b := range k.c.Breakers() {
		out.gauge("breaker_open", truth(b.State != "closed"), b.Workload)
	}
}

// told is where metrics go.
type told struct {
	collector
	ch chan<- prometheus.Metric
}

func (t told) gauge(name string, v float64, labels ...string) {
	t.ch <- prometheus.MustNewConstMetric(t.descs[name], prometheus.GaugeValue, v, labels...)
}

func (t told) counter(name string, v float64, labels ...string) {
	t.ch <- prometheus.MustNewConstMetric(t.descs[name], prometheus.CounterValue, v, labels...)
}

func (t told) servers(s *snapshot) {
	for _, n := range s.nodes {
		name := nodeName(n.Role, n.Addr)
		t.gauge("server_up", truth(n.answers()), name)
		if n.lagKnown {
			t.gauge("replication_lag_seconds", n.lag.Seconds(), name)
		}
		if n.Role == Master && n.answers() && n.says == Master {
			t.gauge("connected_replicas", float64(n.connected), name)
		}
	}
}

func (t told) sentinels(s *snapshot) {
	q := s.quorum()
	t.gauge("sentinel_masters_count", float64(q.masters))
	t.gauge("sentinel_quorum_status", truth(q.ok()))
	for _, x := range s.sentinels {
		t.gauge("sentinel_up", truth(x.answers()), x.addr)
	}
}

func (t told) failovers(n failoverCount) {
	t.counter("failover_count_total", float64(n.total))
	var last float64
	if n.total > 0 {
		last = float64(n.last.UnixMilli()) / 1e3
	}
	t.gauge("last_failover_timestamp", last)
	t.c.events.failovers.lasted.Collect(t.ch)
}

func (t told) pool(pool, size string, s redis.PoolStats) {
	t.gauge(size, float64(s.TotalConns))
	t.gauge("pool_idle_connections", float64(s.IdleConns), pool)
	t.counter("pool_hits_total", float64(s.Hits), pool)
	t.counter("pool_misses_total", float64(s.Misses), pool)
	t.counter("pool_timeouts_total", float64(s.Timeouts), pool)
	t.counter("pool_stale_connections_total", float64(s.StaleConns), pool)
	uses, waited := uint64(s.Hits)+uint64(s.Misses), time.Duration(s.WaitDurationNs).Seconds()
	t.ch <- prometheus.MustNewConstSummary(t.descs["pool_acquire_latency_seconds"], uses, waited, nil, pool)
}

func (t told) operations(m *meter) {
	for _, n := range m.all() {
		t.counter("read_operations_total", float64(n.reads.Load()), n.name)
		t.counter("write_operations_total", float64(n.writes.Load()), n.name)
	}
	m.took.Collect(t.ch)
}

func (t told) reads(f readFigures) {
	t.counter("replica_reads_total", float64(f.served))
	for reason, n := range f.fallBacks {
		t.counter("read_fallbacks_total", float64(n), reason)
	}
}

func truth(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

// writePool is the pool of the connections to primaries, on a cluster of all of
// them together.
func (c *Client) writePool() redis.PoolStats {
	if c.cluster != nil {
		return *c.cluster.PoolStats()
	}
	return *c.one.PoolStats()
}

// readPool is the pools of the connections to replicas.
func (c *Client) readPool() redis.PoolStats {
	var sum redis.PoolStats
	if c.reader != nil {
		c.reader.addPools(&sum)
	}
	return sum
}
