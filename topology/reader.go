package topology

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/transload/transload/internal/command"
)

// A reader sends reads to replicas. It knows the nodes, how old their data are,
// and what this process has written; see "Reads from replicas" in the package's
// comment for the rules.
type reader struct {
	c       *Client
	s       settings
	events  *events
	base    time.Time // moments are counted from here
	maxLag  int64     // nanoseconds
	bound   time.Duration
	own     *ownWrites // nil: not kept
	history history
	counts  readCounts
	routes  atomic.Pointer[routes] // nil until the first nodes are known
	turn    atomic.Uint32
	moved   chan struct{} // 1: a node said that a slot is elsewhere

	hooks atomic.Pointer[[]redis.Hook] // of AddHook

	mu     sync.Mutex
	closed bool
	stop   context.CancelFunc // nil until it runs
	wg     sync.WaitGroup
}

func newReader(c *Client, s settings) *reader {
	r := &reader{
		c: c, s: s, events: c.events, base: time.Now(), moved: make(chan struct{}, 1),
		maxLag: int64(c.cfg.Reader.MaxLag), bound: c.cfg.ReadTimeout / 2,
	}
	if keep := c.cfg.Reader.OwnWrites; keep > 0 {
		r.own = newOwnWrites(keep, r.now)
	}
	return r
}

// now is the present moment; it is never 0.
func (r *reader) now() int64 { return int64(time.Since(r.base)) + 1 }

// start begins to look at the nodes, at the first command that has to know them:
// Open dials nothing. It outlives that command.
func (r *reader) start(ctx context.Context) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed || r.stop != nil {
		return
	}
	ctx, r.stop = context.WithCancel(context.WithoutCancel(ctx))
	r.wg.Go(func() { r.followNodes(ctx) })
}

// close ends what runs, reads from replicas included.
func (r *reader) close() {
	r.mu.Lock()
	r.closed = true
	if r.stop != nil {
		r.stop()
	}
	r.mu.Unlock()
	r.wg.Wait()
}

// routes says which nodes have which slots. It is never changed.
type routes struct {
	nodes  []Node // as they were told
	all    map[string]*readNode
	shards []shard
	bySlot []uint16 // index of the shard and 1; nil: there is one shard
}

// A shard is a primary and its replicas.
type shard struct {
	primary  *readNode // nil if there is none now
	replicas []*readNode
}

// of returns the shard of a slot, nil if nobody is known to have it.
func (t *routes) of(slot uint16) *shard {
	if t == nil || len(t.shards) == 0 {
		return nil
	}
	if t.bySlot == nil {
		return &t.shards[0]
	}
	if i := t.bySlot[slot]; i > 0 {
		return &t.shards[i-1]
	}
	return nil
}

// followNodes keeps the routes until ctx is done.
func (r *reader) followNodes(ctx context.Context) {
	t := time.NewTicker(time.Second)
	defer t.Stop()
	for {
		nodes, changed := r.list(ctx)
		if len(nodes) > 0 {
			r.follow(ctx, nodes)
		}
		select {
		case <-ctx.Done():
			return
		case <-changed:
		case <-r.moved:
		case <-t.C:
		}
	}
}

// list returns the nodes as they are now, none if they could not be learnt, and a
// channel that is closed when they may have changed.
func (r *reader) list(ctx context.Context) ([]Node, <-chan struct{}) {
	if reader := r.c.cfg.Reader.Addr; reader != "" {
		return []Node{
			{Addr: r.c.cfg.Addrs[0], Role: Master, Slots: allSlots},
			{Addr: reader, Role: Replica, Slots: allSlots},
		}, nil
	}
	snap, changed := r.c.snapshot()
	if len(snap.nodes) > 0 || r.c.watch != nil {
		nodes := make([]Node, len(snap.nodes))
		for i, n := range snap.nodes {
			nodes[i] = n.Node
		}
		return nodes, changed
	}
	ctx, cancel := context.WithTimeout(ctx, r.c.cfg.DialTimeout)
	defer cancel()
	nodes, err := r.c.Nodes(ctx)
	if err != nil {
		return nil, changed // the next time: reads go on by what is known
	}
	return nodes, changed
}

// follow makes routes of nodes: new ones are looked at from now on, and those
// that have left are closed.
func (r *reader) follow(ctx context.Context, nodes []Node) {
	old := r.routes.Load()
	if old != nil && slices.EqualFunc(old.nodes, nodes, sameNode) {
		return
	}
	next := &routes{nodes: nodes, all: map[string]*readNode{}}
	for _, told := range nodes {
		n := r.node(ctx, old, told)
		next.all[told.Addr] = n
		next.put(n, told, r.c.cfg.Mode == Cluster)
	}
	r.routes.Store(next)
	if old == nil {
		return
	}
	for addr, n := range old.all {
		if next.all[addr] == nil {
			n.stop()
		}
	}
}

func sameNode(a, b Node) bool {
	return a.Addr == b.Addr && a.Role == b.Role && slices.Equal(a.Slots, b.Slots)
}

// node returns the node of that address, which it makes if it is new.
func (r *reader) node(ctx context.Context, old *routes, told Node) *readNode {
	var n *readNode
	if old != nil {
		n = old.all[told.Addr]
	}
	if n == nil {
		n = &readNode{r: r, addr: told.Addr, look: make(chan struct{}, 1), served: r.counts.of(told.Addr)}
		n.anywhere = told.Addr == r.c.cfg.Reader.Addr
		n.primary.Store(told.Role == Master)
		ctx, n.stop = context.WithCancel(ctx)
		r.wg.Go(func() { n.keepLooking(ctx) })
	} else if was := n.primary.Swap(told.Role == Master); was != (told.Role == Master) {
		n.suspect()
	}
	return n
}

// put adds a node to the shard that has its slots. A replica has those of its
// primary; one without slots takes no reads.
func (t *routes) put(n *readNode, told Node, cluster bool) {
	first := uint16(0)
	if cluster {
		if len(told.Slots) == 0 {
			return
		}
		if t.bySlot == nil {
			t.bySlot = make([]uint16, command.Slots)
		}
		first = told.Slots[0].From
	}
	i := t.shardOf(first)
	if told.Role == Master {
		t.shards[i].primary = n
	} else {
		t.shards[i].replicas = append(t.shards[i].replicas, n)
	}
	if !cluster {
		return
	}
	for _, slots := range told.Slots {
		for slot := int(slots.From); slot <= int(slots.To); slot++ {
			t.bySlot[slot] = uint16(i + 1)
		}
	}
}

// shardOf returns the index of the shard that has a slot; it makes one if there
// is none.
func (t *routes) shardOf(slot uint16) int {
	for i := range t.shards {
		if t.bySlot == nil || t.bySlot[slot] == uint16(i+1) {
			return i
		}
	}
	t.shards = append(t.shards, shard{})
	return len(t.shards) - 1
}
