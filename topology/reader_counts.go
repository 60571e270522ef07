package topology

import (
	"sync"
	"sync/atomic"
)

// Why a read did not go where it should have. The set is closed: it is a label.
const (
	readOwnWrite  = "own_write"  // to the primary: this process has just written the key
	readNoReplica = "no_replica" // to the primary: no replica was fit
	readFailed    = "failed"     // to the primary: the replicas that were tried did not answer
	readNoPrimary = "no_primary" // from there to a replica after all: the primary did not answer either
)

// readCounts are figures for metrics. Nodes that have left keep theirs.
type readCounts struct {
	own, noReplica, failed atomic.Int64
	away                   atomic.Int64 // of these: replicas answered, since the primary did not

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
	served    int64            // reads that replicas answered
	fallBacks map[string]int64 // reads that went elsewhere, by reason
}

// readFigures returns the figures, and false if reads go to the primary alone.
func (c *Client) readFigures() (readFigures, bool) {
	if c.reader == nil {
		return readFigures{}, false
	}
	k := &c.reader.counts
	f := readFigures{fallBacks: map[string]int64{
		readOwnWrite: k.own.Load(), readNoReplica: k.noReplica.Load(), readFailed: k.failed.Load(), readNoPrimary: k.away.Load(),
	}}
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, n := range k.served {
		f.served += n.Load()
	}
	return f, true
}
