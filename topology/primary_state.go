package topology

import (
	"context"
	"strings"
	"time"
)

const (
	// forgotten is how long no sentinel must have listed a server until it is
	// watched no more.
	forgotten = 30 * time.Second

	// failedEvery is how often broken connections are told of at most: a pool
	// loses all of its connections at once.
	failedEvery = time.Second
)

// A watchState is what a primaryWatcher's loop knows; nobody else touches it.
type watchState struct {
	scene
	w       *primaryWatcher
	watched map[string]*watched

	conns     *bundle   // to the current primary; nil while it is none
	confirmed bool      // a sentinel has named the current primary
	broken    time.Time // the latest trouble that was told of
	seen      bool      // a connection was made
	ready     bool      // the primary answers, and that was told
	lost      time.Time // since when there is no primary that answers
	started   time.Time // a failover that has not ended yet
	failed    time.Time // when Failed was told last
}

// A watched server is asked by a goroutine of its own.
type watched struct {
	stop   context.CancelFunc
	listed time.Time // when one that counts named it last; never forgotten if zero
	down   bool      // a replica of which it was told that it is down
}

// run is the loop. It starts the goroutines that ask, and waits for them.
func (w *primaryWatcher) run(ctx context.Context) {
	now := time.Now()
	s := &watchState{w: w, watched: map[string]*watched{}, lost: now}
	w.state = s
	s.nodes, s.sentinels = map[string]*nodeState{}, map[string]*sentinelState{}
	s.begin(now)
	for _, addr := range w.c.cfg.Addrs {
		s.watchSentinel(addr, time.Time{})
	}
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

// begin notes that there is trouble, and has everybody asked at once.
func (s *watchState) begin(now time.Time) {
	if s.trouble.IsZero() {
		s.trouble = now
		s.w.pulse.since(now)
	}
	s.w.pulse.look()
}

func (s *watchState) emit(e Event) { s.w.c.events.emit(e) }

// hearTrouble looks into a connection that broke.
func (s *watchState) hearTrouble(t trouble) {
	if s.conns == nil || t.addr != s.current {
		return // of one that was deposed
	}
	now := time.Now()
	s.broken = now
	s.begin(now)
	if now.Sub(s.failed) > failedEvery {
		s.failed = now
		s.emit(Event{Kind: Failed, Addr: t.addr, Err: t.err})
	}
}

// hinted notes that a sentinel tells of a failover of addr.
func (s *watchState) hinted(addr string) {
	if addr != s.current {
		return // of one that was deposed
	}
	s.hint = time.Now()
	s.begin(s.hint)
}

// connected notes that a connection was made.
func (s *watchState) connected() {
	if !s.seen {
		s.seen = true
		s.emit(Event{Kind: Connected, Addr: s.current})
	}
}

// sentinelSays takes over what a sentinel says, and has watched whom it lists.
func (s *watchState) sentinelSays(r sentinelReport) {
	if s.watched[sentinelKey(r.addr)] == nil {
		return
	}
	if old := s.sentinels[r.addr]; r.err != nil && old != nil {
		asked, err := r.asked, r.err
		r.sentinelState = *old // what it said last stays
		r.asked, r.err = asked, err
	}
	s.sentinels[r.addr] = &r.sentinelState
	if r.err != nil {
		return
	}
	for _, addr := range r.servers {
		if checkAddr(addr) == nil {
			s.watchNode(addr, r.answered)
		}
	}
	known := map[string]bool{}
	for _, x := range s.sentinels {
		known[x.id] = true
	}
	for addr, id := range r.sentinels {
		if id == "" || !known[id] || s.sentinels[addr] != nil {
			s.watchSentinel(addr, r.answered)
		}
	}
}

func sentinelKey(addr string) string { return "sentinel " + addr }

// watchNode has a data server watched, from now on if it was not.
func (s *watchState) watchNode(addr string, listed time.Time) {
	s.watch(addr, listed, func(ctx context.Context) { s.w.watchNode(ctx, addr) })
}

func (s *watchState) watchSentinel(addr string, listed time.Time) {
	if s.sentinels[addr] == nil {
		s.sentinels[addr] = &sentinelState{addr: addr}
	}
	s.watch(sentinelKey(addr), listed, func(ctx context.Context) { s.w.watchSentinel(ctx, addr) })
}

func (s *watchState) watch(key string, listed time.Time, f func(context.Context)) {
	if x := s.watched[key]; x != nil {
		if !x.listed.IsZero() {
			x.listed = listed
		}
		return
	}
	ctx, stop := context.WithCancel(s.w.ctx)
	s.watched[key] = &watched{stop: stop, listed: listed}
	s.w.wg.Go(func() { f(ctx) })
}

// nodeSays takes over what a data server says.
func (s *watchState) nodeSays(n nodeState) {
	if s.watched[n.Addr] == nil {
		return
	}
	n = n.after(s.nodes[n.Addr])
	n.Slots = allSlots
	s.nodes[n.Addr] = &n
}

// settle draws the conclusions from all that is known.
func (s *watchState) settle(now time.Time) {
	s.now = now
	s.forget()
	said := s.sentinelsSay()
	if addr := s.choose(); addr != s.current {
		s.crown(addr, said)
	}
	if said.master == s.current && s.current != "" {
		s.backed, s.confirmed = now, true
		if said.epoch > s.epoch || said.agreed {
			s.epoch = said.epoch
		}
	}
	s.seatPrimary()
	s.tellReplicas()
	s.calmDown()
	s.post()
}

// crown makes addr the primary.
func (s *watchState) crown(addr string, said word) {
	old := s.current
	if old != "" {
		s.startFailover()
	}
	s.current, s.backed, s.confirmed, s.hint = addr, s.now, false, time.Time{}
	if said.master == addr {
		s.epoch = said.epoch
	}
	if n := s.nodes[addr]; n != nil {
		n = &nodeState{} // never changed once it is published
		*n = *s.nodes[addr]
		n.turned = time.Time{}
		s.nodes[addr] = n
	}
	s.watchNode(addr, s.now)
	if s.conns != nil {
		s.conns.end(errDeposed)
		s.conns = nil
	}
	if old == "" {
		return
	}
	s.begin(s.now)
	s.chosen = s.now
	s.emit(Event{Kind: PrimarySwitched, Addr: addr, Old: old, Duration: s.now.Sub(s.started)})
}

// startFailover tells that there is a failover, once.
func (s *watchState) startFailover() {
	if s.started.IsZero() {
		s.started = s.now
		s.emit(Event{Kind: FailoverStarted, Addr: s.current})
	}
}

// forget stops watching what no sentinel has listed for long.
func (s *watchState) forget() {
	for key, x := range s.watched {
		if x.listed.IsZero() || s.now.Sub(x.listed) < forgotten || key == s.current || s.sentinelsSay().master == "" {
			continue
		}
		x.stop()
		delete(s.watched, key)
		delete(s.nodes, key)
		delete(s.sentinels, strings.TrimPrefix(key, sentinelKey("")))
	}
}

// calmDown ends the trouble once the primary has answered since the last sign of
// it, and the sentinels agree that it is one.
func (s *watchState) calmDown() {
	n := s.nodes[s.current]
	if n == nil || n.err != nil || s.says(s.current) == Replica || n.asked.Before(s.broken) || !s.confirmed || s.underFailover() {
		return
	}
	s.trouble = time.Time{}
	s.w.pulse.since(s.trouble)
}

// tellReplicas tells which replicas have gone or come back.
func (s *watchState) tellReplicas() {
	if s.w.c.reader != nil {
		return // it tells, since it decides
	}
	for addr, n := range s.nodes {
		x := s.watched[addr]
		down := addr != s.current && (n.err != nil || n.loading || n.syncing)
		if x == nil || x.down == down {
			continue
		}
		x.down = down
		switch {
		case addr == s.current: // it was promoted
		case down:
			s.emit(Event{Kind: ReplicaDown, Addr: addr, Err: n.err})
		default:
			s.emit(Event{Kind: ReplicaUp, Addr: addr})
		}
	}
}

// post publishes a snapshot.
func (s *watchState) post() {
	out := snapshot{at: s.now}
	for addr, n := range s.nodes {
		x := *n
		x.Role, x.Down = Replica, n.err != nil
		if addr == s.current && s.conns != nil {
			x.Role = Master
		}
		out.nodes = append(out.nodes, x)
	}
	for _, x := range s.sentinels {
		out.sentinels = append(out.sentinels, *x)
	}
	s.w.c.board.post(out)
}
