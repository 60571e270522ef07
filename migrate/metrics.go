package migrate

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/transload/transload/internal/protocol"
)

// Collector returns the member's metrics, to be registered once. Nothing is
// counted for them that the roll does not tell as well. With no target there are
// none.
func (c *Client) Collector() prometheus.Collector { return collector{c.m} }

type collector struct{ m *member }

func desc(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc("transload_"+name, help, labels, nil)
}

var (
	phaseDesc   = desc("phase", "1 for the phase that the migration is in.", "phase")
	percentDesc = desc("percent", "Share of a workload's slots that the target answers for, 0 to 100.", "workload")
	leaseDesc   = desc("lease_seconds", "What is left of the lease on a side.", "side")
	reachDesc   = desc("reachable", "1 if the side answered last time.", "side")

	dirtyDesc  = desc("dirty_keys", "Keys that wait to be copied to the mirror.")
	lagDesc    = desc("mirror_lag_seconds", "How long the key that has waited longest has been waiting.")
	copiesDesc = desc("mirror_keys_total", "Keys copied, attempts refused, and keys given up.", "result")

	parkedDesc  = desc("parked", "Operations that wait for a side now.")
	waitsDesc   = desc("waits_total", "Operations that have waited for a side.")
	longDesc    = desc("longest_wait_seconds", "The longest wait since the last hold began.")
	holdsDesc   = desc("hold_seconds", "Holds, as this member sees them: writes parked to writes let go.")
	orphansDesc = desc("orphans", "Connections given up that have not been killed yet.")

	shadowDesc  = desc("shadow_reads_total", "Reads that were repeated on the mirror.", "workload", "result")
	latencyDesc = desc("read_seconds", "Repeated reads, measured alike on both sides; quantiles of the last minute.", "side", "workload")
	hitDesc     = desc("hit_ratio", "Share of single values that were found over the last minute.", "side", "workload")
)

// Describe implements prometheus.Collector.
func (collector) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{
		phaseDesc, percentDesc, leaseDesc, reachDesc, dirtyDesc, lagDesc, copiesDesc, parkedDesc, waitsDesc,
		longDesc, holdsDesc, orphansDesc, shadowDesc, latencyDesc, hitDesc,
	} {
		ch <- d
	}
}

// Collect implements prometheus.Collector.
func (c collector) Collect(ch chan<- prometheus.Metric) {
	if c.m == nil {
		return
	}
	c.collectMember(ch)
	for w, name := range c.m.plan.names {
		c.collectWorkload(ch, w, name)
	}
}

func gauge(ch chan<- prometheus.Metric, d *prometheus.Desc, v float64, labels ...string) {
	ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
}

func count(ch chan<- prometheus.Metric, d *prometheus.Desc, v int64, labels ...string) {
	ch <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(v), labels...)
}

func (c collector) collectMember(ch chan<- prometheus.Metric) {
	m, a := c.m, c.m.about()
	for p := protocol.Unknown; p <= protocol.Done; p++ {
		gauge(ch, phaseDesc, truth(p.String() == a.Phase), p.String())
	}
	for i, s := range protocol.Sides {
		gauge(ch, leaseDesc, float64(a.LeaseMS[i])/1000, s.String())
		gauge(ch, reachDesc, truth(a.Reach[i].OK), s.String())
	}
	gauge(ch, dirtyDesc, float64(a.Dirty))
	gauge(ch, lagDesc, a.Mirror.LagMS/1000)
	count(ch, copiesDesc, a.Mirror.Written, "written")
	count(ch, copiesDesc, a.Mirror.Failed, "failed")
	count(ch, copiesDesc, a.Mirror.Dropped, "dropped")
	gauge(ch, parkedDesc, float64(a.Parked))
	count(ch, waitsDesc, m.gauges.parkedTotal.Load())
	gauge(ch, longDesc, a.ParkedMS/1000)
	gauge(ch, orphansDesc, float64(a.Orphans))
	ch <- prometheus.MustNewConstSummary(holdsDesc, uint64(a.Holds.Count), time.Duration(m.gauges.holdSum.Load()).Seconds(), nil)
}

func (c collector) collectWorkload(ch chan<- prometheus.Metric, w int, name string) {
	m := c.m
	gauge(ch, percentDesc, m.view.Load().percent(w), name)
	counts := &m.shadow.by[w]
	count(ch, shadowDesc, counts.compared.Load(), name, "compared")
	count(ch, shadowDesc, counts.different.Load(), name, "different")
	count(ch, shadowDesc, counts.failed.Load(), name, "failed")
	count(ch, shadowDesc, counts.skipped.Load(), name, "skipped")
	for _, s := range protocol.Sides {
		if n := counts.reads[s].sum(); n > 0 {
			gauge(ch, hitDesc, float64(counts.hits[s].sum())/float64(n), s.String(), name)
		}
		l := &m.shadow.latency.by[s][w]
		n, sum := l.totals()
		if n == 0 {
			continue
		}
		quantiles := map[float64]float64{}
		if h := l.window(); h != nil && h.TotalCount() > 0 {
			for _, q := range []float64{0.5, 0.9, 0.99} {
				quantiles[q] = float64(h.ValueAtQuantile(q*100)) / 1e6
			}
		}
		ch <- prometheus.MustNewConstSummary(latencyDesc, n, sum.Seconds(), quantiles, s.String(), name)
	}
}

// percent returns the share of a workload that the target answers for.
func (v *view) percent(workload int) float64 {
	slots := 0
	if workload < len(v.ranges) {
		for _, r := range v.ranges[workload] {
			if r.Read == protocol.Target {
				slots += r.Hi - r.Lo
			}
		}
	}
	return float64(slots) * 100 / protocol.Slots
}

func truth(b bool) float64 {
	if b {
		return 1
	}
	return 0
}
