package topology

import (
	"context"
	"sync"
)

// A Quorum is what one sentinel says of whether a failover could be agreed on.
type Quorum struct {
	Addr string // of the sentinel
	Says string // its answer, in its own words
	Err  error  // that it cannot be agreed on, or that the sentinel does not answer
}

// Quorum asks every sentinel that the settings name, by SENTINEL CKQUORUM. It
// returns nothing in other modes.
func (c *Client) Quorum(ctx context.Context) []Quorum {
	if c.cfg.Mode != Sentinel {
		return nil
	}
	out := make([]Quorum, len(c.cfg.Addrs))
	var wg sync.WaitGroup
	for i, addr := range c.cfg.Addrs {
		wg.Go(func() {
			s := c.sentinel(addr)
			defer s.Close()
			out[i].Addr = addr
			out[i].Says, out[i].Err = s.CkQuorum(ctx, c.cfg.SentinelMaster).Result()
		})
	}
	wg.Wait()
	return out
}
