package protocol

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"reflect"
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
	// A run makes many small things, and is over soon.
	defer debug.SetGCPercent(debug.SetGCPercent(-1))
	defer debug.SetMemoryLimit(debug.SetMemoryLimit(256 << 20))
	n := *nSeeds
	switch {
	case n > 0:
	case testing.Short():
		n = 100
	case raceOn:
		n = 500
	default:
		n = 10_000
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
	if what := total.lacks(int(n)); failed == 0 && what != "" && n >= 100 {
		t.Errorf("the simulation has too few %s", what)
	}
}

func (s *stats) add(o stats) {
	to, from := reflect.ValueOf(s).Elem(), reflect.ValueOf(o)
	for i := range to.NumField() {
		to.Field(i).SetInt(to.Field(i).Int() + from.Field(i).Int())
	}
}

// lacks names what a simulation of so many seeds has not met often enough. What is
// rare is asked of a long one only.
func (s stats) lacks(seeds int) string {
	often := map[string]bool{
		"acknowledged writes": s.Acked >= 20*seeds, "committed moves": s.Committed >= seeds,
		"frozen processes": s.Frozen >= seeds, "last steps": s.Steps == seeds, "ends": s.Finished > 0,
		"aborts": s.Aborted > 0, "rollbacks": s.Rollbacks > seeds/10, "WAITs that fell short": s.Short > 0,
		"lost packets": s.Lost > 0, "failovers": s.Failovers > 0, "wishes": s.Wishes > 0,
	}
	if seeds >= 5000 {
		often["records put back"] = s.PutBacks > 0
		often["moves that were resumed"] = s.Resumed > 0
		often["late offers"] = s.LateOffers > 0
	}
	for what, met := range often {
		if !met {
			return what
		}
	}
	return ""
}

func newWorld(seed uint64) *world {
	w := &world{seed: seed, rng: rand.New(rand.NewPCG(seed, 7)), cutsBefore: map[string]map[string]int{}, committed: map[string]bool{}, grants: map[string]bool{}}
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
		return w.stats.Committed+w.stats.Aborted >= w.plan.moves && w.stats.Frozen > 0 && w.t > 5*time.Second
	})
	if w.stats.Frozen == 0 { // nobody came to the spot at which it was to be
		w.members[0].freeze(w.between(time.Second, 20*time.Second), false)
	}
	w.log("no more faults")
	w.healed = true
	w.until("settled", w.settled)
	if w.failure != "" {
		return
	}
	w.takeStep()
	w.until("where the last step leads", w.stepTaken)
	if w.failure == "" {
		w.final()
	}
}

// until runs the world in peace until nothing is missing any more.
func (w *world) until(what string, missing func() string) {
	began := w.t
	w.run(began+4*time.Minute, func() bool { return w.t > began+time.Second && missing() == "" })
	if why := missing(); w.failure == "" && why != "" {
		w.fail("not %s: %s", what, why)
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
	for _, c := range w.coords {
		if !c.dead && (w.t < c.thaw || c.mover != nil) {
			return c.name + " is frozen, or in a move"
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
