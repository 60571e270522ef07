package topology

import (
	"slices"
	"strings"
	"sync/atomic"
	"time"
)

// A snapshot is what the watcher of a Redis saw last: the node states that reads
// from replicas, health and metrics go by. It is never changed once it is
// published, so that it can be read without a lock.
type snapshot struct {
	at        time.Time       // of the latest change; zero: nothing was seen yet
	nodes     []nodeState     // primaries and replicas, sorted by address
	sentinels []sentinelState // sorted by address; none but in mode sentinel
	silent    []nodeState     // of a cluster: nodes that are set, have no place in a map yet, and do not answer or let nobody in; sorted
}

// A nodeState is a data server and what it said of itself when it was last asked
// (INFO replication, at least once a second).
type nodeState struct {
	Node // Role is the one that it has for the client, whatever it says itself

	says      Role          // what it says itself; empty if it was never asked with success, or will not tell
	turned    time.Time     // when it began to say Master after it had said Replica; else zero
	of        string        // a replica's primary, as it names it itself
	asked     time.Time     // when the latest question was put that was answered, or not in time
	answered  time.Time     // when the latest answer came; zero for never
	err       error         // why the latest question was not answered; nil if it was
	refused   error         // it answers, but does not let this client in: NOAUTH or WRONGPASS
	linkUp    bool          // a replica is in touch with its primary
	linkLost  time.Time     // since when it is not; zero while linkUp, or if it never was
	heard     time.Time     // when a replica last heard from its primary
	syncing   bool          // a replica is being filled anew: its data is neither old nor new
	loading   bool          // it answers no commands yet: LOADING, or MASTERDOWN
	offset    int64         // how far in the stream of writes it is
	lag       time.Duration // of a replica, behind its primary; see lags
	lagKnown  bool
	priority  int // of a replica, for promotion; 0 is never
	connected int // a primary's replicas, as it counts them itself
}

// A sentinelState is a sentinel and what it said last.
type sentinelState struct {
	addr     string
	id       string    // its own name for itself; empty before Redis 6.2
	asked    time.Time // when the latest question was put that was answered, or not in time
	answered time.Time // when the latest answer came; zero for never
	err      error     // nil if the latest question was answered
	master   string    // the primary that it names
	epoch    uint64    // of that naming: the higher, the newer
	quorum   int       // how many sentinels must agree that the primary is down
	others   int       // how many more sentinels it knows
	down     bool      // it holds that primary to be down (s_down or o_down)
	failover bool      // it holds it to be down with a quorum, or replaces it
}

// primary returns the address of the one primary, "" if there is none just now.
// On a cluster it is that of the first one.
func (s *snapshot) primary() string {
	for _, n := range s.nodes {
		if n.Role == Master {
			return n.Addr
		}
	}
	return ""
}

// replicas returns the replicas, on a cluster those of all primaries.
func (s *snapshot) replicas() []nodeState {
	return slices.DeleteFunc(slices.Clone(s.nodes), func(n nodeState) bool { return n.Role != Replica })
}

// A board holds the latest snapshot and wakes those who wait for the next.
type board struct {
	latest atomic.Pointer[posted]
	lags   lags // of who posts
}

type posted struct {
	snapshot
	next chan struct{} // closed when another is posted
}

// post replaces the snapshot. Only one goroutine posts.
func (b *board) post(s snapshot) {
	if b.lags == nil {
		b.lags = lags{}
	}
	b.lags.fill(&s)
	slices.SortFunc(s.nodes, func(a, b nodeState) int { return strings.Compare(a.Addr, b.Addr) })
	slices.SortFunc(s.sentinels, func(a, b sentinelState) int { return strings.Compare(a.addr, b.addr) })
	if old := b.latest.Swap(&posted{snapshot: s, next: make(chan struct{})}); old != nil {
		close(old.next)
	}
}

// read returns the snapshot and a channel that is closed when there is another.
func (b *board) read() (*snapshot, <-chan struct{}) {
	p := b.latest.Load()
	return &p.snapshot, p.next
}

// snapshot returns what the watcher saw last and a channel that is closed once it
// has seen something else. It asks nobody and does not wait, but starts the
// watcher if that does not run yet. A standalone server is not watched: its
// snapshot stays empty.
func (c *Client) snapshot() (*snapshot, <-chan struct{}) {
	if c.watch != nil {
		c.watch.begin()
	}
	if c.nodes != nil {
		c.nodes.begin()
	}
	return c.board.read()
}
