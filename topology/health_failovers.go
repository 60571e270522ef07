package topology

import (
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// failoversKept bounds the memory of a day's failovers: one a minute and some.
const failoversKept = 2000

// failovers is what this process has seen of them. It is fed by the events, so
// that what is counted is what was told.
type failovers struct {
	lasted prometheus.Histogram

	mu    sync.Mutex
	total int
	times []time.Time // of the last day, oldest first
	last  time.Time
	open  map[string]bool // new primaries that have not answered yet
}

func newFailovers(side string) *failovers {
	o := histogramOpts(failoverDuration, side, failoverBounds)
	return &failovers{lasted: prometheus.NewHistogram(o), open: map[string]bool{}}
}

// A failoverCount sums failovers up.
type failoverCount struct {
	total, today int
	last         time.Time // zero for none
}

// note counts a primary that was replaced. One that was held to be down and came
// back by itself ends a failover too, but there was none.
func (f *failovers) note(e Event) {
	f.mu.Lock()
	defer f.mu.Unlock()
	switch {
	case e.Kind == PrimarySwitched:
		f.switched(e)
	case e.Kind == FailoverEnded && f.open[e.Addr]:
		delete(f.open, e.Addr)
		f.lasted.Observe(e.Duration.Seconds())
	}
}

// switched counts one. mu is held.
func (f *failovers) switched(e Event) {
	f.total++
	f.last = e.At
	f.forget(e.At)
	if len(f.times) == failoversKept {
		f.times = f.times[1:]
	}
	f.times = append(f.times, e.At)
	delete(f.open, e.Old)
	f.open[e.Addr] = true
}

func (f *failovers) count(now time.Time) failoverCount {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.forget(now)
	return failoverCount{total: f.total, today: len(f.times), last: f.last}
}

// forget drops what is a day old. mu is held.
func (f *failovers) forget(now time.Time) {
	for len(f.times) > 0 && now.Sub(f.times[0]) >= 24*time.Hour {
		f.times = f.times[1:]
	}
}
