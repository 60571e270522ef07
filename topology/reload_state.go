package topology

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"time"
)

// A clusterState is what a clusterWatcher's loop knows; nobody else touches it.
type clusterState struct {
	w       *clusterWatcher
	now     time.Time
	nodes   map[string]*nodeState
	watched map[string]context.CancelFunc
	told    map[string][]Node // the maps that nodes tell, by who tells
	latest  []Node            // the map that was told last
	listed  map[string]Node   // every node that a map has named, as the latest one did
	masters []string          // of go-redis's own map
	of      map[string]string // whose replica a node was last
	broken  map[string]time.Time
	down    map[string]bool      // nodes that do not answer, as was told
	lost    map[string]time.Time // masters that do not answer, and since when
	trouble time.Time
	failed  time.Time // when Failed was told last
	seen    bool      // a map was read
	board   snapshot
}

// loop is the loop. It starts the goroutines that ask.
func (w *clusterWatcher) loop(ctx context.Context) {
	s := &clusterState{w: w, nodes: map[string]*nodeState{}, watched: map[string]context.CancelFunc{}, told: map[string][]Node{},
		listed: map[string]Node{}, of: map[string]string{}, broken: map[string]time.Time{}, down: map[string]bool{}, lost: map[string]time.Time{}}
	w.wg.Go(func() { w.reload(ctx, s.mapRead) })
	for _, addr := range w.c.cfg.Addrs {
		s.watch(addr)
	}
	w.want()
	for {
		select {
		case <-ctx.Done():
			return
		case f := <-w.reports:
			f()
		case t := <-w.troubles:
			s.hearTrouble(t)
		}
		s.settle(time.Now())
	}
}

func (s *clusterState) emit(e Event) { s.w.c.events.emit(e) }

// begin notes that there is trouble, and has everybody asked at once.
func (s *clusterState) begin(now time.Time) {
	if s.trouble.IsZero() {
		s.trouble = now
		s.w.pulse.since(now)
		s.w.want()
	}
	s.w.pulse.look()
}

// hearTrouble looks into a connection that broke.
func (s *clusterState) hearTrouble(t trouble) {
	now := time.Now()
	s.broken[t.addr] = now
	s.begin(now)
	if now.Sub(s.failed) > failedEvery {
		s.failed = now
		s.emit(Event{Kind: Failed, Addr: t.addr, Err: t.err})
	}
}

// watch has a node watched, if it is not.
func (s *clusterState) watch(addr string) {
	if s.watched[addr] != nil {
		return
	}
	ctx, stop := context.WithCancel(s.w.ctx)
	s.watched[addr] = stop
	s.w.wg.Go(func() { s.w.watchNode(ctx, addr, s.nodeSays) })
}

// nodeSays takes over what a node says of itself, and the map that it tells.
func (s *clusterState) nodeSays(n nodeState, nodes []Node) {
	if s.watched[n.Addr] == nil {
		return
	}
	n = n.after(s.nodes[n.Addr])
	s.nodes[n.Addr] = &n
	if n.says == Replica {
		s.of[n.Addr] = resolve(n.of, n.Addr)
	}
	delete(s.told, n.Addr)
	if len(nodes) == 0 {
		return
	}
	s.told[n.Addr], s.latest = nodes, nodes
	for _, x := range nodes {
		if checkAddr(x.Addr) == nil {
			s.listed[x.Addr] = x
			s.watch(x.Addr)
		}
	}
}

// mapRead takes over which masters go-redis's map names.
func (s *clusterState) mapRead(masters []string) {
	old := s.masters
	s.masters = masters
	if !s.seen {
		s.seen = true
		s.emit(Event{Kind: Connected, Addr: masters[0]})
		s.emit(Event{Kind: Ready, Addr: masters[0]})
		return
	}
	for _, addr := range masters {
		if !slices.Contains(old, addr) {
			s.tookOver(addr, old)
		}
	}
}

// tookOver tells that addr has become a master, if it was another's replica.
func (s *clusterState) tookOver(addr string, old []string) {
	from := s.of[addr]
	if !slices.Contains(old, from) || slices.Contains(s.masters, from) {
		return // it was given slots, as when a cluster grows
	}
	now := time.Now()
	began, dead := s.lost[from]
	if !dead {
		began = now
		s.emit(Event{Kind: FailoverStarted, Addr: from})
	}
	took := now.Sub(began)
	s.emit(Event{Kind: PrimarySwitched, Addr: addr, Old: from, Duration: took})
	s.emit(Event{Kind: FailoverEnded, Addr: addr, Duration: took})
	if dead {
		delete(s.lost, from)
		s.emit(Event{Kind: Ready, Addr: addr, Duration: took})
	}
}

// settle draws the conclusions from all that is known.
func (s *clusterState) settle(now time.Time) {
	s.now = now
	s.forget()
	s.chooseTellers()
	for addr, n := range s.nodes {
		s.seatNode(addr, n)
		if _, ok := s.listed[addr]; ok {
			s.tellNode(addr, n)
		}
	}
	if s.outdated() {
		s.begin(now)
		s.w.want()
	} else if s.quiet() {
		s.trouble = time.Time{}
		s.w.pulse.since(s.trouble)
	}
	s.post()
}

