package migrate

import (
	"sync/atomic"
	"time"
)

// gauges count what a member has seen, for the roll and the metrics.
type gauges struct {
	parkedTotal atomic.Int64
	parkedLong  atomic.Int64 // nanoseconds: the longest wait since the last move began
}

func (g *gauges) park(d time.Duration) {
	g.parkedTotal.Add(1)
	for {
		was := g.parkedLong.Load()
		if int64(d) <= was || g.parkedLong.CompareAndSwap(was, int64(d)) {
			return
		}
	}
}

// About is what a member tells of itself on the roll.
type About struct {
	Version   string     `json:"version,omitempty"`
	Workloads []Workload `json:"workloads"`
	ParkedMS  float64    `json:"longest_wait_ms"` // longest that an operation was parked
	LeaseMS   [2]int64   `json:"lease_ms"`        // left of each lease: source, target
	Phase     string     `json:"phase"`
}

// about is what the roll tells of this member. mu is held.
func (m *member) about() About {
	now := m.now()
	return About{
		Version: m.opts.Version, Workloads: m.opts.Workloads, Phase: m.proto.Phase().String(),
		ParkedMS: float64(m.gauges.parkedLong.Load()) / 1e6,
		LeaseMS:  [2]int64{m.proto.Lease(1).Left(now).Milliseconds(), m.proto.Lease(2).Left(now).Milliseconds()},
	}
}
