package migrate

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/transload/transload/internal/protocol"
)

// Metrics returns a collector of what this process sees of the migration, for
// the app's own registry: phase, share on the target, leases, holds, waits,
// copies, differences of reads, and latencies by side and workload. All begin
// with transload_. Collecting asks no server. With no target there is nothing
// to tell.
func (c *Client) Metrics() prometheus.Collector { return collector{c} }

type collector struct{ c *Client }

// A metric is one that is told of the whole process.
type metric struct {
	desc  *prometheus.Desc
	kind  prometheus.ValueType
	value func(a About, v *view) float64
}

func desc(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc("transload_"+name, help, labels, nil)
}

var (
	phaseDesc    = desc("phase", "1 for the phase that this process obeys.", "phase")
	shareDesc    = desc("target_ratio", "Share of a workload's slots that the target answers for.", "workload")
	leaseDesc    = desc("lease_seconds", "Time left of the lease on a side; 0 if none is held.", "side")
	tripDesc     = desc("refresh_seconds", "Round trip of the last refresh of the lease.", "side")
	reachDesc    = desc("reachable", "1 if the side answered the last refresh.", "side")
	hitDesc      = desc("hit_ratio", "Share of single values that were found by reads that were run on both sides, in the last minute.", "side", "workload")
	comparedDesc = desc("shadow_reads_total", "Reads that were run on both sides.", "workload")
	differDesc   = desc("shadow_differences_total", "Reads that showed something else on the mirror, once it had time to catch up.", "workload")
	silenceDesc  = desc("coordinator_silence_seconds", "How long this process has heard of no coordinator that lives; counted from its start.")
	breakerDesc  = desc("breaker_open", "1 if commands of the workload are refused on the side, since the last ones had no answer.", "side", "workload")
	latencyDesc  = desc("read_latency_seconds", "Reads that were run on both sides, in the last minute.", "side", "workload")

	processMetrics = []metric{
		{desc("parked_operations", "Operations that wait for a side now."), prometheus.GaugeValue,
			func(a About, _ *view) float64 { return float64(a.Parked) }},
		{desc("longest_wait_seconds", "The longest that an operation waited since the last hold began."), prometheus.GaugeValue,
			func(a About, _ *view) float64 { return a.ParkedMS / 1e3 }},
		{desc("holds_total", "Holds of moves that this process took part in."), prometheus.CounterValue,
			func(a About, _ *view) float64 { return float64(a.Holds.Count) }},
		{desc("last_hold_seconds", "How long the last hold lasted here."), prometheus.GaugeValue,
			func(a About, _ *view) float64 { return a.Holds.LastMS / 1e3 }},
		{desc("longest_hold_seconds", "The longest hold since the process began."), prometheus.GaugeValue,
			func(a About, _ *view) float64 { return a.Holds.LongMS / 1e3 }},
		{desc("dirty_keys", "Keys that wait to be copied to the mirror."), prometheus.GaugeValue,
			func(a About, _ *view) float64 { return float64(a.Dirty) }},
		{desc("mirror_written_total", "Keys copied to the mirror."), prometheus.CounterValue,
			func(a About, _ *view) float64 { return float64(a.Mirror.Written) }},
		{desc("mirror_failed_total", "Copies that failed; they are tried again."), prometheus.CounterValue,
			func(a About, _ *view) float64 { return float64(a.Mirror.Failed) }},
		{desc("mirror_dropped_total", "Keys left to the coordinator, since too many waited."), prometheus.CounterValue,
			func(a About, _ *view) float64 { return float64(a.Mirror.Dropped) }},
		{desc("mirror_lag_seconds", "How long the oldest key has waited to be copied."), prometheus.GaugeValue,
			func(a About, _ *view) float64 { return a.Mirror.LagMS / 1e3 }},
		{desc("orphaned_connections", "Connections given up with a command unanswered and not killed yet."), prometheus.GaugeValue,
			func(a About, _ *view) float64 { return float64(a.Orphans) }},
	}
)

// Describe implements prometheus.Collector.
func (k collector) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{phaseDesc, shareDesc, leaseDesc, tripDesc, reachDesc, hitDesc, comparedDesc, differDesc, silenceDesc, breakerDesc, latencyDesc} {
		ch <- d
	}
	for _, m := range processMetrics {
		ch <- m.desc
	}
}

// Collect implements prometheus.Collector.
func (k collector) Collect(ch chan<- prometheus.Metric) {
	m := k.c.m
	if m == nil {
		return
	}
	a, v := m.about(), m.view.Load()
	tell := func(d *prometheus.Desc, kind prometheus.ValueType, value float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, kind, value, labels...)
	}
	tell(phaseDesc, prometheus.GaugeValue, 1, v.phase.String())
	tell(silenceDesc, prometheus.GaugeValue, m.silence().Seconds())
	for _, x := range processMetrics {
		tell(x.desc, x.kind, x.value(a, v))
	}
	for i, s := range protocol.Sides {
		tell(leaseDesc, prometheus.GaugeValue, float64(a.LeaseMS[i])/1e3, s.String())
		tell(tripDesc, prometheus.GaugeValue, a.Reach[i].MS/1e3, s.String())
		tell(reachDesc, prometheus.GaugeValue, truth(a.Reach[i].OK), s.String())
	}
	for _, b := range k.c.Breakers() {
		tell(breakerDesc, prometheus.GaugeValue, truth(b.State != "closed"), b.Side, b.Workload)
	}
	for w, name := range m.plan.names {
		tell(shareDesc, prometheus.GaugeValue, v.share(w), name)
		if r, ok := a.Shadow[name]; ok {
			tell(comparedDesc, prometheus.CounterValue, float64(r.Compared), name)
			tell(differDesc, prometheus.CounterValue, float64(r.Different), name)
		}
		for i, s := range protocol.Sides {
			if r := a.Shadow[name]; r.Reads[i] > 0 {
				tell(hitDesc, prometheus.GaugeValue, float64(r.Hits[i])/float64(r.Reads[i]), s.String(), name)
			}
			if l := m.shadow.latency.summary(s, w, name); l != nil {
				ch <- l
			}
		}
	}
}

func truth(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

// share returns how much of a workload the target answers for.
func (v *view) share(workload int) float64 {
	if workload < 0 || workload >= len(v.ranges) {
		return 0
	}
	slots := 0
	for _, r := range v.ranges[workload] {
		if r.Read == protocol.Target {
			slots += r.Hi - r.Lo
		}
	}
	return float64(slots) / protocol.Slots
}

// summary tells the latency of one workload on one side, or nil if nothing was
// measured.
func (l *latencies) summary(s protocol.Side, workload int, name string) prometheus.Metric {
	one := &l.by[s][workload]
	count, sum := one.Totals()
	if count == 0 {
		return nil
	}
	at := map[float64]float64{}
	for _, q := range []float64{0.5, 0.9, 0.99} {
		at[q] = float64(one.Window().ValueAtQuantile(100*q)) / 1e6
	}
	return prometheus.MustNewConstSummary(latencyDesc, count, sum.Seconds(), at, s.String(), name)
}
