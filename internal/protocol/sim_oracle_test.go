package protocol

import (
	"sort"
	"time"
)

// An oracle knows every operation, and so what a read may answer.
type oracle struct {
	w    *world
	keys []history
}

// A history is that of one key. A write has taken effect at the latest when it
// is acknowledged, or when a read has shown it.
type history struct {
	writes []written
	effect []effect // in the order of time
	known  *known   // elements of a set that must be there
}

type written struct {
	inv, eff time.Duration
	stray    bool // see strays
}

// An effect says: at this time, a write had taken effect that was asked for at
// inv or later.
type effect struct{ at, inv time.Duration }

// known is what a read of a set that begins now has to show.
type known struct {
	elements value
}

func newOracle(w *world) oracle {
	o := oracle{w: w, keys: make([]history, len(w.keys))}
	for i := range o.keys {
		o.keys[i].known = &known{}
		o.keys[i].writes = []written{{inv: -1, eff: -1}} // 0 is no value
	}
	return o
}

func (o *oracle) write(k int, inv time.Duration) int {
	h := &o.keys[k]
	h.writes = append(h.writes, written{inv: inv, eff: never})
	return len(h.writes) - 1
}

func (o *oracle) now(k int) *known { return o.keys[k].known }

// ack takes an acknowledged write.
func (o *oracle) ack(op *op) {
	if o.w.tracing {
		o.w.log("%s is told that write %d of %s is done", op.sm.name, op.id, o.w.keys[op.key].name)
	}
	o.took(op.key, op.id)
}

// strays marks a write that arrives after its sender has slept through its lease,
// where kills reach nobody. Only a kill can stop it. It is not acknowledged, but who
// reads on a giver that has committed may see it, and nobody after the grant.
func (o *oracle) strays(op *op) {
	if o.w.plan.deaf && !op.sm.m.Lease(op.side).Valid(op.sm.now()) {
		o.keys[op.key].writes[op.id].stray = true
	}
}

func (o *oracle) took(k, id int) {
	h := &o.keys[k]
	wr := &h.writes[id]
	if wr.eff != never {
		return
	}
	wr.eff = o.w.t
	o.w.touched |= 1 << k
	inv := wr.inv
	if n := len(h.effect); n > 0 {
		inv = max(inv, h.effect[n-1].inv)
	}
	h.effect = append(h.effect, effect{o.w.t, inv})
	if o.w.keys[k].set {
		h.known = &known{h.known.elements.with(id)}
	}
}

// read checks what a member read. A register may not show a write that had
// taken effect before another was asked for that had itself taken effect before
// the read began. A set shows every element that was there before.
func (o *oracle) read(op *op, v value) {
	if o.w.tracing {
		o.w.log("%s reads %v of %s on the %v", op.sm.name, v, o.w.keys[op.key].name, op.side)
	}
	o.check(op.key, op.inv, op.must, v, op.side, op.sm)
	if o.w.plan.waits {
		return // a read may show what a failover is about to lose
	}
	h := &o.keys[op.key]
	if !o.w.keys[op.key].set {
		if !h.writes[v.write].stray {
			o.took(op.key, v.write)
		}
		return
	}
	for id := 1; id < len(h.writes); id++ {
		if v.has(id) && !h.writes[id].stray {
			o.took(op.key, id)
		}
	}
}

// check is for a member, or for whoever may read there.
func (o *oracle) check(k int, inv time.Duration, must *known, v value, side Side, sm *simMember) {
	h := &o.keys[k]
	who := func() string {
		if sm == nil {
			return "who may read on the " + side.String()
		}
		return sm.name + " on the " + side.String()
	}
	if o.w.keys[k].set {
		for i, bits := range must.elements.set {
			if i >= len(v.set) || bits&^v.set[i] != 0 {
				o.w.fail("%s reads %v of %s, which has lost some of %v", who(), v.set, o.w.keys[k].name, must.elements.set)
				return
			}
		}
		return
	}
	i := sort.Search(len(h.effect), func(i int) bool { return h.effect[i].at >= inv })
	if i > 0 && h.writes[v.write].eff < h.effect[i-1].inv {
		o.w.fail("%s reads write %d of %s, in effect at %v; a write asked for at %v had taken effect before %v, when the read began",
			who(), v.write, o.w.keys[k].name, h.writes[v.write].eff, h.effect[i-1].inv, inv)
	}
}

// everyKey is touched by what concerns them all.
const everyKey = 1<<16 - 1

// invariants hold after each step. They can only begin to fail for a key whose
// values, acknowledgements or readers have changed; leases that end make nothing
// worse.
//
//   - A key has one side on which members with valid leases may write it.
//   - Whoever may read a key finds every write there that was acknowledged.
func (w *world) invariants() {
	for k := range w.keys {
		if w.touched&(1<<k) == 0 {
			continue
		}
		var reads, writes [3]bool // by side
		for _, sm := range w.members {
			if sm.dead || w.t < sm.thaw {
				continue
			}
			v := sm.view[k]
			if v.read == None && v.write == None {
				continue
			}
			now := sm.now()
			reads[v.read] = reads[v.read] || sm.m.Lease(v.read).Valid(now)
			writes[v.write] = writes[v.write] || sm.m.Lease(v.write).Valid(now)
		}
		if writes[Source] && writes[Target] {
			w.fail("%s may be written on both sides", w.keys[k].name)
		}
		for _, s := range Sides {
			if sh := w.shards[s][w.keys[k].shard]; reads[s] && sh.master.up {
				w.oracle.check(k, w.t+1, w.oracle.now(k), sh.st.vals[k], s, nil)
			}
		}
	}
	w.touched = 0
}

// granted checks at a grant that both sides are equal in what moves. A shard
// that failed over in the hold may have lost what nobody was told was done.
func (w *world) granted(giver Side, before Record) {
	if w.plan.deaf {
		return
	}
	for k, key := range w.keys {
		if !before.Moving(key.workload, key.slot) {
			continue
		}
		a, b := w.shards[giver][key.shard], w.shards[giver.Other()][key.shard]
		if !a.master.up || !b.master.up || w.t-a.lastFail < time.Minute || w.t-b.lastFail < time.Minute {
			continue
		}
		if va, vb := a.st.vals[k], b.st.vals[k]; !va.equal(vb) {
			w.fail("%s is granted to the %v, which has %v; the %v has %v", key.name, giver.Other(), vb, giver, va)
		}
	}
}

// final reads every key where the records say that it is.
func (w *world) final() {
	src, dst := w.shards[Source][0].st.rec, w.shards[Target][0].st.rec
	for k, key := range w.keys {
		read, write := serve(src, dst, key.workload, key.slot)
		if read != write || read == None {
			w.fail("%s is served by %v for reads and %v for writes in the end", key.name, read, write)
			return
		}
		v := w.shards[read][key.shard].st.vals[k]
		w.oracle.check(k, w.t, w.oracle.now(k), v, read, nil)
	}
}
