package topology

import (
	"sync"
	"time"
)

// failoversKept bounds the memory of a day's failovers: one a minute and some.
const failoversKept = 2000

// failovers is what this process has seen of them. It is fed by the events, so
// that what is counted is what was told.
type failovers struct {
	mu     sync.Mutex
	total  int
	times  []time.Time // of the last day, oldest first
	last   time.Time
	lasted *histogram      // nil before the first that ended
	open   map[string]bool // new primaries that have not answered yet
}

// A failoverCount sums failovers up.
type failoverCount struct {
	total, today int
	last         time.Time // zero for none
	lasted       *histogram
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
		f.histogram().observe(e.Duration)
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
	if f.open == nil {
		f.open = map[string]bool{}
	}
	delete(f.open, e.Old)
	f.open[e.Addr] = true
}

func (f *failovers) count(now time.Time) failoverCount {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.forget(now)
	return failoverCount{total: f.total, today: len(f.times), last: f.last, lasted: f.histogram()}
}

// histogram makes it at the first use. mu is held.
func (f *failovers) histogram() *histogram {
	if f.lasted == nil {
		f.lasted = newHistogram(failoverBounds)
	}
	return f.lasted
}

// forget drops what is a day old. mu is held.
func (f *failovers) forget(now time.Time) {
	for len(f.times) > 0 && now.Sub(f.times[0]) >= 24*time.Hour {
		f.times = f.times[1:]
	}
}
