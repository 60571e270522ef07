package ratelimit

import (
	"context"
	"errors"
	"net"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/transload/transload/internal/breaker"
)

// counts are a policy's decisions: by source, allowed and denied.
type counts [len(sourceNames)][2]atomic.Int64

func (c *counts) add(from Source, denied bool) {
	i := 0
	if denied {
		i = 1
	}
	c[from][i].Add(1)
}

// The reasons of calls that ended without an answer.
var reasons = [...]string{"breaker", "timeout", "refused", "other"}

// A meter is what is measured beside the policies' counts.
type meter struct {
	took     prometheus.Histogram
	fails    [len(reasons)]atomic.Int64
	merged   atomic.Int64
	settling atomic.Bool
}

func newMeter() *meter {
	return &meter{took: prometheus.NewHistogram(prometheus.HistogramOpts{
		Name: "ratelimit_decision_seconds", Help: "Time that decisions took, but those from memory.",
		// From a tenth of a millisecond to twice the default budget.
		Buckets: []float64{0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1},
	})}
}

func (m *meter) failed(err error) {
	late, isNet := errors.AsType[net.Error](err)
	switch {
	case errors.Is(err, breaker.ErrOpen):
		m.fails[0].Add(1)
	case errors.Is(err, context.DeadlineExceeded) || isNet && late.Timeout():
		m.fails[1].Add(1)
	case refused(err):
		m.fails[2].Add(1)
	default:
		m.fails[3].Add(1)
	}
}

// Metrics returns a collector of what this instance has decided, for the app's own
// registry: docs/ratelimit.md lists the metrics. No label has a subject in it.
// Collecting asks no server. Where a process has two limiters, wrap the registry of
// one (prometheus.WrapRegistererWith).
func (l *Limiter) Metrics() prometheus.Collector { return collector{l} }

type collector struct{ l *Limiter }

func desc(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc("ratelimit_"+name, help, labels, nil)
}

var (
	decisionsDesc = desc("decisions_total", "Decisions, by policy, where they come from, and what they say.", "policy", "source", "outcome")
	failsDesc     = desc("redis_failures_total", "Calls that Redis did not answer, by why.", "reason")
	mergedDesc    = desc("merged_units_total", "Units granted without Redis that it was told of afterwards.")
	openDesc      = desc("breaker_open", "Share of the hash slots whose calls are not sent, since the last ones had no answer.")
	subjectsDesc  = desc("remembered_subjects", "Subjects that this instance remembers, for outages.")
	fullDesc      = desc("memory_full_total", "Times that a subject found no room to be remembered.")
	fleetDesc     = desc("instances", "Instances among which a local share is divided.")
)

// Describe implements prometheus.Collector.
func (k collector) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{decisionsDesc, failsDesc, mergedDesc, openDesc, subjectsDesc, fullDesc, fleetDesc} {
		ch <- d
	}
	k.l.meter.took.Describe(ch)
}

// Collect implements prometheus.Collector.
func (k collector) Collect(ch chan<- prometheus.Metric) {
	l := k.l
	tell := func(d *prometheus.Desc, kind prometheus.ValueType, v float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, kind, v, labels...)
	}
	for _, r := range l.rules {
		for from := range sourceNames {
			for i, outcome := range []string{"allowed", "denied"} {
				tell(decisionsDesc, prometheus.CounterValue, float64(r.counts[from][i].Load()), r.Name, sourceNames[from], outcome)
			}
		}
	}
	for i, reason := range reasons {
		tell(failsDesc, prometheus.CounterValue, float64(l.meter.fails[i].Load()), reason)
	}
	tell(mergedDesc, prometheus.CounterValue, float64(l.meter.merged.Load()))
	tell(openDesc, prometheus.GaugeValue, l.open())
	tell(subjectsDesc, prometheus.GaugeValue, float64(l.memory.subjects()))
	tell(fullDesc, prometheus.CounterValue, float64(l.memory.full.Load()))
	tell(fleetDesc, prometheus.GaugeValue, float64(l.instances()))
	l.meter.took.Collect(ch)
}

// open is the share of breakers that are.
func (l *Limiter) open() float64 {
	n := 0
	for _, s := range l.breaker.States() {
		if s.State != "closed" {
			n++
		}
	}
	return float64(n) / circuits
}
