package protocol

import (
	"fmt"
	"testing"
)

// TestRanges tells for each stage who reads and who writes the moving slots.
func TestRanges(t *testing.T) {
	for name, tt := range map[string]struct {
		gives, takes Stage
		read, write  string
		moving       bool
	}{
		"no move":   {"", "", "giver", "giver", false},
		"held":      {Held, "", "giver", "none", true},
		"offered":   {Held, Offered, "giver", "none", true},
		"committed": {Committed, Offered, "taker", "none", true},
		"granted":   {Committed, Granted, "taker", "taker", false},
		"aborted":   {"", Offered, "giver", "giver", true},
		"lost":      {Held, Granted, "taker", "taker", true}, // the giver has forgotten its commit
		"late":      {Committed, "", "none", "none", false},  // the taker has forgotten its offer
	} {
		for _, giver := range Sides {
			t.Run(name+" from "+giver.String(), func(t *testing.T) {
				g, k := stands(t, giver, tt.gives, tt.takes)
				src, dst := g, k
				lo, hi := Cut(10), Cut(50)
				if giver == Target {
					src, dst = k, g
					lo, hi = 0, Cut(10)
				}
				side := map[string]Side{"giver": giver, "taker": giver.Other(), "none": None}
				covered := 0
				for _, r := range ranges(src, dst, "w") {
					if r.Lo != covered {
						t.Fatalf("ranges leave a hole at %d", covered)
					}
					covered = r.Hi
					want := Range{r.Lo, r.Hi, side[tt.read], side[tt.write], tt.moving}
					if r.Lo < lo || r.Lo >= hi {
						stays := Source
						if r.Lo < Cut(10) {
							stays = Target
						}
						want = Range{r.Lo, r.Hi, stays, stays, false}
					}
					if r != want {
						t.Errorf("got %+v; want %+v", r, want)
					}
				}
				if covered != Slots {
					t.Errorf("ranges end at %d", covered)
				}
			})
		}
	}
}

// A pair is the two records of a migration.
type pair [3]Record

// shape is what tells two pairs apart: not their stamps, but which is newer.
func (p pair) shape() string {
	names := map[string]string{}
	out := ""
	for _, s := range Sides {
		r := p[s]
		id, goal, stage := "", map[string]int(nil), Stage("")
		if r.Move != nil {
			if names[r.Move.ID] == "" {
				names[r.Move.ID] = fmt.Sprint(len(names))
			}
			id, goal, stage = names[r.Move.ID], r.Move.Goal, r.Move.Stage
		}
		out += fmt.Sprint(r.Phase, r.Cuts, id, goal, stage, "|")
	}
	return out + fmt.Sprint(p[Source].Epoch > p[Target].Epoch, p[Source].Epoch < p[Target].Epoch)
}

// TestReachable goes through every pair of records that the transitions reach,
// at whatever moment coordinators and members take them: no slot is ever owned
// twice, and reads are never held.
func TestReachable(t *testing.T) {
	var start pair
	for _, s := range Sides {
		r, err := Begin(Record{}, "n", s, "plan", []string{"v", "w"}, Stamp{1, "x", "0"})
		if err != nil {
			t.Fatal(err)
		}
		start[s] = r
	}
	seen := map[string]bool{start.shape(): true}
	queue := []pair{start}
	count := 0
	for len(queue) > 0 {
		p := queue[0]
		queue = queue[1:]
		checkPair(t, p)
		for _, next := range p.next(&count) {
			if s := next.shape(); !seen[s] {
				seen[s] = true
				queue = append(queue, next)
			}
		}
		if len(seen) > 100_000 {
			t.Fatal("more than 100,000 pairs: the shapes do not fold")
		}
	}
	if len(seen) < 100 {
		t.Errorf("got %d pairs; want more: a transition does not work", len(seen))
	}
	t.Logf("%d pairs of records", len(seen))
}

func checkPair(t *testing.T, p pair) {
	t.Helper()
	for _, name := range []string{"v", "w"} {
		for _, slot := range []int{0, Slots/2 - 1, Slots / 2, Slots - 1} {
			if p[Source].State(name, slot) == Owns && p[Target].State(name, slot) == Owns {
				t.Errorf("%s slot %d is owned twice:\n%s\n%s", name, slot, p[Source].Encode(), p[Target].Encode())
			}
			if read, write := serve(p[Source], p[Target], name, slot); read == None || (write != None && write != read) {
				t.Errorf("%s slot %d: read %v, write %v:\n%s\n%s", name, slot, read, write, p[Source].Encode(), p[Target].Encode())
			}
		}
	}
}

// next returns every pair that one change leads to.
func (p pair) next(count *int) (out []pair) {
	*count++
	st := Stamp{NextEpoch(p[Source], p[Target]), "x", fmt.Sprint(*count)}
	add := func(r Record, err error) {
		if err == nil {
			q := p
			q[r.Side] = r
			out = append(out, q)
		}
	}
	change := func(ch Change, ok bool) {
		if ok {
			add(ch.New, nil)
		}
	}
	for _, s := range Sides {
		g, k := p[s], p[s.Other()]
		for _, goal := range []map[string]int{{"v": Slots}, {"w": Slots / 2}, {"v": 0, "w": 0}, {"w": Slots, "v": Slots / 2}} {
			if k.settled() && g.settled() { // the gates
				add(g.Prepare(Move{ID: fmt.Sprint("m", *count), From: s, Goal: goal}, st))
			}
		}
		if mv := g.Move; mv != nil && mv.From == s {
			add(g.Hold(mv.ID, "run", st))
			add(g.Abort(mv.ID, st))
			if mv.Stage == Held {
				add(k.Offer(*mv, st))
			}
			if k.At(mv.ID, Offered) {
				add(g.Commit(mv.ID, st))
			}
		}
		for _, run := range []string{"run", "other"} {
			change(Resolve(g, run, &k, st))
		}
		change(Open(g, k, nil, true, false, st))
		change(StrikeOut(g, k, st))
	}
	return out
}

// TestBothOwn: one side has lost its newest record in a failover, and the higher
// epoch is right.
func TestBothOwn(t *testing.T) {
	old, _ := stands(t, Source, "", "")
	_, granted := stands(t, Source, Committed, Granted)
	for name, tt := range map[string]struct {
		source, target uint64
		want           Side
	}{
		"the source has forgotten that it gave": {1, 6, Target},
		"the target has forgotten that it gave": {6, 1, Source},
	} {
		t.Run(name, func(t *testing.T) {
			a, b := old, granted
			a.Epoch, b.Epoch = tt.source, tt.target
			if read, write := serve(a, b, "w", Cut(30)); read != tt.want || write != tt.want {
				t.Errorf("got %v for reads and %v for writes; want %v", read, write, tt.want)
			}
		})
	}
}
