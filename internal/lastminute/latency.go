package lastminute

import (
	"sync"
	"time"

	hdr "github.com/HdrHistogram/hdrhistogram-go"
)

// Latencies are kept from a microsecond to a minute, to two digits: 17 kB a part.
const (
	shortest     = 1 // microseconds
	longest      = 60_000_000
	latencyParts = 6
	latencyPart  = 10 * time.Second
)

// NewHistogram returns an empty histogram into which those of Latency.Window can
// be merged. Its values are microseconds.
func NewHistogram() *hdr.Histogram { return hdr.New(shortest, longest, 2) }

// A Latency is a histogram of the last minute, with what a counter needs for all
// time. The zero Latency is ready for use, and safe for concurrent use.
type Latency struct {
	mu    sync.Mutex
	win   *hdr.WindowedHistogram // made at the first value
	part  int64
	count uint64
	sum   time.Duration
}

// Record notes that something took d; longer than a minute counts for a minute.
func (l *Latency) Record(d time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.win == nil {
		l.win = hdr.NewWindowed(latencyParts, shortest, longest, 2)
	}
	l.turn(time.Now())
	_ = l.win.Current.RecordValue(min(max(d.Microseconds(), shortest), longest)) // in range
	l.count++
	l.sum += d
}

// turn drops the parts of the window that are over. mu is held.
func (l *Latency) turn(now time.Time) {
	part := now.UnixNano() / int64(latencyPart)
	for steps := 0; l.part < part && steps < latencyParts; steps++ {
		l.win.Rotate()
		l.part++
	}
	l.part = max(l.part, part)
}

// Window returns the last minute's values, or nil if none was ever recorded. They are
// the caller's own: two may ask at the same time.
func (l *Latency) Window() *hdr.Histogram {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.win == nil {
		return nil
	}
	l.turn(time.Now())
	w := NewHistogram()
	w.Merge(l.win.Merge()) // which merges into one and the same each time
	return w
}

// Totals returns how many were recorded in all, and their sum.
func (l *Latency) Totals() (uint64, time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.count, l.sum
}