// forget stops watching nodes that no map names any more.
func (s *clusterState) forget() {
	if len(s.latest) == 0 || !s.trouble.IsZero() {
		return
	}
	for addr, stop := range s.watched {
		named := slices.ContainsFunc(s.latest, func(n Node) bool { return n.Addr == addr })
		if named || slices.Contains(s.masters, addr) || slices.Contains(s.w.c.cfg.Addrs, addr) || s.down[addr] {
			continue
		}
		stop()
		delete(s.watched, addr)
		delete(s.nodes, addr)
		delete(s.told, addr)
		delete(s.listed, addr)
		delete(s.of, addr)
	}
}

// chooseTellers has some of the nodes that answer asked for the map.
func (s *clusterState) chooseTellers() {
	var tells []string
	for _, addr := range slices.Sorted(maps.Keys(s.nodes)) {
		if s.nodes[addr].err == nil && len(tells) < mapTellers {
			tells = append(tells, addr)
		}
	}
	s.w.mu.Lock()
	s.w.tells = tells
	s.w.mu.Unlock()
}

// absence says why a node cannot be connected to with success, or "".
func (s *clusterState) absence(addr string, n *nodeState) string {
	switch {
	case n.err != nil:
		return fmt.Sprintf("%s does not answer (%v)", addr, n.err)
	case n.loading:
		return addr + " is reading its data"
	}
	return ""
}

// inDoubt is as a watchState's.
func (s *clusterState) inDoubt(addr string, n *nodeState) string {
	if n.asked.Before(s.broken[addr]) {
		return "a connection to " + addr + " broke, and it has not answered since"
	}
	return ""
}

// seatNode says whether connections are to be made to a node. Only a master's
// calls wait; one that has lost its slots and does not answer has all its
// connections ended, since what is in flight on them can go elsewhere.
func (s *clusterState) seatNode(addr string, n *nodeState) {
	absence := s.absence(addr, n)
	if slices.Contains(s.masters, addr) {
		s.w.place(addr, seat{waiting: cmp.Or(absence, s.inDoubt(addr, n)), since: s.lost[addr]})
		return
	}
	next := seat{hasty: true}
	if len(s.masters) > 0 {
		next.waiting = absence
	}
	if old := s.w.at(addr); !old.hasty && absence != "" {
		old.conns.end(errDeposed)
		next.conns = newBundle(addr, s.w.broke)
	}
	s.w.place(addr, next)
}

// tellNode tells of nodes' going and coming.
func (s *clusterState) tellNode(addr string, n *nodeState) {
	down, master := s.absence(addr, n) != "", slices.Contains(s.masters, addr)
	if down == s.down[addr] {
		return
	}
	s.down[addr] = down
	switch began, dead := s.lost[addr]; {
	case down:
		s.emit(Event{Kind: NodeFailed, Addr: addr, Err: n.err})
		if !master {
			s.emit(Event{Kind: ReplicaDown, Addr: addr, Err: n.err})
			return
		}
		s.begin(s.now)
		s.lost[addr] = s.now
		s.emit(Event{Kind: Reconnecting, Addr: addr})
		s.emit(Event{Kind: FailoverStarted, Addr: addr})
	case dead && master: // it is back before a replica took its place
		delete(s.lost, addr)
		s.emit(Event{Kind: FailoverEnded, Addr: addr, Duration: s.now.Sub(began)})
		s.emit(Event{Kind: Ready, Addr: addr, Duration: s.now.Sub(began)})
	case !master:
		s.emit(Event{Kind: ReplicaUp, Addr: addr})
	}
}

// outdated reports whether a node tells of other masters than go-redis knows.
func (s *clusterState) outdated() bool {
	for _, nodes := range s.told {
		var masters []string
		for _, n := range nodes {
			if n.Role == Master {
				masters = append(masters, n.Addr)
			}
		}
		if !slices.Equal(masters, s.masters) {
			return true
		}
	}
	return false
}

// quiet reports whether all masters have answered since something broke.
func (s *clusterState) quiet() bool {
	for _, addr := range s.masters {
		if n := s.nodes[addr]; n == nil || s.absence(addr, n) != "" || s.inDoubt(addr, n) != "" {
			return false
		}
	}
	return len(s.masters) > 0
}

// post publishes a snapshot.
func (s *clusterState) post() {
	s.board.at, s.board.nodes = s.now, nil
	for addr, n := range s.nodes {
		as, ok := s.listed[addr]
		if !ok {
			continue // another name for one that is listed
		}
		x := *n
		x.ID, x.Slots, x.Role, x.Down = as.ID, as.Slots, Replica, n.err != nil
		if slices.Contains(s.masters, addr) {
			x.Role = Master
		}
		s.board.nodes = append(s.board.nodes, x)
	}
	s.board.silent = s.silent()
	s.w.c.board.post(s.board)
}

// silent returns, while no master is known, the nodes to blame: those that do not
// answer, or let nobody in.
func (s *clusterState) silent() (list []nodeState) {
	if len(s.masters) > 0 {
		return nil
	}
	for _, addr := range slices.Sorted(maps.Keys(s.nodes)) {
		if n := s.nodes[addr]; s.listed[addr].Addr == "" && !n.answers() {
			list = append(list, *n)
		}
	}
	return list
}
