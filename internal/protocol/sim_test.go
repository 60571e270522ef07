package protocol

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"runtime"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

var (
	oneSeed = flag.Uint64("seed", 0, "run the simulation with this seed only, and print what happens")
	nSeeds  = flag.Uint64("seeds", 0, "run the simulation with this many seeds")
	first   = flag.Uint64("first", 1, "the first of the seeds")
	nFails  = flag.Int("failures", 5, "end the simulation after this many seeds have failed")
)

// TestSimulation runs whole migrations against faults, a seed each, and checks
// after each step what doc.go promises. `go test -run Simulation -seed N` shows
// a run again.
func TestSimulation(t *testing.T) {
	if *oneSeed != 0 {
		w := newWorld(*oneSeed)
		w.tracing = true
		w.play()
		for _, line := range w.trace {
			fmt.Println(line)
		}
		t.Logf("%+v", w.stats)
		if w.failure != "" {
			t.Fatalf("seed %d: %s", w.seed, w.failure)
		}
		return
	}
	defer debug.SetGCPercent(debug.SetGCPercent(400)) // a run makes many small things, and is over soon
	n := *nSeeds
	switch {
	case n > 0:
	case testing.Short():
		n = 100
	case raceOn:
		n = 150
	default:
		n = 1000
	}
	var next atomic.Uint64
	var mu sync.Mutex
	var total stats
	failed := 0
	next.Store(*first)
	var wg sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		wg.Go(func() {
			for seed := next.Add(1) - 1; seed < *first+n; seed = next.Add(1) - 1 {
				w := newWorld(seed)
				w.play()
				mu.Lock()
				total.add(w.stats)
				if w.failure != "" {
					if failed++; failed <= *nFails {
						t.Errorf("seed %d: %s (show it with -seed %d)", seed, w.failure, seed)
					}
				}
				stop := failed >= *nFails
				mu.Unlock()
				if stop {
					return
				}
			}
		})
	}
	wg.Wait()
	t.Logf("%d seeds: %+v", n, total)
	if failed == 0 && (total.committed < int(n) || total.aborted == 0 || total.frozen < int(n)/2 || total.acked < 20*int(n)) {
		t.Errorf("the simulation tests too little: %+v", total)
	}
}

func (s *stats) add(o stats) {
	s.acked += o.acked
	s.reads += o.reads
	s.committed += o.committed
	s.aborted += o.aborted
	s.fences += o.fences
	s.failovers += o.failovers
	s.frozen += o.frozen
	s.putBacks += o.putBacks
	s.wishes += o.wishes
	s.repairs += o.repairs
	s.unknown += o.unknown
	s.boots += o.boots
	s.resumed += o.resumed
	s.events += o.events
}

func newWorld(seed uint64) *world {
	w := &world{seed: seed, rng: rand.New(rand.NewPCG(seed, 7)), cutsBefore: map[string]map[string]int{}, lastAck: map[string]Ack{}}
	w.makePlan()
	for i, slot := range []int{500, 3000, 3001, 7000, 9000, 16000, 12000, 1000} {
		k := key{name: fmt.Sprintf("k%d", i), workload: []string{"w", "w", "w", "w", "w", "v", "w", "v"}[i], slot: slot, shard: 1, set: i%2 == 1}
		if w.plan.waits { // else a failover of the control shard would lose what was acknowledged
			k.shard = i / 2 % 2
		}
		w.keys = append(w.keys, k)
	}
	w.oracle = newOracle(w)
	for _, s := range Sides {
		rec, err := Begin(Record{}, "sim", s, "plan", []string{"v", "w"}, Stamp{1, "test", w.nonce()})
		if err != nil {
			panic(err)
		}
		w.shards[s][0] = newShard(w, s, 0, 1+w.rng.IntN(2), rec)
		w.shards[s][1] = newShard(w, s, 1, 1, Record{})
	}
	for range 2 + w.rng.IntN(2) {
		w.addMember()
	}
	w.anotherCoord(0)
	return w
}

// play runs the world: with faults first, then in peace until all has settled.
func (w *world) play() {
	w.watchHolds()
	w.run(w.plan.until, func() bool {
		return w.stats.committed+w.stats.aborted >= w.plan.moves && w.stats.frozen > 0 && w.t > 5*time.Second
	})
	w.log("no more faults")
	w.healed = true
	peace := w.t
	w.run(peace+4*time.Minute, func() bool { return w.t > peace+time.Second && w.settled() == "" })
	if why := w.settled(); w.failure == "" && why != "" {
		w.fail("not settled: %s", why)
	}
	if w.failure == "" {
		w.final()
	}
}

// settled says what is not over yet: a move, a member without a lease, an
// operation that waits.
func (w *world) settled() string {
	for _, s := range Sides {
		rec, other := w.shards[s][0].st.rec, w.shards[s.Other()][0].st.rec
		if !rec.settled() {
			return fmt.Sprintf("the %v is at %s", s, rec.Move.Stage)
		}
		if mv := rec.Move; mv != nil && mv.Stage == Committed && rec.Epoch > other.Epoch && !other.At(mv.ID, Granted) {
			return fmt.Sprintf("the %v has committed, and nobody has granted", s)
		}
		for _, sh := range w.shards[s] {
			if !sh.master.up {
				return "a shard is down"
			}
		}
	}
	for _, sm := range w.members {
		switch {
		case sm.dead:
		case w.t < sm.thaw:
			return sm.name + " is frozen"
		case !sm.m.Ready(sm.now()):
			return sm.name + " has no leases"
		case len(sm.parked) > 0:
			return sm.name + " has operations that wait"
		}
		for k, key := range w.keys {
			read, write := serve(w.shards[Source][0].st.rec, w.shards[Target][0].st.rec, key.workload, key.slot)
			if v := sm.view[k]; !sm.dead && (v.read != read || v.write != write) {
				return sm.name + " has an old view"
			}
		}
	}
	return ""
}

// watchHolds fails when a hold stands for longer than it may, although its side
// has not failed over and somebody is there to end it.
func (w *world) watchHolds() {
	var since [3]time.Duration
	var nonce [3]string
	var look func()
	look = func() {
		for _, s := range Sides {
			sh := w.shards[s][0]
			held := sh.st.rec.Move != nil && sh.st.rec.Move.Stage == Held && sh.master.up && sh.st.rec.Move.RunID == sh.master.runID
			somebody := false
			for _, sm := range w.members {
				somebody = somebody || (!sm.dead && w.t >= sm.thaw && w.t >= sm.slow[s][0].until+sm.slow[s][0].by && w.t >= sm.slow[s.Other()][0].until+sm.slow[s.Other()][0].by && sm.m.Lease(s).Valid(sm.now()))
			}
			if !held || !somebody || w.t < sh.away || sh.st.rec.Nonce != nonce[s] {
				since[s], nonce[s] = w.t, sh.st.rec.Nonce
			}
			if d := w.t - since[s]; d > w.plan.hold+8*time.Second {
				w.fail("the %v holds for %v", s, d)
			}
		}
		w.in(250*time.Millisecond, look)
	}
	look()
}
