package migrate

import (
	"github.com/transload/transload/internal/lastminute"
	"github.com/transload/transload/internal/protocol"
)

// latencies are those of the reads that were run on both sides, by side and
// workload. Both are measured in the same way, at the same time and by the same
// commands, so that they can be compared.
type latencies struct {
	by [3][]lastminute.Latency
}

func newLatencies(workloads int) *latencies {
	l := &latencies{}
	for _, s := range protocol.Sides {
		l.by[s] = make([]lastminute.Latency, workloads)
	}
	return l
}

// A Latency sums up the reads of the last minute.
type Latency struct {
	Count int64   `json:"count"`
	P50MS float64 `json:"p50_ms"`
	P99MS float64 `json:"p99_ms"`
}

// side sums up all workloads of a side.
func (l *latencies) side(s protocol.Side) Latency {
	all := lastminute.NewHistogram()
	for i := range l.by[s] {
		if w := l.by[s][i].Window(); w != nil {
			all.Merge(w)
		}
	}
	return Latency{
		Count: all.TotalCount(),
		P50MS: float64(all.ValueAtQuantile(50)) / 1000,
		P99MS: float64(all.ValueAtQuantile(99)) / 1000,
	}
}
