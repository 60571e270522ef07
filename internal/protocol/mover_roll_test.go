package protocol

import (
	"strings"
	"testing"
	"time"
)

// beat has a member refresh, and the mover read the roll.
func (b *bench) beat(id string, ack Ack) {
	b.t.Helper()
	for i := range b.roll {
		if b.roll[i].ID == id {
			b.roll[i].Beat++
			b.roll[i].Ack = ack
		}
	}
	b.tell(b.m.rollSeq)
}

// silent brings a mover to gathering, with one member that acknowledges and one
// that is never heard of again.
func silent(t *testing.T, canFence bool) *bench {
	b := newBench(t)
	b.roll = append(b.roll, Entry{ID: "m1", Beat: 7, Ready: true, RunIDs: [2]string{"s1", "t1"}})
	b.m.cfg.CanFence = canFence
	b.to(gathering)
	b.todo = nil
	b.beat("m0", Ack{"m", Prepared})
	return b
}

// TestMoverSleeps: what a coordinator has slept through it has not seen, be it
// woken by its clock or by an answer that has lain there.
func TestMoverSleeps(t *testing.T) {
	b := silent(t, true)
	before := b.now
	b.tick(SilentFor + time.Second)
	b.wants()
	b.give(Input{Roll: &Roll{Seq: b.m.rollSeq, Asked: before, Entries: b.roll}})
	b.wants()
	b.beat("m0", Ack{"m", Prepared})
	b.wants(DoFence)
}

func TestMoverFencesTheSilent(t *testing.T) {
	b := silent(t, true)
	b.tick(SilentFor - time.Millisecond)
	b.beat("m0", Ack{"m", Prepared})
	b.wants()
	b.see(time.Millisecond)
	b.wants(DoFence)
	if b.todo[0].Member != "m1" {
		t.Fatalf("fences %s; want m1", b.todo[0].Member)
	}
	b.todo = nil
	b.tick(time.Second)
	b.wants() // one fence at a time
	b.give(Input{Fenced: &Fenced{"m1", false}})
	b.wants()
	b.tick(fenceEvery - time.Millisecond)
	b.wants() // not at once again
	b.tick(time.Millisecond)
	b.wants(DoFence)
	b.todo = nil
	b.give(Input{Fenced: &Fenced{"m1", true}})
	b.wants(DoWrite)
}

func TestMoverForgetsAFenceWhenTheMemberLives(t *testing.T) {
	b := silent(t, true)
	b.tick(SilentFor - time.Millisecond)
	b.beat("m0", Ack{"m", Prepared})
	b.see(time.Millisecond)
	b.wants(DoFence)
	b.todo = nil
	b.beat("m1", Ack{}) // it has a new lease while the fence is under way
	b.give(Input{Fenced: &Fenced{"m1", true}})
	b.wants()
	if got := b.m.WaitingFor(); !strings.Contains(got, "m1 has not acknowledged") {
		t.Errorf("waits for %q; want m1", got)
	}
	b.beat("m1", Ack{"m", Prepared})
	b.wants(DoWrite)
}

func TestMoverWhereNobodyCanBeFenced(t *testing.T) {
	b := silent(t, false)
	b.tick(SilentFor)
	b.beat("m0", Ack{"m", Prepared})
	b.wants()
	b.tick(30 * time.Second)
	b.ends(false, "member m1 has not acknowledged")

	b = newBench(t)
	b.m.cfg.CanFence = false
	b.to(counting)
	b.todo = nil
	b.roll[0].Ack = Ack{"m", Held}
	b.tell(b.m.rollSeq)
	b.tick(SilentFor - time.Millisecond)
	b.wants()
	b.see(time.Millisecond) // there is no way back, and no lease is left
	b.wants(DoRead)
}

func TestMoverWantsReadyMembers(t *testing.T) {
	for name, tt := range map[string]struct {
		spoil func(e *Entry)
		says  string
	}{
		"no lease on a side":     {func(e *Entry) { e.Ready = false }, "no lease on both sides"},
		"another server's lease": {func(e *Entry) { e.RunIDs[1] = "t0" }, "other servers"},
		"another move":           {func(e *Entry) { e.Ack.Move = "old" }, "not acknowledged"},
		"an earlier stage":       {func(e *Entry) { e.Ack.Stage = Committed }, "not acknowledged"},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t).to(gathering)
			b.todo = nil
			good := b.roll[0]
			good.Ack = Ack{"m", Prepared}
			b.roll[0] = good
			b.roll[0].Note = "a BLPOP"
			tt.spoil(&b.roll[0])
			b.tell(b.m.rollSeq)
			b.wants()
			if got := b.m.WaitingFor(); !strings.Contains(got, tt.says) || !strings.Contains(got, "a BLPOP") {
				t.Errorf("waits for %q; want %q with the member's note", got, tt.says)
			}
			b.roll[0] = good
			b.tell(b.m.rollSeq)
			b.wants(DoWrite)
		})
	}
}

func TestMoverWaitsForFewNames(t *testing.T) {
	b := newBench(t).to(gathering)
	many, few := 4, 3
	b.give(Input{Dirty: &many})
	b.next()
	b.wants()
	if got := b.m.WaitingFor(); !strings.Contains(got, "4 names") {
		t.Errorf("waits for %q; want the names", got)
	}
	b.give(Input{Dirty: &few})
	b.wants(DoWrite)
}

func TestMoverLetsAMemberLeave(t *testing.T) {
	b := silent(t, true)
	b.roll = b.roll[:1]
	b.beat("m0", Ack{"m", Prepared})
	b.wants(DoWrite)
}

// TestMoverHoldCountsAnew: an acknowledgement of the preparation is none of the
// hold.
func TestMoverHoldCountsAnew(t *testing.T) {
	b := newBench(t).to(draining)
	b.todo = nil
	b.beat("m0", Ack{"m", Prepared})
	b.wants()
	b.beat("m0", Ack{"m", Held})
	b.wants(DoProve)
}
