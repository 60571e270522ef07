package lastminute

import (
	"sync"
	"time"
)

const (
	counterParts = 12
	counterPart  = 5 * time.Second
)

// A Counter counts what happened in the last minute. The zero Counter is ready
// for use, and safe for concurrent use.
type Counter struct {
	mu    sync.Mutex
	parts [counterParts + 1]int64
	last  int64 // number of the part that counts now
}

// Add counts n.
func (c *Counter) Add(n int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.turn(time.Now())
	c.parts[c.last%int64(len(c.parts))] += n
}

// Sum returns what was counted in the last minute.
func (c *Counter) Sum() (n int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.sum(time.Now())
}

func (c *Counter) sum(now time.Time) (n int64) {
	c.turn(now)
	for _, v := range c.parts {
		n += v
	}
	return n
}

// PerSecond returns the pace of the last minute, or of the time since began if
// that is less.
func (c *Counter) PerSecond(began time.Time) float64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := time.Now()
	n := c.sum(now)
	covered := counterParts*counterPart + time.Duration(now.UnixNano()%int64(counterPart))
	if over := min(covered, now.Sub(began)); over > 0 {
		return float64(n) / over.Seconds()
	}
	return 0
}

// turn clears the parts that are over. mu is held.
func (c *Counter) turn(now time.Time) {
	part := now.UnixNano() / int64(counterPart)
	for steps := 0; c.last < part && steps < len(c.parts); steps++ {
		c.last++
		c.parts[c.last%int64(len(c.parts))] = 0
	}
	c.last = max(c.last, part)
}
