package protocol

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

// A stage is a mover with the two servers that it speaks to: what it wants is
// done at once, unless a test does otherwise.
type bench struct {
	t     *testing.T
	m     *Mover
	now   Instant
	rec   [3]Record
	run   [3]string
	safe  [3]bool
	roll  []Entry
	todo  []Output
	done  []Output // every output that there was
	end   *MoveEnd
	nonce int
}

func newBench(t *testing.T) *bench {
	g, k := stands(t, Source, "", "")
	b := &bench{
		t: t, now: Instant{Mono: time.Hour, Wall: time.Hour}, rec: [3]Record{Source: g, Target: k},
		run: [3]string{Source: "s1", Target: "t1"}, safe: [3]bool{true, true, true},
		roll: []Entry{{ID: "m0", Beat: 1, Ready: true, RunIDs: [2]string{"s1", "t1"}}},
	}
	b.m = NewMover(b.config(), g, k, "s1", "t1")
	return b
}

func (b *bench) config() MoveConfig {
	return MoveConfig{
		ID: "m", Writer: "c", From: Source, Goal: map[string]int{"w": Cut(50)}, Hold: 250 * time.Millisecond,
		PrepareFor: 30 * time.Second, FewNames: 3, CanFence: true,
		Nonce: func() string { b.nonce++; return fmt.Sprint("c", b.nonce) },
	}
}

func (b *bench) give(in Input) {
	b.t.Helper()
	out := b.m.Handle(in, b.now)
	b.todo, b.done = append(b.todo, out...), append(b.done, out...)
}

func (b *bench) start() {
	out := b.m.Start(b.now)
	b.todo, b.done = append(b.todo, out...), append(b.done, out...)
}

// tick lets time pass.
func (b *bench) tick(d time.Duration) {
	b.t.Helper()
	b.now = b.now.Add(d)
	b.give(Input{})
}

// see lets time pass and shows the roll again.
func (b *bench) see(d time.Duration) {
	b.t.Helper()
	b.now = b.now.Add(d)
	b.tell(b.m.rollSeq)
}

// to does what the mover wants until it is at a stage, every member
// acknowledging everything at once.
func (b *bench) to(stage moveStage) *bench {
	b.t.Helper()
	if b.m.stage == preparing && len(b.done) == 0 {
		b.start()
	}
	for range 100 {
		if b.m.stage == stage {
			return b
		}
		if len(b.todo) == 0 {
			b.t.Fatalf("at %v with nothing to do; want %v (%s)", b.m.stage, stage, b.m.WaitingFor())
		}
		b.next()
	}
	b.t.Fatalf("at %v after 100 steps; want %v", b.m.stage, stage)
	return b
}

// next does the first thing that the mover wants.
func (b *bench) next() {
	b.t.Helper()
	o := b.todo[0]
	b.todo = b.todo[1:]
	switch o.Kind {
	case DoWrite:
		if b.rec[o.Side].Same(o.Change.Old) {
			b.rec[o.Side] = o.Change.New
		}
		b.give(Input{Written: b.read(o.Side)})
	case DoRead:
		b.give(Input{Read: b.read(o.Side)})
	case DoRoll:
		if mv := b.rec[Source].Move; mv != nil {
			for i := range b.roll {
				b.roll[i].Ack = Ack{mv.ID, mv.Stage}
			}
		}
		b.tell(o.Seq)
	case DoFence:
		b.give(Input{Fenced: &Fenced{o.Member, true}})
	case DoProve:
		b.give(Input{Proved: &Proved{OK: true}})
	case DoEnd:
		b.end = o.End
	}
}

func (b *bench) read(s Side) *Written {
	return &Written{Side: s, Current: b.rec[s], RunID: b.run[s], Safe: b.safe[s]}
}

func (b *bench) tell(seq uint64) {
	b.t.Helper()
	b.give(Input{Roll: &Roll{Seq: seq, Asked: b.now, Entries: append([]Entry(nil), b.roll...)}})
}

// wants holds what the mover wants next.
func (b *bench) wants(kinds ...Kind) {
	b.t.Helper()
	var got []Kind
	for _, o := range b.todo {
		got = append(got, o.Kind)
	}
	if !slices.Equal(got, kinds) {
		b.t.Fatalf("wants %v at %v; want %v", got, b.m.stage, kinds)
	}
}

// ends does all that is left.
func (b *bench) ends(committed bool, reason string) {
	b.t.Helper()
	for range 100 {
		if len(b.todo) == 0 {
			break
		}
		b.next()
	}
	if b.end == nil {
		b.t.Fatalf("not ended, but at %v", b.m.stage)
	}
	if b.end.Committed != committed || !strings.Contains(b.end.Reason, reason) || (reason == "" && b.end.Reason != "") {
		b.t.Errorf("ended %+v; want committed %v, %q", *b.end, committed, reason)
	}
	if got, want := b.rec[Source].State("w", Cut(30)), map[bool]State{true: Given, false: Owns}[committed]; got != want {
		b.t.Errorf("the source %v the moving slots; want %v", got, want)
	}
	if got, want := b.rec[Target].State("w", Cut(30)), map[bool]State{true: Owns, false: Given}[committed]; got != want {
		b.t.Errorf("the target %v the moving slots; want %v", got, want)
	}
}

