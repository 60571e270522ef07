package protocol

import (
	"testing"
	"time"
)

func TestMemberDuty(t *testing.T) {
	g, k := stands(t, Source, "", "")
	held, offered := stands(t, Source, Held, Offered)
	committed, granted := stands(t, Source, Committed, Granted)
	d := newDesk(t)
	d.obeys(g, k)
	if _, ok := d.m.Duty(); ok {
		t.Error("got a duty without a move")
	}
	d.obeys(held)
	duty, ok := d.m.Duty()
	if want := (Duty{Source, "m", Held, 250 * time.Millisecond}); !ok || duty != want {
		t.Fatalf("got %+v, %v; want %+v", duty, ok, want)
	}
	wrong := duty
	wrong.Move = "other"
	if d.m.Done(wrong, d.now) {
		t.Error("the duty of another move was acknowledged")
	}
	d.lapses(Target)
	if d.m.Done(duty, d.now) {
		t.Error("acknowledged without a lease on the target")
	}
	d.m.Lapse(Source, d.now)
	d.m.Closed(Source, d.m.Gen(Source))
	d.obeys(held, offered)
	if !d.m.Done(duty, d.now) || d.m.Acked(Source) != (Ack{"m", Held}) {
		t.Errorf("got %+v; want the hold acknowledged", d.m.Acked(Source))
	}
	if _, ok := d.m.Duty(); ok {
		t.Error("the duty stands although it is done")
	}
	d.obeys(committed)
	if d.m.Acked(Source) != (Ack{"m", Committed}) {
		t.Errorf("got %+v; want the commit acknowledged by being obeyed", d.m.Acked(Source))
	}
	d.obeys(granted)
	if w, _, _ := d.m.Wish(d.now.Add(time.Hour)); w != Nothing {
		t.Errorf("got wish %v after the grant", w)
	}
}

func TestMemberWishes(t *testing.T) {
	prepared := func() Record {
		g, _ := stands(t, Source, "", "")
		r, err := g.Prepare(Move{ID: "m", From: Source, Goal: map[string]int{"w": Cut(50)}, HoldMS: 250}, Stamp{2, "w", "p"})
		if err != nil {
			t.Fatal(err)
		}
		return r
	}()
	g, k := stands(t, Source, "", "")
	held, offered := stands(t, Source, Held, Offered)
	committed, granted := stands(t, Source, Committed, Granted)
	aborted, _ := stands(t, Source, "", Offered)
	for name, tt := range map[string]struct {
		source, target Record
		after          time.Duration
		want           Wish
		force          bool
	}{
		"a hold within its bound":           {held, k, 250 * time.Millisecond, Nothing, false},
		"a hold over its bound":             {held, k, 250*time.Millisecond + abortAfter, WishEnd, false},
		"a hold with an offer":              {held, offered, time.Second, WishEnd, false},
		"a preparation":                     {prepared, k, PrepareBound, Nothing, false},
		"a preparation over its bound":      {prepared, k, PrepareBound + abortAfter, WishEnd, false},
		"a commit":                          {committed, offered, 0, Nothing, false},
		"a commit that nobody grants":       {committed, offered, abortAfter, WishOpen, false},
		"a commit whose offer is forgotten": {committed, k, abortAfter, WishOpen, false},
		"a commit, a lease later":           {committed, offered, SilentFor, WishOpen, true},
		"a commit without a taker":          {committed, Record{}, time.Hour, Nothing, false},
		"granted":                           {committed, granted, time.Hour, Nothing, false},
		"an offer without its move":         {aborted, offered, 0, WishStrike, false},
		"an offer seen before the hold":     {g, offered, time.Hour, Nothing, false},
	} {
		t.Run(name, func(t *testing.T) {
			d := newDesk(t)
			d.obeys(tt.source)
			if !tt.target.Empty() {
				d.obeys(tt.target)
			}
			w, giver, force := d.m.Wish(d.now.Add(tt.after))
			if w != tt.want || force != tt.force || (w != Nothing && giver != Source) {
				t.Errorf("got %v of the %v, force %v; want %v, force %v", w, giver, force, tt.want, tt.force)
			}
		})
	}
}

// TestMemberCountsTheForceAnew: after a failover others may have got leases from
// the new server under the hold, if the commit was lost until it was put back.
func TestMemberCountsTheForceAnew(t *testing.T) {
	committed, offered := stands(t, Source, Committed, Offered)
	d := newDesk(t)
	d.obeys(committed, offered)
	d.pass(SilentFor - time.Second)
	d.m.Lapse(Source, d.now)
	d.m.Closed(Source, d.m.Gen(Source))
	d.hear(committed, "run-2", true)
	if _, _, force := d.m.Wish(d.now.Add(2 * time.Second)); force {
		t.Error("a grant may be forced although a lease has not passed on the new server")
	}
	if w, _, force := d.m.Wish(d.now.Add(SilentFor)); w != WishOpen || !force {
		t.Errorf("got %v, force %v; want a grant by force", w, force)
	}
}

func TestMemberPhase(t *testing.T) {
	begin := func(s Side, phase Phase, epoch uint64) Record {
		r, err := Begin(Record{}, "n", s, "plan", []string{"w"}, Stamp{epoch, "w", phase.String()})
		if err != nil {
			t.Fatal(err)
		}
		r.Phase = phase
		return r
	}
	for name, tt := range map[string]struct {
		recs []Record
		want Phase
	}{
		"source alone":               {[]Record{begin(Source, Shadow, 2)}, Shadow},
		"target alone":               {[]Record{begin(Target, Soak, 2)}, Soak},
		"the newer, source":          {[]Record{begin(Source, Off, 3), begin(Target, Shadow, 2)}, Off},
		"the newer, target":          {[]Record{begin(Source, Shadow, 2), begin(Target, Cutover, 3)}, Cutover},
		"done on one side is enough": {[]Record{begin(Source, Soak, 9), begin(Target, Done, 3)}, Done},
	} {
		t.Run(name, func(t *testing.T) {
			d := newDesk(t)
			d.obeys(tt.recs...)
			if len(tt.recs) == 1 {
				if got := d.m.Phase(); got != Unknown {
					t.Errorf("got %v; want unknown before the other side was asked", got)
				}
				d.m.Missed(tt.recs[0].Side.Other())
			}
			if got := d.m.Phase(); got != tt.want {
				t.Errorf("got %v; want %v", got, tt.want)
			}
		})
	}
}
