package cache

import (
	"sync"
	"sync/atomic"
	"time"
)

const (
	// blip is how long Redis may be away without anything being made of it, unless the
	// breaker has opened: a slow reply is no outage.
	blip = time.Second

	// coldAfter is how many misses in a second, if they are most of what is looked up,
	// make Redis an empty one.
	coldAfter = 50
)

// outages knows when Redis was away last, and has the guard begin its ramp whenever
// the misses change in kind: Redis goes, comes back, or has lost what it had.
type outages struct {
	ramp  func()
	since atomic.Int64 // of the outage under way, in ns; 0 is none
	mu    sync.Mutex
	told  bool // the ramp of the outage under way has begun
	from  time.Time
	to    time.Time // of the last that is over

	second  atomic.Int64 // in which are counted:
	lookups atomic.Int64
	misses  atomic.Int64
}

// failed notes that Redis gave no answer.
func (o *outages) failed(open bool) {
	o.since.CompareAndSwap(0, time.Now().UnixNano())
	if !open {
		return
	}
	o.mu.Lock()
	begins := !o.told
	o.told = true
	o.mu.Unlock()
	if begins {
		o.ramp()
	}
}

// answered notes that it did.
func (o *outages) answered() {
	if o.since.Load() == 0 {
		return
	}
	o.mu.Lock()
	since := o.since.Swap(0)
	now := time.Now()
	over := since != 0 && (o.told || now.Sub(time.Unix(0, since)) > blip)
	if over {
		o.from, o.to = time.Unix(0, since), now
	}
	o.told = false
	o.mu.Unlock()
	if over {
		o.ramp()
	}
}

// away reports whether Redis did not answer when it was asked last.
func (o *outages) away() bool { return o.since.Load() != 0 }

// during returns how much of the last outage, if it is over, lies after a time.
func (o *outages) during(from time.Time) time.Duration {
	o.mu.Lock()
	defer o.mu.Unlock()
	if from.Before(o.from) {
		from = o.from
	}
	return max(o.to.Sub(from), 0)
}

// looked counts what was looked up in Redis, and whether it was there.
func (o *outages) looked(n, missing int) {
	now := time.Now().Unix()
	if was := o.second.Load(); was != now && o.second.CompareAndSwap(was, now) {
		o.lookups.Store(0)
		o.misses.Store(0)
	}
	all, none := o.lookups.Add(int64(n)), o.misses.Add(int64(missing))
	if missing > 0 && none >= coldAfter && none > all/2 {
		o.misses.Store(0)
		o.ramp()
	}
}
