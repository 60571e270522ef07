package protocol

import (
	"time"
)

// A simMember is a process of the app: the driver of a Member as package migrate
// has it, less the goroutines.
type simMember struct {
	proc
	m       *Member
	view    [16]serving // by key
	ctl     [3]*conn
	pools   [3]*pool // for the app's commands, by side
	mirrors [3]*pool // for copies to a side
	asking  [3]bool  // a refresh is under way
	again   [3]bool  // and another is wanted
	settle  [3]bool  // which asks the replicas too
	beat    uint64
	ops     []*op
	begun   int // operations and copies
	parked  []*op
	copies  [16]copying
	orphans []*conn
	killing bool
	duty    Duty
	upTo    int // what was begun before the duty
	polling bool
	wishing bool
	unheard time.Duration // until when it hears no nudge
}

// serving is what a view says of one key.
type serving struct {
	read, write Side
	moving      bool
}

// A pool is the connections to one side under unbroken leases: of that side, and
// for copies of the other one too.
type pool struct {
	side   Side
	gens   [3]uint64
	both   bool
	closed bool
	idle   [2][]*conn
	open   []*conn
}

func newSimMember(w *world, name string) *simMember {
	sm := &simMember{proc: newProc(w, name), m: NewMember()}
	for _, s := range Sides {
		sm.after(w.between(0, 100*time.Millisecond), func() { sm.tick(s) })
	}
	for range 2 {
		sm.after(w.between(0, 100*time.Millisecond), sm.client)
	}
	return sm
}

// tick refreshes the lease each second.
func (sm *simMember) tick(s Side) {
	sm.refresh(s)
	sm.after(time.Second, func() { sm.tick(s) })
}

// refresh asks for the side's record and lease, one at a time.
func (sm *simMember) refresh(s Side) {
	if sm.asking[s] {
		sm.again[s] = true
		return
	}
	sm.asking[s] = true
	sm.endLapsed(s)
	sh := sm.w.shards[s][0]
	ended := func() {
		sm.asking[s] = false
		if sm.again[s] {
			sm.again[s] = false
			sm.refresh(s)
		}
	}
	if c := sm.ctl[s]; c == nil || c.closed || c.n != sh.master {
		if c != nil {
			c.close()
		}
		sm.ctl[s] = nil
		sm.dial(sh, func(c *conn, err error) {
			if err == nil {
				sm.ctl[s] = c
				sm.ask(s, ended)
				return
			}
			sm.missed(s)
			ended()
		})
		return
	}
	sm.ask(s, ended)
}

func (sm *simMember) ask(s Side, ended func()) {
	c, settle := sm.ctl[s], sm.settle[s]
	sm.beat++
	e := Entry{
		ID: sm.name, Beat: sm.beat, Epoch: sm.m.Record(s).Epoch, Ack: sm.m.Acked(s), Ready: sm.m.Ready(sm.now()),
		RunIDs: [2]string{sm.m.RunID(Source), sm.m.RunID(Target)},
	}
	seen := Seen{Gen: sm.m.Gen(s), Sent: sm.now()}
	c.call(false, settle, 3*time.Second, func() any {
		sm.w.refreshed(s, e, sm)
		c.n.sh.apply(func(st *state) { st.roll[e.ID] = e })
		return c.n.sh.st.rec
	}, func(v any, safe bool, err error) {
		if err == nil {
			seen.RunID, seen.Record, seen.Safe = c.n.runID, v.(Record), safe
			sm.hear(s, seen, e.Ack)
		} else {
			sm.missed(s)
		}
		ended()
	})
	sm.gap(atAsk, func() {})
}

// missed lets a member begin without a side that does not answer.
func (sm *simMember) missed(s Side) {
	if sm.m.Missed(s) {
		sm.install()
	}
}

func (sm *simMember) hear(s Side, seen Seen, told Ack) {
	eff := sm.m.Hear(s, seen, sm.now())
	sm.settle[s] = eff.Settle
	if eff.View {
		sm.install()
	}
	if eff.PutBack != nil {
		sm.w.stats.PutBacks++
		sm.w.log("%s puts back epoch %d on the %v", sm.name, eff.PutBack.New.Epoch, s)
		sm.change(*eff.PutBack)
	}
	if eff.Close || eff.Settle || sm.m.Acked(s) != told {
		sm.again[s] = true
	}
}

// change sends a compare-and-set of a record.
func (sm *simMember) change(ch Change) {
	sm.dial(sm.w.shards[ch.Side][0], func(c *conn, err error) {
		if err != nil {
			return
		}
		c.call(false, false, 2*time.Second, func() any { return c.n.cas(ch, "") }, func(any, bool, error) { c.close() })
	})
}

// endLapsed closes the pools of a lease that has ended. What is unanswered on
// them is an orphan.
func (sm *simMember) endLapsed(s Side) {
	if !sm.m.Lapse(s, sm.now()) {
		return
	}
	gen := sm.m.Gen(s)
	for _, p := range []*pool{sm.pools[s], sm.mirrors[Source], sm.mirrors[Target]} {
		sm.closePool(p)
	}
	sm.m.Closed(s, gen)
	sm.install()
}

func (sm *simMember) closePool(p *pool) {
	if p == nil || p.closed {
		return
	}
	p.closed = true
	for _, c := range p.open {
		if !c.closed {
			sm.giveUp(c)
		}
	}
}

