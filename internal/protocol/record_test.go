package protocol

import (
	"errors"
	"strings"
	"testing"
)

func TestDecodeRefusesOtherFormats(t *testing.T) {
	for name, tt := range map[string]struct {
		text string
		says string
	}{
		"newer format": {`{"format":2,"name":"n"}`, "2; this program knows 1"},
		"no format":    {`{"name":"n"}`, "it names no format"},
		"not JSON":     {`control`, "damaged: no version of migrate wrote this: not JSON"},
		"other type":   {`{"format":1,"epoch":"x"}`, "epoch"},
		"other side":   {`{"format":1,"side":"left"}`, "unknown side"},
		"other phase":  {`{"format":1,"side":"source","phase":"later"}`, "unknown phase"},
		"an array":     {`[1]`, "not JSON"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := Decode(tt.text)
			if !errors.Is(err, ErrFormat) || !strings.Contains(err.Error(), tt.says) {
				t.Fatalf("got %v; want ErrFormat that says %q", err, tt.says)
			}
		})
	}
	if r, err := Decode(""); err != nil || !r.Empty() {
		t.Errorf("no text: got %+v, %v; want the empty record", r, err)
	}
}

// FuzzDecode holds that what is accepted is stored again in one form only: the
// compare-and-set compares that form.
func FuzzDecode(f *testing.F) {
	g, k := sample(f)
	for _, seed := range []string{"", "{}", `{"format":1}`, g.Encode(), k.Encode(), `{"format":1,"cuts":{"w":1e9}}`} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		r, err := Decode(text)
		if err != nil {
			if !errors.Is(err, ErrFormat) {
				t.Fatalf("got %v; want ErrFormat", err)
			}
			return
		}
		if r.Empty() != (text == "") {
			t.Fatalf("%q: got empty %v", text, r.Empty())
		}
		if r.Empty() {
			return
		}
		again, err := Decode(r.Encode())
		if err != nil || again.Encode() != r.Encode() {
			t.Fatalf("got %v, %v; want %v", again.Encode(), err, r.Encode())
		}
	})
}

// sample returns two records in the middle of a move.
func sample(tb testing.TB) (g, k Record) {
	tb.Helper()
	g, err := Begin(Record{}, "n", Source, "plan", []string{"v", "w"}, Stamp{1, "w", "a"})
	if err != nil {
		tb.Fatal(err)
	}
	k, err = Begin(Record{}, "n", Target, "plan", []string{"v", "w"}, Stamp{1, "w", "b"})
	if err != nil {
		tb.Fatal(err)
	}
	g, err = g.Prepare(Move{ID: "m", From: Source, Goal: map[string]int{"w": Cut(50)}, HoldMS: 250}, Stamp{2, "w", "c"})
	if err != nil {
		tb.Fatal(err)
	}
	g, err = g.Hold("m", "run", Stamp{3, "w", "d"})
	if err != nil {
		tb.Fatal(err)
	}
	return g, k
}

// TestCut holds the cut against the rule that it stands for, for every slot.
func TestCut(t *testing.T) {
	for percent := range 101 {
		cut := Cut(percent)
		for slot := range Slots {
			if want := float64(slot) < float64(percent)*16384/100; (slot < cut) != want {
				t.Fatalf("%d%%, slot %d: got target %v; want %v", percent, slot, slot < cut, want)
			}
		}
		if got := Percent(cut); got != percent {
			t.Errorf("Percent(Cut(%d)): got %d", percent, got)
		}
	}
}

func TestState(t *testing.T) {
	inside, below, above := Cut(30), Cut(5), Cut(80)
	for name, tt := range map[string]struct {
		giver                Side
		gives, takes         Stage
		giverSays, takerSays State
	}{
		"no move":            {Source, "", "", Owns, Given},
		"held":               {Source, Held, "", Holds, Given},
		"offered":            {Source, Held, Offered, Holds, Awaits},
		"committed":          {Source, Committed, Offered, Given, Awaits},
		"granted":            {Source, Committed, Granted, Given, Owns},
		"aborted":            {Source, "", Offered, Owns, Awaits},
		"back, held":         {Target, Held, "", Holds, Given},
		"back, offered":      {Target, Held, Offered, Holds, Awaits},
		"back, committed":    {Target, Committed, Offered, Given, Awaits},
		"back, granted":      {Target, Committed, Granted, Given, Owns},
		"back, only granted": {Target, Committed, "", Given, Given},
	} {
		t.Run(name, func(t *testing.T) {
			g, k := stands(t, tt.giver, tt.gives, tt.takes)
			slot := inside
			if tt.giver == Target {
				slot = below
			}
			if got := g.State("w", slot); got != tt.giverSays {
				t.Errorf("giver, moving slot: got %v; want %v", got, tt.giverSays)
			}
			if got := k.State("w", slot); got != tt.takerSays {
				t.Errorf("taker, moving slot: got %v; want %v", got, tt.takerSays)
			}
			src, dst := g, k
			if tt.giver == Target {
				src, dst = k, g
			}
			if a, b := src.State("w", above), dst.State("w", above); a != Owns || b != Given {
				t.Errorf("slot that stays: got %v and %v; want owns and given", a, b)
			}
			if a, b := src.State("other", 0), (Record{}).State("w", 0); a != Owns || b != Given {
				t.Errorf("unknown workload and empty record: got %v and %v; want owns and given", a, b)
			}
		})
	}
}
