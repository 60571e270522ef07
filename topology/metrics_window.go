package topology

import (
	"math/bits"
	"sync/atomic"
	"time"
)

const (
	// A window is made of parts that are dropped as a whole. Seven of them are a
	// minute and the part under way; the eighth keeps the one that is cleared
	// next apart from those that are read.
	windowPart  = 10 * time.Second
	windowOld   = 6
	windowParts = 8

	// Latencies are kept in microseconds, each power of two in sixteen steps: to
	// 3 %, up to the minute that is the longest.
	windowSteps   = 368
	windowLongest = int64(time.Minute / time.Microsecond)
)

// A window is what happened in the last minute. It is lock-free, and in return an
// operation that ends while a part is cleared may not be counted.
type window struct{ parts [windowParts]windowData }

type windowData struct {
	of    atomic.Int64 // which part it holds, counted from 1; 0 for none yet
	ops   atomic.Int64
	steps [windowSteps]atomic.Uint32
}

// add counts operations that were answered together at a moment, counted from the
// window's beginning, after d; a negative d is left out of the latencies.
func (w *window) add(at time.Duration, ops int64, d time.Duration) {
	p := w.part(int64(at/windowPart) + 1)
	p.ops.Add(ops)
	if d >= 0 {
		p.steps[step(min(d.Microseconds(), windowLongest))].Add(1)
	}
}

// part returns where the part n is counted, cleared if it held an old one.
func (w *window) part(n int64) *windowData {
	p := &w.parts[n%windowParts]
	for {
		of := p.of.Load()
		if of >= n { // later: who comes a minute late is counted with the others
			return p
		}
		if p.of.CompareAndSwap(of, n) {
			p.clear()
			return p
		}
	}
}

func (p *windowData) clear() {
	p.ops.Store(0)
	for i := range p.steps {
		p.steps[i].Store(0)
	}
}

// A pace is what a window shows.
type pace struct {
	perSecond float64
	p99       time.Duration // of those that were measured; negative if there were none
}

// pace sums up the minute before a moment.
func (w *window) pace(at time.Duration) pace {
	now := int64(at/windowPart) + 1
	first := max(now-windowOld, 1)
	var ops int64
	var steps [windowSteps]uint64
	var measured uint64
	for i := range w.parts {
		p := &w.parts[i]
		if of := p.of.Load(); of < first || of > now {
			continue
		}
		ops += p.ops.Load()
		for i := range p.steps {
			n := uint64(p.steps[i].Load())
			steps[i] += n
			measured += n
		}
	}
	took := at - time.Duration(first-1)*windowPart
	out := pace{p99: -1}
	if took > 0 {
		out.perSecond = float64(ops) / took.Seconds()
	}
	if measured > 0 {
		out.p99 = quantile(steps[:], measured-measured/100)
	}
	return out
}

// quantile returns the latency that n of them did not exceed.
func quantile(steps []uint64, n uint64) time.Duration {
	for i, c := range steps {
		if c >= n {
			return length(i)
		}
		n -= c
	}
	return length(len(steps) - 1)
}

// step is the index of a latency.
func step(us int64) int {
	shift := bits.Len64(uint64(us)) - 5
	if shift <= 0 {
		return int(us)
	}
	return 16*shift + int(us>>shift)
}

// length is the middle of a step.
func length(i int) time.Duration {
	if i < 32 {
		return time.Duration(i) * time.Microsecond
	}
	shift := i/16 - 1
	return time.Duration((int64(i-16*shift)<<shift)+int64(1)<<shift/2) * time.Microsecond
}
