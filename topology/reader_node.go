package topology

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"
)

// lookEvery is how often a node is asked where it is. A key that this process has
// written is read from the primary until a look has shown that a replica has it,
// so that this is also what own writes cost.
const lookEvery = 500 * time.Millisecond

// Why a replica takes no reads. These are the words of the event ReplicaDown.
var (
	errLags     = errors.New("its data are older than the bound, or it has lost its primary")
	errSyncing  = errors.New("it is being filled by its primary")
	errOtherRun = errors.New("topology: the replica has been restarted since it was looked at")
)

// A readNode is a server that reads may go to, or the primary of one. A goroutine
// asks it where it is, each lookEvery and at once if a read has failed.
type readNode struct {
	r        *reader
	addr     string
	anywhere bool // a service's address, behind which several servers may be
	served   *atomic.Int64
	stop     context.CancelFunc
	look     chan struct{} // 1: look now

	primary   atomic.Bool                  // what the topology has it for
	up        atomic.Bool                  // it answered the latest look, as what it should be
	suspected atomic.Bool                  // a read has failed since
	asOf      atomic.Int64                 // of which moment its data are; see history
	run       atomic.Pointer[string]       // of the server process
	reads     atomic.Pointer[redis.Client] // nil while it takes no reads

	// Of the goroutine alone:
	asks   *redis.Client // nil after a failure: go-redis dials a server that refused only once a second
	born   int64
	down   error // why it takes no reads
	told   bool  // and people were told
	former bool  // it was the primary, and has not been well since
}

// fit reports whether the node may answer a read of something that was written at
// a moment, by this process; 0 is never.
func (n *readNode) fit(now, wrote int64) bool {
	asOf := n.asOf.Load()
	return n.up.Load() && !n.suspected.Load() && asOf > 0 && now-asOf <= n.r.maxLag && asOf >= wrote
}

// alive reports whether the node was well when it was last looked at.
func (n *readNode) alive() bool { return n.up.Load() }

// suspect takes a node out until a look has shown that it is well.
func (n *readNode) suspect() {
	n.suspected.Store(true)
	n.lookNow()
}

func (n *readNode) lookNow() {
	select {
	case n.look <- struct{}{}:
	default:
	}
}

// keepLooking asks the node until ctx is done.
func (n *readNode) keepLooking(ctx context.Context) {
	n.born = n.r.now()
	defer n.close()
	t := time.NewTimer(0)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-n.look:
		case <-t.C:
		}
		began := n.r.now()
		st, err := n.ask(ctx)
		if ctx.Err() != nil {
			return
		}
		n.take(began, st, err)
		n.suspected.Store(false) // who suspects it from now on has asked for another look
		n.tell()
		t.Reset(lookEvery)
	}
}

func (n *readNode) close() {
	n.up.Store(false)
	n.closeReads()
	if n.asks != nil {
		n.asks.Close()
	}
}

// closeReads ends the reads that wait for the node: they go elsewhere.
func (n *readNode) closeReads() {
	if old := n.reads.Swap(nil); old != nil {
		old.Close()
	}
}

// ask asks the node where it is.
func (n *readNode) ask(ctx context.Context) (standing, error) {
	if n.asks == nil {
		n.asks = n.r.asker(n)
	}
	ctx, cancel := context.WithTimeout(ctx, n.r.bound)
	defer cancel()
	return askStanding(ctx, n.asks)
}

// take acts on an answer: began is when it was asked for.
func (n *readNode) take(began int64, st standing, err error) {
	if err != nil {
		n.down = err
		n.up.Store(false)
		n.closeReads()
		n.asks.Close()
		n.asks = nil
		return
	}
	if run := n.run.Load(); run != nil && *run != st.run && !n.anywhere {
		n.asOf.Store(0) // another process: what it has is not known
	}
	n.run.Store(&st.run)
	if n.primary.Load() {
		n.down = nil
		n.takePrimary(began, st)
		return
	}
	n.age(began, st)
	switch {
	case st.syncing:
		n.down = errSyncing
	case n.r.now()-max(n.asOf.Load(), n.born) > n.r.maxLag:
		n.down = errLags
	default:
		n.down = nil
	}
	if st.syncing {
		n.up.Store(false)
		n.closeReads()
		return
	}
	if n.reads.Load() == nil {
		n.reads.Store(n.r.reads(n))
	}
	n.up.Store(true)
}

// takePrimary notes how far the primary is. A server that says that it is one,
// and is not for the sentinels or the cluster, is not believed: an old primary
// that was cut off would make its own replicas look fresh.
func (n *readNode) takePrimary(began int64, st standing) {
	n.up.Store(st.master)
	if st.master {
		n.r.history.add(st.stream, mark{began, st.offset})
	}
}

// age finds out of which moment the node's data are. They only get newer, for as
// long as it is the same process. A replica that was promoted has a stream of its
// own, of which nothing is known until the topology has it for the primary: so it
// goes on answering reads, with data that age. Where this process has never seen the primary,
// they are of the moment at which the replica lost it, to the second.
func (n *readNode) age(began int64, st standing) {
	at, known := n.r.history.reached(st.stream, st.offset)
	if !known && st.lost >= 0 {
		at = began - int64(st.lost+time.Second)
	}
	n.asOf.Store(max(n.asOf.Load(), at))
}

// tell tells people that a replica takes no reads any more, or again. A primary
// that dies is no replica, whatever the topology takes it for afterwards.
func (n *readNode) tell() {
	switch {
	case n.primary.Load():
		n.told, n.former = false, true
	case n.down != nil && !n.told && !n.former:
		n.told = true
		n.r.events.emit(Event{Kind: ReplicaDown, Addr: n.addr, Err: n.down})
	case n.down == nil && n.told:
		n.told = false
		n.r.events.emit(Event{Kind: ReplicaUp, Addr: n.addr})
	}
	if n.down == nil {
		n.former = n.primary.Load()
	}
}
