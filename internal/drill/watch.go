package drill

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/transload/transload/topology"
)

// The names of moments, in the order in which a failover brings them.
const (
	Fault            = "fault"              // it was brought about, or first seen
	PingLost         = "ping_lost"          // a data server's first probe without an answer
	SubjectivelyDown = "subjectively_down"  // one sentinel holds the primary for dead
	ObjectivelyDown  = "objectively_down"   // enough of them do, or a majority of a cluster
	LeaderElected    = "leader_elected"     // the sentinels agree on who does the failover
	Promoted         = "promoted"           // a replica says that it is a master
	Switched         = "switch_announced"   // the first sentinel has told its subscribers
	Demoted          = "demoted"            // a master says that it is a replica
	PingAgain        = "ping_answered"      // a server that was lost answers again
	Reconnected      = "client_reconnected" // the app's client has a connection to the new primary
	FirstWrite       = "first_write"
	FirstRead        = "first_read"
)

// A Moment is something that happened on the servers' side.
type Moment struct {
	Name string
	At   time.Time
	Addr string // of the server that it is about
	Says string // what was said of it, if anything
}

const (
	// probeEvery is how often each data server is asked for its role: a tenth of
	// what the client under test may lose against the servers' own promotion.
	probeEvery = 10 * time.Millisecond

	// probeLimit is how long an answer may take. On a busy machine with two cores
	// a healthy server has taken a hundred milliseconds.
	probeLimit = 300 * time.Millisecond

	// lostAfter is how long a server must be silent before that is news.
	lostAfter = 500 * time.Millisecond
)

// A Watch sees what happens to the servers, on connections of its own.
type Watch struct {
	client *topology.Client
	end    context.CancelFunc
	wg     sync.WaitGroup

	mu      sync.Mutex
	nodes   map[string]*node
	moments []Moment
}

// A node is a data server as the probes see it.
type node struct {
	addr     string
	slots    []topology.SlotRange // that it had when the watch began
	role     topology.Role        // as it said last; empty before its first answer
	lostAt   time.Time            // zero while it answers
	reported bool                 // that it is lost
}

// StartWatch watches the servers that client knows now, until Stop. The caller
// closes client, after Stop.
func StartWatch(ctx context.Context, client *topology.Client) (*Watch, error) {
	list, err := client.Nodes(ctx)
	if err != nil {
		return nil, err
	}
	w := &Watch{client: client, nodes: map[string]*node{}}
	ctx, w.end = context.WithCancel(ctx)
	for _, n := range list {
		w.nodes[n.Addr] = &node{addr: n.Addr, slots: n.Slots}
	}
	for _, n := range list {
		if err := w.probe(ctx, n.Addr); err != nil {
			w.Stop()
			return nil, err
		}
	}
	if client.Mode() == topology.Sentinel {
		for _, addr := range client.Config().Addrs {
			w.wg.Go(func() { w.listen(ctx, addr) })
		}
	}
	return w, nil
}

// Stop ends the watch and waits for its goroutines. It may be called twice.
func (w *Watch) Stop() {
	w.end()
	w.wg.Wait()
}

// Moments returns what has happened so far, in the order of their times.
func (w *Watch) Moments() []Moment {
	w.mu.Lock()
	defer w.mu.Unlock()
	list := slices.Clone(w.moments)
	slices.SortStableFunc(list, func(a, b Moment) int { return a.At.Compare(b.At) })
	return list
}

// First returns the first moment of that name not before t.
func (w *Watch) First(name string, t time.Time) (Moment, bool) {
	for _, m := range w.Moments() {
		if m.Name == name && !m.At.Before(t) {
			return m, true
		}
	}
	return Moment{}, false
}

// Disturbed returns the first moment that tells of a failover which the watch was
// not told of: a primary is lost, or a replica promoted.
func (w *Watch) Disturbed() (Moment, bool) {
	for _, m := range w.Moments() {
		lost := m.Name == PingLost && w.was(m.Addr) == topology.Master
		if lost || m.Name == Promoted || m.Name == ObjectivelyDown {
			return m, true
		}
	}
	return Moment{}, false
}

// Primaries returns the addresses of the servers that answer and say that they
// are masters.
func (w *Watch) Primaries() []string { return w.saying(topology.Master) }

// Replicas is Primaries for replicas.
func (w *Watch) Replicas() []string { return w.saying(topology.Replica) }

func (w *Watch) saying(role topology.Role) (list []string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, n := range w.nodes {
		if n.role == role && n.lostAt.IsZero() {
			list = append(list, n.addr)
		}
	}
	slices.Sort(list)
	return list
}

// was returns the role that a server said last.
func (w *Watch) was(addr string) topology.Role {
	w.mu.Lock()
	defer w.mu.Unlock()
	if n := w.nodes[addr]; n != nil {
		return n.role
	}
	return ""
}

// hit returns whether a slot belonged, at the start, to one of those servers.
func (w *Watch) hit(addrs ...string) func(slot uint16) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	var slots []topology.SlotRange
	for _, addr := range addrs {
		if n := w.nodes[addr]; n != nil {
			slots = append(slots, n.slots...)
		}
	}
	return func(slot uint16) bool {
		return slices.ContainsFunc(slots, func(r topology.SlotRange) bool { return slot >= r.From && slot <= r.To })
	}
}

// note adds a moment.
func (w *Watch) note(m Moment) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.moments = append(w.moments, m)
}

// errNoAnswer is what a probe of an unexpected reply ends with.
var errNoAnswer = errors.New("drill: no role in the reply")
