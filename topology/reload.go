package topology

import (
	"context"
	"net"
	"slices"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
)

// A clusterWatcher keeps an eye on the nodes of a cluster. go-redis routes by its
// own map of slots, which it reads anew only when a node tells it to; so the
// watcher has it read whenever nodes tell of another map than that. A call to a
// master that does not answer waits, as in mode sentinel, until the map names
// another.
type clusterWatcher struct {
	*watching
	wanted chan struct{} // holds one: that the map is to be read

	mu    sync.Mutex
	seats map[string]*seat // by address
	tells []string         // the nodes that are asked for the map
}

// mapTellers is how many nodes are asked for the map: one may be cut off.
const mapTellers = 3

// mapReadings is how many readings of the map may be under way at once.
const mapReadings = 3

func newClusterWatcher(c *Client, name string) *clusterWatcher {
	w := &clusterWatcher{watching: newWatching(c, name), wanted: make(chan struct{}, 1), seats: map[string]*seat{}}
	w.run = w.loop
	return w
}

// dial connects to a node. If that is a master which does not answer, it waits.
func (w *clusterWatcher) dial(ctx context.Context, _, addr string) (net.Conn, error) {
	w.begin()
	conn, err := w.connect(ctx, addr, func() *seat { return w.at(addr) })
	if err != nil {
		w.want() // go-redis may have read an old map from one that is behind
		return unborn{err}, nil
	}
	return conn, nil
}

// at returns a node's seat. One of which nothing is known yet is hasty: the map
// is read from such nodes first of all.
func (w *clusterWatcher) at(addr string) *seat {
	w.mu.Lock()
	defer w.mu.Unlock()
	s := w.seats[addr]
	if s == nil {
		s = &seat{conns: newBundle(addr, w.broke), hasty: true, next: make(chan struct{})}
		w.seats[addr] = s
	}
	return s
}

// place puts another seat in a node's place if it differs.
func (w *clusterWatcher) place(addr string, s seat) {
	old := w.at(addr)
	if s.conns == nil {
		s.conns = old.conns
	}
	if s.same(old) {
		return
	}
	s.next = make(chan struct{})
	w.mu.Lock()
	w.seats[addr] = &s
	w.mu.Unlock()
	close(old.next)
}

// doubt is called when a node says that it is not to be asked for a key now.
func (w *clusterWatcher) doubt(addr string) func(error) {
	return func(err error) { w.broke(addr, err) }
}

// want has go-redis's map read soon.
func (w *clusterWatcher) want() {
	select {
	case w.wanted <- struct{}{}:
	default:
	}
}

// reload has go-redis read its map of slots when that is wanted, and reports which
// masters the map names then. go-redis asks one node after the other, in an order
// of its own; while it waits for one that hangs, it is had read beside that.
func (w *clusterWatcher) reload(ctx context.Context, tell func(masters []string)) {
	reading := make(chan struct{}, mapReadings)
	latest := 0 // the loop's: an answer is not followed by one to an earlier question
	for n := 1; ; n++ {
		select {
		case <-ctx.Done():
			return
		case <-w.wanted:
		}
		call, began := w.pulse.next(), time.Now()
		reading <- struct{}{} // each is over in a bounded time
		w.wg.Go(func() {
			masters := w.masters(ctx)
			<-reading
			w.tell(ctx, func() {
				if len(masters) > 0 && n > latest {
					latest = n
					tell(masters)
				}
			})
		})
		if !w.pulse.pause(ctx, began, call, hastily) {
			return
		}
	}
}

// masters has go-redis read its map and returns the masters in it.
func (w *clusterWatcher) masters(ctx context.Context) []string {
	limit := w.c.meetingTime()
	if w.pulse.trouble.Load() != 0 {
		limit = w.c.answerTime() / 3
	}
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	var mu sync.Mutex
	var masters []string
	_ = w.c.cluster.ForEachMaster(ctx, func(_ context.Context, node *redis.Client) error {
		mu.Lock()
		defer mu.Unlock()
		masters = append(masters, node.Options().Addr)
		return nil
	})
	slices.Sort(masters)
	return masters
}

// watchNode asks a node how it is, and some nodes for the map too.
func (w *clusterWatcher) watchNode(ctx context.Context, addr string, tell func(nodeState, []Node)) {
	rdb := w.c.asker(addr, w.c.cfg.Username, w.c.cfg.Password, w.name)
	defer rdb.Close()
	w.c.probe(ctx, rdb, &w.pulse, func(n nodeState) {
		nodes := w.mapOf(ctx, rdb, n)
		w.tell(ctx, func() { tell(n, nodes) })
	})
}

// mapOf returns the map as a node has it, if it is one of those to be asked.
func (w *clusterWatcher) mapOf(ctx context.Context, rdb *redis.Client, n nodeState) []Node {
	w.mu.Lock()
	asked := len(w.tells) == 0 || slices.Contains(w.tells, n.Addr)
	w.mu.Unlock()
	if !asked || n.err != nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, w.c.answerTime())
	defer cancel()
	slots, err := rdb.ClusterSlots(ctx).Result() //nolint:staticcheck // as in slotsFrom
	if err != nil {
		return nil
	}
	return nodesOf(slots, n.Addr)
}
