package protocol

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

// taken gives up a side: the other one's record at the stake, and after the take.
func taken(t *testing.T, living Record) (staked, took Record) {
	t.Helper()
	must := func(r Record, err error) Record {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	staked = must(living.Stake("c", Stamp{living.Epoch + 1, "claimer", "staked"}))
	return staked, must(staked.Take("c", Stamp{living.Epoch + 2, "claimer", "took"}))
}

// stages are the records of a lost giver and a living taker, or the other way
// round, that a claim may find.
func lostStages(t *testing.T, f func(t *testing.T, lost, living Record)) {
	for _, tt := range []struct{ gives, takes Stage }{{"", ""}, {Prepared, ""}, {Held, ""}, {Held, Offered}, {Committed, Offered}, {Committed, Granted}, {"", Offered}} {
		for _, giver := range Sides {
			t.Run(fmt.Sprintf("%v lost, at %q and %q", giver, tt.gives, tt.takes), func(t *testing.T) {
				g, k := stands(t, giver, tt.gives, tt.takes)
				f(t, g, k)
			})
			if tt.gives == Prepared || tt.gives == Held {
				continue // what gives aborts its move by itself first
			}
			t.Run(fmt.Sprintf("%v lost, at %q and %q", giver.Other(), tt.takes, tt.gives), func(t *testing.T) {
				g, k := stands(t, giver, tt.gives, tt.takes)
				f(t, k, g)
			})
		}
	}
}

// TestTaken: whatever was under way, after a take the living side has all, and a
// member that hears of the lost side again, before or after, does not use it. It
// gives it the record of a mirror.
func TestTaken(t *testing.T) {
	lostStages(t, func(t *testing.T, lost, living Record) {
		_, took := taken(t, living)
		lost.Epoch += 1_000_000 // it went on by itself for a while
		for _, order := range [][]Record{{lost, took}, {took, lost}, {living, lost, took}, {lost, living, took, lost}} {
			d := newDesk(t)
			var last Effects
			for _, r := range order {
				d.pass(time.Second)
				last = d.hear(r, "run-"+r.Side.String(), true)
				for _, s := range Sides {
					if d.m.Lapse(s, d.now) {
						d.m.Closed(s, d.m.Gen(s))
					}
				}
			}
			if last.PutBack == nil {
				last = d.hear(lost, "run-"+lost.Side.String(), true)
			}
			onlyUses(t, d, took.Side)
			if last.PutBack == nil || d.m.Lease(lost.Side).RunID != "" {
				t.Fatalf("order %d: got %+v; want the lost side's record to be replaced", len(order), last)
			}
			back := last.PutBack.New
			if !last.PutBack.Old.Same(lost) || took.Voids(back) || back.Voids(took) || back.Side != lost.Side {
				t.Errorf("got %+v in place of %+v", back, last.PutBack.Old)
			}
			d.obeys(back)
			onlyUses(t, d, took.Side)
			if !d.m.Ready(d.now) || d.m.Phase() != took.Phase {
				t.Errorf("got ready %v in %v; want both leases again, in %v", d.m.Ready(d.now), d.m.Phase(), took.Phase)
			}
		}
	})
}

// onlyUses wants every slot to be served by one side.
func onlyUses(t *testing.T, d *desk, s Side) {
	t.Helper()
	for _, r := range d.m.Ranges("w") {
		if r.Read != s || r.Write != s {
			t.Fatalf("got %+v; want the %v alone", r, s)
		}
	}
}

// TestWaived: a claim that was given up leaves everything as it was.
func TestWaived(t *testing.T) {
	lostStages(t, func(t *testing.T, lost, living Record) {
		staked, _ := taken(t, living)
		next, err := staked.Waive(Stamp{living.Epoch, living.Writer, living.Nonce})
		if err != nil || next.Encode() != living.Encode() {
			t.Errorf("got %s, %v; want %s", next.Encode(), err, living.Encode())
		}
		if _, err := next.Take("c", Stamp{}); err == nil {
			t.Error("taken without a claim")
		}
	})
}

func TestStakeRefused(t *testing.T) {
	g, _ := stands(t, Source, Held, "")
	staked, _ := stands(t, Source, "", "")
	staked, _ = taken(t, staked)
	off := staked
	off.Claim, off.Phase = "", Off
	for name, r := range map[string]Record{"its own move is held": g, "a claim stands": staked, "it is off": off, "it has none": {Side: Target}} {
		if _, err := r.Stake("d", Stamp{}); err == nil {
			t.Errorf("%s: staked", name)
		}
	}
}

// TestMemberAcknowledgesAClaim once it has no lease on the lost side and no
// pool of one; from then on it takes none, until the claim is waived.
func TestMemberAcknowledgesAClaim(t *testing.T) {
	src, dst := stands(t, Source, "", "")
	staked, _ := taken(t, dst)
	d := newDesk(t)
	d.obeys(src, dst, staked)
	if duty, ok := d.m.Duty(); ok {
		t.Fatalf("got %+v; want nothing to be asked of a member that reaches the side", duty)
	}
	d.pass(LeaseFor - time.Second)
	d.hear(staked, "run-target", true)
	d.pass(time.Second)
	d.m.Lapse(Source, d.now)
	if duty, ok := d.m.Duty(); ok {
		t.Fatalf("got %+v; want nothing before the pool is closed", duty)
	}
	d.m.Closed(Source, d.m.Gen(Source))
	duty, ok := d.m.Duty()
	if !ok || !d.m.Done(duty, d.now) || d.m.Acked(Target) != (Ack{"c", Claimed}) {
		t.Fatalf("got %+v, %v, acknowledged %v", duty, ok, d.m.Acked(Target))
	}
	if d.hear(src, "run-source", true); d.m.Lease(Source).RunID != "" {
		t.Error("took a lease on a side that is being given up")
	}
	if w, side, _ := d.m.Wish(d.now); w == WishWaive {
		t.Errorf("wants to waive on the %v before the bound", side)
	}
	if w, side, _ := d.m.Wish(d.now.Add(ClaimBound + abortAfter)); w != WishWaive || side != Target {
		t.Errorf("got %v on the %v; want to waive on the target", w, side)
	}
	waived, _ := staked.Waive(Stamp{staked.Epoch + 1, "x", "waived"})
	d.obeys(waived)
	if d.hear(src, "run-source", true); d.m.Lease(Source).RunID == "" {
		t.Error("takes no lease though the claim was waived")
	}
}

// TestClaimer plays what a claimer sees, a second a look.
func TestClaimer(t *testing.T) {
	_, dst := stands(t, Source, "", "")
	staked, _ := taken(t, dst)
	acks := Entry{ID: "m0", Ack: Ack{"c", Claimed}}
	for name, tt := range map[string]struct {
		roll  []Entry                     // each beats at each look, unless it is silent
		dead  string                      // a member that is silent
		fence bool                        // a fence works
		none  bool                        // nobody can be fenced
		look  func(l *ClaimLook, sec int) // what else is seen
		want  ClaimDo                     // how it ends
		why   string                      //
		atSec func(sec int) (bad string)  // when
	}{
		"all acknowledge": {roll: []Entry{acks}, want: ClaimTake, atSec: notBefore(SilentFor)},
		"no members":      {want: ClaimTake, atSec: notBefore(SilentFor)},
		"it answers":      {want: ClaimEnd, why: "answers", look: func(l *ClaimLook, sec int) { l.Answered = sec == 5 }},
		"it answers after the stake": {roll: []Entry{acks}, want: ClaimEnd, why: "answers",
			look: func(l *ClaimLook, sec int) { l.Answered = sec == 18 }},
		"a member reaches it": {roll: []Entry{acks, {ID: "m1", RunIDs: [2]string{"s", "t"}}}, want: ClaimEnd, why: "member m1 holds a lease", atSec: notBefore(SilentFor)},
		"a member reaches it again": {roll: []Entry{acks}, want: ClaimEnd, why: "holds a lease",
			look: func(l *ClaimLook, sec int) {
				if sec >= 17 {
					l.Roll[0] = Entry{ID: "m0", Beat: l.Roll[0].Beat, RunIDs: [2]string{"s", "t"}}
				}
			}},
		"a member's last lease": {roll: []Entry{acks}, want: ClaimTake,
			look: func(l *ClaimLook, sec int) {
				if sec < 18 {
					l.Roll[0].RunIDs = [2]string{"s", "t"}
				}
			}, atSec: notBefore(18 * time.Second)},
		"a dead one is fenced":         {roll: []Entry{acks, {ID: "m1", RunIDs: [2]string{"s", "t"}}}, dead: "m1", fence: true, want: ClaimTake},
		"a dead one cannot be reached": {roll: []Entry{acks, {ID: "m1"}}, dead: "m1", want: ClaimEnd, why: "m1 is silent and cannot be fenced"},
		"nobody can be fenced there":   {roll: []Entry{acks, {ID: "m1"}}, dead: "m1", none: true, want: ClaimTake},
		"one does not acknowledge":     {roll: []Entry{acks, {ID: "m1", Note: "it copies"}}, want: ClaimEnd, why: "m1 has not acknowledged yet (it copies)"},
		"the replicas do not have it":  {roll: []Entry{acks}, want: ClaimEnd, why: "not every replica", look: func(l *ClaimLook, _ int) { l.Safe = false }},
		"the living side fails over":   {roll: []Entry{acks, {ID: "m1"}}, want: ClaimEnd, why: "master of the target", look: func(l *ClaimLook, sec int) { l.RunID = fmt.Sprint(sec / 19) }},
		"somebody else changed the record": {roll: []Entry{acks, {ID: "m1"}}, want: ClaimEnd, why: "changed the control record",
			look: func(l *ClaimLook, sec int) {
				if sec > 18 {
					l.Record = dst
				}
			}},
	} {
		t.Run(name, func(t *testing.T) {
			now := Instant{Mono: time.Hour, Wall: time.Hour}
			c := NewClaimer("c", Source, !tt.none, now)
			rec, waits := dst, []string{}
			for sec := range 120 {
				l := ClaimLook{Asked: now, Record: rec, RunID: "run", Safe: true, Roll: slices.Clone(tt.roll)}
				for i := range l.Roll {
					if l.Roll[i].ID != tt.dead {
						l.Roll[i].Beat = uint64(sec + 1)
					}
				}
				if tt.look != nil {
					tt.look(&l, sec)
				}
				switch step := c.Look(l, now); step.Do {
				case ClaimStake:
					rec = staked
					c.Staked(now)
				case ClaimFence:
					if tt.fence {
						c.Fenced(step.Members[0])
					}
				case ClaimTake, ClaimEnd:
					if step.Do != tt.want || !strings.Contains(step.Why, tt.why) {
						t.Errorf("second %d: got %v %q; want %v with %q", sec, step.Do, step.Why, tt.want, tt.why)
					}
					if tt.atSec != nil && tt.atSec(sec) != "" {
						t.Error(tt.atSec(sec))
					}
					if (len(c.Unfenced()) > 0) != tt.none {
						t.Errorf("not fenced: %v", c.Unfenced())
					}
					return
				default:
					waits = append(waits, step.Why)
				}
				now = now.Add(time.Second)
			}
			t.Errorf("it never ends: %q", waits)
		})
	}
}

func notBefore(d time.Duration) func(int) string {
	return func(sec int) string {
		if at := time.Duration(sec) * time.Second; at < d {
			return fmt.Sprintf("ended after %v; want not before %v", at, d)
		}
		return ""
	}
}