func TestMoverMoves(t *testing.T) {
	b := newBench(t).to(ended)
	b.ends(true, "")
	if b.rec[Source].Cuts["w"] != Cut(50) || b.rec[Target].Cuts["w"] != Cut(50) {
		t.Errorf("cuts: got %v and %v; want %d", b.rec[Source].Cuts, b.rec[Target].Cuts, Cut(50))
	}
	if got := b.m.Handle(Input{Cancel: "late"}, b.now); got != nil {
		t.Errorf("after the end: got %v; want nothing", got)
	}
}

func TestMoverRefusesToStart(t *testing.T) {
	_, offered := stands(t, Source, Held, Offered)
	held, _ := stands(t, Source, Held, "")
	other := func() Record { _, k := stands(t, Source, Committed, Granted); return k }()
	g, k := stands(t, Source, "", "")
	for name, recs := range map[string][3]Record{
		"the giver is in a move":      {Source: held, Target: k},
		"an offer stands":             {Source: g, Target: offered},
		"the cuts differ":             {Source: g, Target: other},
		"the target has no record":    {Source: g},
		"the goal is where it is now": {Source: other, Target: g},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t)
			b.m = NewMover(b.config(), recs[Source], recs[Target], "s1", "t1")
			b.start()
			b.wants(DoEnd)
			if end := b.todo[0].End; end.Committed || end.Reason == "" {
				t.Errorf("got %+v; want a refusal with its reason", end)
			}
		})
	}
}

func TestMoverAborts(t *testing.T) {
	for name, tt := range map[string]struct {
		at     moveStage
		fault  func(b *bench)
		reason string
	}{
		"cancelled while gathering":    {gathering, func(b *bench) { b.give(Input{Cancel: "enough"}) }, "enough"},
		"cancelled while draining":     {draining, func(b *bench) { b.give(Input{Cancel: "enough"}) }, "enough"},
		"not proved":                   {proving, func(b *bench) { b.give(Input{Proved: &Proved{Reason: "they differ"}}) }, "they differ"},
		"the source's master changes":  {draining, func(b *bench) { b.give(Input{Master: Source}) }, "master of the source"},
		"the target's master changes":  {proving, func(b *bench) { b.give(Input{Master: Target}) }, "master of the target"},
		"the preparation takes long":   {gathering, func(b *bench) { b.todo = nil; b.tick(30 * time.Second) }, "not prepared"},
		"the hold takes long":          {draining, func(b *bench) { b.todo = nil; b.tick(250 * time.Millisecond) }, "over its bound"},
		"the proof takes long":         {proving, func(b *bench) { b.todo = nil; b.tick(250 * time.Millisecond) }, "over its bound"},
		"the hold is not safe":         {holding, func(b *bench) { b.safe[Source] = false }, "not every replica of the source"},
		"the offer is not safe":        {offering, func(b *bench) { b.safe[Target] = false }, "not every replica of the target"},
		"a failover before the hold":   {holding, func(b *bench) { b.run[Source] = "s2" }, "master of the source"},
		"a failover before the offer":  {offering, func(b *bench) { b.run[Target] = "t2" }, "master of the target"},
		"a member ends the hold":       {offering, func(b *bench) { b.next(); b.abort("m0") }, "m0 changed"},
		"a member ends it in draining": {draining, func(b *bench) { b.abort("m0"); b.give(Input{Cancel: "enough"}) }, "enough"},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t).to(tt.at)
			tt.fault(b)
			b.ends(false, tt.reason)
		})
	}
}

// abort ends the hold as a member does.
func (b *bench) abort(writer string) {
	b.t.Helper()
	next, err := b.rec[Source].Abort("m", Stamp{NextEpoch(b.rec[Source], b.rec[Target]), writer, writer})
	if err != nil {
		b.t.Fatal(err)
	}
	b.rec[Source] = next
}

// TestMoverLostReplies loses the reply to each of its writes, applied or not.
func TestMoverLostReplies(t *testing.T) {
	for _, at := range []moveStage{preparing, holding, offering, committing, granting} {
		for _, applied := range []bool{true, false} {
			t.Run(fmt.Sprintf("%v applied %v", at, applied), func(t *testing.T) {
				b := newBench(t)
				if at == preparing {
					b.start()
				} else {
					b.to(at)
				}
				o := b.todo[0]
				b.todo = b.todo[1:]
				if o.Kind != DoWrite {
					t.Fatalf("wants %v; want a write", o.Kind)
				}
				if applied {
					b.rec[o.Side] = o.Change.New
				}
				b.give(Input{Written: &Written{Side: o.Side, Err: errors.New("lost")}})
				if applied || at >= committing { // own nonce means won; once decided it is written again
					b.ends(true, "")
					return
				}
				b.ends(false, "could not be written")
			})
		}
	}
}

