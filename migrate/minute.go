package migrate

import (
	"sync"
	"time"
)

const (
	// minuteParts of minutePart make the window that "over the last minute"
	// means: what was counted leaves it at most a part late.
	minuteParts = 12
	minutePart  = 5 * time.Second
)

// A minute counts what happened over the last minute. The zero minute is ready
// for use.
type minute struct {
	mu    sync.Mutex
	parts [minuteParts + 1]int64
	last  int64 // number of the part that counts now
}

func (c *minute) add(n int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.turn(time.Now())
	c.parts[c.last%int64(len(c.parts))] += n
}

func (c *minute) sum() (n int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.turn(time.Now())
	for _, v := range c.parts {
		n += v
	}
	return n
}

// turn clears the parts that are over. mu is held.
func (c *minute) turn(now time.Time) {
	part := now.UnixNano() / int64(minutePart)
	for steps := 0; c.last < part && steps < len(c.parts); steps++ {
		c.last++
		c.parts[c.last%int64(len(c.parts))] = 0
	}
	c.last = max(c.last, part)
}
