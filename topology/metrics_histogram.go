package topology

import (
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// operationBounds are those of the latency of operations: from a tenth of a
// millisecond, which a server on the same machine takes, to the 5 s that the plan
// gives to a failover.
var operationBounds = bounds(0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5)

// failoverBounds are dense where a budget of 5 s is kept or missed.
var failoverBounds = bounds(0.1, 0.25, 0.5, 1, 2, 3, 4, 5, 7.5, 10, 20, 30, 60)

func bounds(seconds ...float64) []bound {
	list := make([]bound, len(seconds))
	for i, s := range seconds {
		list[i] = bound{s, time.Duration(s * float64(time.Second))}
	}
	return list
}

type bound struct {
	seconds float64
	atMost  time.Duration
}

// A histogram counts durations. It is lock-free: operations of all goroutines
// pass it.
type histogram struct {
	bounds []bound
	counts []atomic.Uint64 // one more than bounds: what is beyond them
	sum    atomic.Int64    // nanoseconds
}

func newHistogram(b []bound) *histogram {
	return &histogram{bounds: b, counts: make([]atomic.Uint64, len(b)+1)}
}

func (h *histogram) observe(d time.Duration) {
	i := 0
	for i < len(h.bounds) && d > h.bounds[i].atMost {
		i++
	}
	h.counts[i].Add(1)
	h.sum.Add(int64(d))
}

// metric tells the histogram as it is now.
func (h *histogram) metric(d *prometheus.Desc, labels ...string) prometheus.Metric {
	var total uint64
	upTo := make(map[float64]uint64, len(h.bounds))
	for i, b := range h.bounds {
		total += h.counts[i].Load()
		upTo[b.seconds] = total
	}
	total += h.counts[len(h.bounds)].Load()
	return prometheus.MustNewConstHistogram(d, total, time.Duration(h.sum.Load()).Seconds(), upTo, labels...)
}