func TestMoverStrikesAnOfferOfUnknownOutcome(t *testing.T) {
	b := newBench(t).to(offering)
	offer := b.todo[0].Change
	b.todo = nil
	b.give(Input{Written: &Written{Side: Target, Err: errors.New("lost")}})
	b.todo = nil // its record cannot be read either
	b.rec[Target] = offer.New
	b.tick(time.Second)
	b.ends(false, "over its bound")
	if b.rec[Target].Move != nil {
		t.Errorf("the target still has %+v; want the offer struck out", b.rec[Target].Move)
	}
	if b.rec[Source].Epoch < offer.New.Epoch {
		t.Errorf("the abort has epoch %d; want that of the offer, %d, or more: else nobody else would strike it", b.rec[Source].Epoch, offer.New.Epoch)
	}
}

func TestMoverDoesNotWaitForADeadTaker(t *testing.T) {
	b := newBench(t).to(committing)
	b.todo = nil
	b.abort("m0")
	b.give(Input{Read: b.read(Source)}) // the commit's reply was lost, and a member has ended the hold
	b.wants(DoWrite)
	b.todo = nil
	b.give(Input{Written: &Written{Side: Target, Err: errors.New("no answer")}})
	b.wants(DoEnd)
}

// TestMoverCountsOnlyAfterTheCommitIsSafe and on the very server that has it.
func TestMoverCounts(t *testing.T) {
	t.Run("an old roll says nothing", func(t *testing.T) {
		b := newBench(t).to(gathering)
		old := b.todo[0].Seq
		b.to(counting)
		b.roll[0].Ack = Ack{"m", Committed}
		b.tell(old)
		if b.m.stage != counting {
			t.Errorf("at %v; want the roll read after the commit to be waited for", b.m.stage)
		}
	})
	t.Run("nobody on the roll before it is read", func(t *testing.T) {
		b := newBench(t)
		b.roll = nil
		b.to(draining)
		b.todo = nil
		b.tick(time.Millisecond)
		if b.m.stage != draining {
			t.Errorf("at %v; want the roll read first", b.m.stage)
		}
	})
	t.Run("not before it is safe", func(t *testing.T) {
		b := newBench(t).to(committing)
		b.safe[Source] = false
		b.next()
		b.wants(DoRead)
		b.roll[0].Ack = Ack{"m", Committed}
		b.tell(b.m.rollSeq)
		if b.m.stage != counting {
			t.Errorf("at %v; want nothing to count before the replicas were asked again", b.m.stage)
		}
		b.ends(true, "a replica of the giving side")
	})
	t.Run("A is read again", func(t *testing.T) {
		b := newBench(t).to(confirming)
		b.wants(DoRead)
		held, _ := stands(t, Source, Held, "")
		held.Nonce, held.Move.RunID = "back", "s1"
		b.rec[Source], b.run[Source] = held, "s2" // it has failed over to the hold
		b.next()
		b.wants(DoWrite)
		if ch := b.todo[0].Change; !ch.New.At("m", Committed) {
			t.Fatalf("writes %+v; want the commit again", ch.New.Move)
		}
		b.ends(true, "")
	})
	t.Run("and anew after a failover", func(t *testing.T) {
		b := newBench(t).to(confirming)
		b.run[Source] = "s2"
		b.next()
		if b.m.stage != counting {
			t.Fatalf("at %v; want it counted anew", b.m.stage)
		}
		b.roll[0].Ack = Ack{}
		b.next()
		b.wants(DoRoll)
		seq := b.todo[0].Seq
		b.tell(seq)
		if b.m.stage != counting {
			t.Errorf("at %v; want the acknowledgement on the new server", b.m.stage)
		}
		b.ends(true, "")
	})
	t.Run("a forgotten hold is the end", func(t *testing.T) {
		b := newBench(t).to(confirming)
		g, _ := stands(t, Source, "", "")
		b.rec[Source], b.run[Source] = g, "s2"
		b.ends(false, "forgotten")
	})
	t.Run("somebody has carried on", func(t *testing.T) {
		b := newBench(t).to(confirming)
		r := b.rec[Source]
		r.Epoch, r.Nonce, r.Writer, r.Move = r.Epoch+5, "x", "c2", nil
		b.rec[Source] = r
		b.next()
		b.wants(DoEnd)
		if !b.todo[0].End.Committed {
			t.Errorf("got %+v; want it committed", b.todo[0].End)
		}
	})
	t.Run("granted by a member", func(t *testing.T) {
		b := newBench(t).to(granting)
		next, err := b.rec[Target].Grant(b.rec[Source], Stamp{99, "m0", "x"})
		if err != nil {
			t.Fatal(err)
		}
		b.rec[Target] = next
		b.ends(true, "granted by m0")
	})
}

func TestResume(t *testing.T) {
	committed, offered := stands(t, Source, Committed, Offered)
	b := newBench(t)
	b.rec = [3]Record{Source: committed, Target: offered}
	m, out := Resume(b.config(), committed, offered, "s1", "t1", b.now)
	b.m, b.todo = m, out
	if !m.Decided() {
		t.Error("not decided; want it to be")
	}
	b.give(Input{Cancel: "no"})
	b.ends(true, "")
}
