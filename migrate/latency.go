package migrate

import (
	"sync"
	"time"

	hdr "github.com/HdrHistogram/hdrhistogram-go"

	"github.com/transload/transload/internal/protocol"
)

// Latencies are kept from a microsecond to a minute, to two digits: 17 kB a
// window's part.
const (
	shortestLatency = 1 // microseconds
	longestLatency  = 60_000_000
	latencyParts    = 6
	latencyPart     = 10 * time.Second
)

// A latency is a histogram of the last minute, with what a counter needs for all
// time.
type latency struct {
	mu    sync.Mutex
	win   *hdr.WindowedHistogram // made at the first value
	part  int64
	count uint64
	sum   time.Duration
}

func (l *latency) record(d time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.win == nil {
		l.win = hdr.NewWindowed(latencyParts, shortestLatency, longestLatency, 2)
	}
	l.turn(time.Now())
	_ = l.win.Current.RecordValue(min(max(d.Microseconds(), shortestLatency), longestLatency)) // in range
	l.count++
	l.sum += d
}

// turn drops the parts of the window that are over. mu is held.
func (l *latency) turn(now time.Time) {
	part := now.UnixNano() / int64(latencyPart)
	for steps := 0; l.part < part && steps < latencyParts; steps++ {
		l.win.Rotate()
		l.part++
	}
	l.part = max(l.part, part)
}

// window returns the last minute's values, or nil if there were none.
func (l *latency) window() *hdr.Histogram {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.win == nil {
		return nil
	}
	l.turn(time.Now())
	return l.win.Merge()
}

func (l *latency) totals() (uint64, time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.count, l.sum
}

// latencies are those of the reads that were run on both sides, by side and
// workload. Both are measured in the same way, at the same time and by the same
// commands, so that they can be compared.
type latencies struct {
	by [3][]latency
}

func newLatencies(workloads int) *latencies {
	l := &latencies{}
	for _, s := range protocol.Sides {
		l.by[s] = make([]latency, workloads)
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
	all := hdr.New(shortestLatency, longestLatency, 2)
	for i := range l.by[s] {
		if w := l.by[s][i].window(); w != nil {
			all.Merge(w)
		}
	}
	return Latency{
		Count: all.TotalCount(),
		P50MS: float64(all.ValueAtQuantile(50)) / 1000,
		P99MS: float64(all.ValueAtQuantile(99)) / 1000,
	}
}
