package topology

import (
	"maps"
	"sync"
	"sync/atomic"
)

// Why a read that could have gone to a replica went to the primary. The set is
// closed: it is a label.
const (
	readOwnWrite  = "own_write"  // this process has just written the key
	readNoReplica = "no_replica" // no replica was fit
	readFailed    = "failed"     // those that were tried did not answer
)

// readCounts are figures for metrics. Nodes that have left keep theirs.
type readCounts struct {
	own, noReplica, failed atomic.Int64
	away                   atomic.Int64 // of own: replicas answered, since the primary did not

	mu     sync.Mutex
	served map[string]*atomic.Int64 // by a replica's address
}

func (c *readCounts) of(addr string) *atomic.Int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.served == nil {
		c.served = map[string]*atomic.Int64{}
	}
	n := c.served[addr]
	if n == nil {
		n = new(atomic.Int64)
		c.served[addr] = n
	}
	return n
}

// A readFigures is what metrics tell of reads from replicas.
type readFigures struct {
	served    map[string]int64 // reads that a replica answered, by its address
	fallBacks map[string]int64 // reads that the primary got instead, by reason
}

// readFigures returns the figures, and false if reads go to the primary alone.
func (c *Client) readFigures() (readFigures, bool) {
	if c.reader == nil {
		return readFigures{}, false
	}
	k := &c.reader.counts
	k.mu.Lock()
	served := maps.Clone(k.served)
	k.mu.Unlock()
	f := readFigures{served: map[string]int64{}, fallBacks: map[string]int64{
		readOwnWrite: k.own.Load() - k.away.Load(), readNoReplica: k.noReplica.Load(), readFailed: k.failed.Load(),
	}}
	for addr, n := range served {
		f.served[addr] = n.Load()
	}
	return f, true
}