// giveUp closes a connection and remembers it if a write on it is unanswered.
func (sm *simMember) giveUp(c *conn) {
	if c.orphan() {
		sm.orphans = append(sm.orphans, c)
	}
	c.close()
}

// install takes over what the member obeys now and wakes what is parked.
func (sm *simMember) install() {
	for i, k := range sm.w.keys {
		sm.view[i] = serving{}
		for _, r := range sm.m.Ranges(k.workload) {
			if k.slot >= r.Lo && k.slot < r.Hi {
				sm.view[i] = serving{r.Read, r.Write, r.Moving}
			}
		}
	}
	sm.w.touched = everyKey
	sm.duties()
	parked := sm.parked
	sm.parked = nil
	for _, o := range parked {
		o.begin()
	}
	if !sm.polling {
		sm.polling = true
		sm.after(time.Millisecond, sm.poll)
	}
}

// poll looks for duties and wishes while a move is under way.
func (sm *simMember) poll() {
	sm.polling = false
	for _, s := range Sides {
		sm.endLapsed(s)
		mv := sm.m.Record(s).Move
		sm.polling = sm.polling || (mv != nil && mv.Stage != Granted && !sm.m.Record(s.Other()).At(mv.ID, Granted))
	}
	sm.polling = sm.polling || len(sm.parked) > 0
	if !sm.polling {
		return
	}
	sm.duties()
	sm.wish()
	parked := sm.parked
	sm.parked = nil
	for _, o := range parked {
		o.begin()
	}
	sm.after(sm.w.between(30*time.Millisecond, 100*time.Millisecond), sm.poll)
}

// duties drains and acknowledges.
func (sm *simMember) duties() {
	d, ok := sm.m.Duty()
	if !ok || sm.killing {
		return
	}
	if d != sm.duty {
		sm.duty, sm.upTo = d, sm.begun
	}
	for _, o := range sm.ops {
		if o.counted && o.write && (d.Stage == Held && sm.moves(d, o.key) || d.Stage == Prepared && o.seq <= sm.upTo) {
			return
		}
	}
	for k := range sm.w.keys {
		cp := &sm.copies[k]
		if d.Stage == Held && cp.running && sm.moves(d, k) ||
			d.Stage == Prepared && (cp.running && cp.seq <= sm.upTo || cp.waits && cp.queued <= sm.upTo) {
			return
		}
	}
	sm.killOrphans(func() {
		if sm.m.Done(d, sm.now()) {
			sm.refresh(d.Side)
		}
	})
}

// moves reports whether a key is about to move.
func (sm *simMember) moves(d Duty, k int) bool {
	key := sm.w.keys[k]
	return sm.m.Record(d.Side).Moving(key.workload, key.slot)
}

// killOrphans ends what earlier connections may still carry out.
func (sm *simMember) killOrphans(done func()) {
	if len(sm.orphans) == 0 {
		done()
		return
	}
	sm.killing = true
	o := sm.orphans[0]
	ended := func(ok bool) {
		sm.killing = false
		if ok {
			sm.orphans = sm.orphans[1:]
			sm.duties()
		}
	}
	if !o.n.up { // the process is gone, and what it had not carried out
		ended(true)
		return
	}
	sm.dial(o.n.sh, func(c *conn, err error) {
		if err != nil || c.n != o.n {
			ended(false)
			return
		}
		c.call(false, false, time.Second, func() any { o.kill(); return nil }, func(_ any, _ bool, err error) {
			c.close()
			ended(err == nil)
		})
	})
}

// wish carries out what a coordinator has left.
func (sm *simMember) wish() {
	want, giver, force := sm.m.Wish(sm.now())
	if want == Nothing || sm.wishing || sm.w.chance(0.3) {
		return
	}
	sm.wishing = true
	sm.w.stats.Wishes++
	obeyed := sm.m.Record(giver)
	sm.readBoth(giver, func(roll []Entry, a, b *Written) {
		sm.after(sm.w.between(20*time.Millisecond, 300*time.Millisecond), func() { sm.wishing = false })
		if a == nil {
			return
		}
		var taker *Record
		var seen Record
		if b != nil {
			taker, seen = &b.Current, b.Current
		}
		stamp := Stamp{NextEpoch(a.Current, seen), sm.name, sm.w.nonce()}
		var ch Change
		var ok bool
		switch want {
		case WishEnd:
			if !a.Current.Same(obeyed) {
				return
			}
			ch, ok = Resolve(a.Current, a.RunID, taker, stamp)
		case WishOpen:
			if mv := obeyed.Move; force && (mv == nil || !a.Current.At(mv.ID, Committed)) {
				force = false // it is another move now
			}
			if taker != nil {
				ch, ok = Open(a.Current, *taker, roll, a.Safe, force, stamp)
			}
		case WishStrike:
			if taker != nil {
				ch, ok = StrikeOut(a.Current, *taker, stamp)
			}
		}
		if ok {
			sm.w.log("%s carries out wish %d: epoch %d on the %v", sm.name, want, ch.New.Epoch, ch.Side)
			sm.change(ch)
		}
	})
}

// readBoth reads the giver's roll, then its record, then the taker's, nil being
// no answer.
func (sm *simMember) readBoth(giver Side, f func(roll []Entry, a, b *Written)) {
	readRoll(&sm.proc, giver, func(roll []Entry, a *Written) {
		if a == nil {
			f(nil, nil, nil)
			return
		}
		readSide(&sm.proc, giver.Other(), func(b *Written) { f(roll, a, b) })
	})
}
