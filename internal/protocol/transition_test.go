package protocol

import (
	"errors"
	"testing"
)

// stands returns the two records of a migration at 10 % in which a move from
// giver has come to the given stages, "" being no move under way.
func stands(t *testing.T, giver Side, gives, takes Stage) (g, k Record) {
	t.Helper()
	stamp := func(epoch uint64) Stamp { return Stamp{Epoch: epoch, Writer: "w", Nonce: string(rune('a' + epoch))} }
	must := func(r Record, err error) Record {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	var recs [3]Record
	for _, s := range Sides {
		r := must(Begin(Record{}, "n", s, "plan", []string{"w"}, stamp(1)))
		r.Cuts["w"], r.Phase = Cut(10), Cutover
		recs[s] = r
	}
	goal := map[string]int{"w": Cut(50)}
	if giver == Target {
		goal["w"] = 0
	}
	g, k = recs[giver], recs[giver.Other()]
	if gives == "" && takes == "" {
		return g, k
	}
	g = must(g.Prepare(Move{ID: "m", From: giver, Goal: goal, HoldMS: 250}, stamp(2)))
	held := must(g.Hold("m", "run", stamp(3)))
	offered := must(k.Offer(*held.Move, stamp(4)))
	committed := must(held.Commit("m", stamp(5)))
	switch gives {
	case Held:
		g = held
	case Committed:
		g = committed
	case "":
		g = must(held.Abort("m", stamp(5)))
	}
	switch takes {
	case Offered:
		k = offered
	case Granted:
		k = must(offered.Grant(committed, stamp(6)))
	}
	return g, k
}

// TestTransitions holds every transition against every stage of the record that
// it changes.
func TestTransitions(t *testing.T) {
	s := Stamp{Epoch: 9, Writer: "w", Nonce: "z"}
	steps := map[string]struct {
		on      string // which record: that of the giver or of the taker
		do      func(g, k Record) (Record, error)
		allowed []Stage
	}{
		"prepare": {"giver", func(g, _ Record) (Record, error) {
			return g.Prepare(Move{ID: "n", From: g.Side, Goal: map[string]int{}}, s)
		}, []Stage{"", Committed}},
		"hold":   {"giver", func(g, _ Record) (Record, error) { return g.Hold("m", "run", s) }, []Stage{Prepared}},
		"commit": {"giver", func(g, _ Record) (Record, error) { return g.Commit("m", s) }, []Stage{Held}},
		"abort":  {"giver", func(g, _ Record) (Record, error) { return g.Abort("m", s) }, []Stage{Prepared, Held}},
		"offer": {"taker", func(_, k Record) (Record, error) {
			return k.Offer(Move{ID: "n", From: k.Side.Other(), Stage: Held}, s)
		}, []Stage{"", Granted}},
		"strike": {"taker", func(_, k Record) (Record, error) { return k.Strike(s) }, []Stage{Offered}},
		"grant": {"taker", func(g, k Record) (Record, error) {
			g.Move = &Move{ID: "m", From: g.Side, Goal: map[string]int{"w": Cut(50)}, Stage: Committed}
			return k.Grant(g, s)
		}, []Stage{"", Offered}},
	}
	for name, step := range steps {
		for _, giver := range Sides {
			for _, stage := range []Stage{"", Prepared, Held, Committed, Offered, Granted} {
				t.Run(name+" from "+giver.String()+" at "+string(stage), func(t *testing.T) {
					if on := "taker"; stage == Offered || stage == Granted {
						if step.on != on {
							t.Skip("a giver has no such stage")
						}
					} else if stage != "" && step.on == on {
						t.Skip("a taker has no such stage")
					}
					g, k := stands(t, giver, stage, "")
					if step.on == "taker" {
						g, k = stands(t, giver, "", stage)
					}
					before := g.Encode() + k.Encode()
					got, err := step.do(g, k)
					want := false
					for _, a := range step.allowed {
						want = want || a == stage
					}
					if (err == nil) != want || (err != nil && !errors.Is(err, ErrIllegalStep)) {
						t.Errorf("got %v; want allowed %v", err, want)
					}
					if err == nil && (got.Epoch != 9 || got.Nonce != "z") {
						t.Errorf("got stamp %d %q; want 9 and z", got.Epoch, got.Nonce)
					}
					if after := g.Encode() + k.Encode(); after != before {
						t.Errorf("the step changed the record that it was made from:\n%s\n%s", before, after)
					}
				})
			}
		}
	}
}
