package protocol

import (
	"testing"
	"time"
)

// A desk is a member with its clock, and answers that it hears.
type desk struct {
	t   *testing.T
	m   *Member
	now Instant
}

func newDesk(t *testing.T) *desk {
	return &desk{t: t, m: NewMember(), now: Instant{Mono: time.Hour, Wall: 1000 * time.Hour}}
}

func (d *desk) pass(dt time.Duration) { d.now = d.now.Add(dt) }

// hear has the member refresh on a side that answers at once.
func (d *desk) hear(r Record, run string, safe bool) Effects {
	return d.m.Hear(r.Side, Seen{Gen: d.m.Gen(r.Side), Sent: d.now, RunID: run, Record: r, Safe: safe}, d.now)
}

// obeys has the member obey safe records of both sides.
func (d *desk) obeys(recs ...Record) {
	d.t.Helper()
	for _, r := range recs {
		d.hear(r, "run-"+r.Side.String(), true)
		if got := d.m.Record(r.Side); !got.Same(r) {
			d.t.Fatalf("obeys epoch %d of the %v; want %d", got.Epoch, r.Side, r.Epoch)
		}
	}
}

// lapses has a lease run out, and its pool closed.
func (d *desk) lapses(s Side) {
	d.t.Helper()
	d.pass(LeaseFor)
	if !d.m.Lapse(s, d.now) {
		d.t.Fatal("the lease has run out, and no pool is to be closed")
	}
	d.m.Closed(s, d.m.Gen(s))
}

func (d *desk) epoch(s Side, want uint64) {
	d.t.Helper()
	if got := d.m.Record(s).Epoch; got != want {
		d.t.Errorf("obeys epoch %d of the %v; want %d", got, s, want)
	}
}

func TestMemberKnowsNothingAtFirst(t *testing.T) {
	d := newDesk(t)
	if got := d.m.Phase(); got != Unknown {
		t.Errorf("phase: got %v; want unknown", got)
	}
	if got := d.m.Ranges("w"); len(got) != 1 || got[0].Read != None || got[0].Write != None {
		t.Errorf("ranges: got %+v; want that everything waits", got)
	}
	d.hear(Record{Side: Target}, "t", true)
	if got := d.m.Phase(); got != Unknown {
		t.Errorf("phase when only the target has answered: got %v; want unknown", got)
	}
	d.m.Hear(Source, Seen{Gen: d.m.Gen(Source), Sent: d.now, RunID: "s"}, d.now)
	if got := d.m.Ranges("w"); len(got) != 1 || got[0].Write != Source {
		t.Errorf("ranges when the source has no record: got %+v; want the source alone", got)
	}
}

func TestMemberObeysOnlySafeRecords(t *testing.T) {
	g, k := stands(t, Source, "", "")
	held, _ := stands(t, Source, Held, "")
	d := newDesk(t)
	d.obeys(g, k)
	if eff := d.hear(held, "run-source", false); !eff.Settle || eff.View {
		t.Errorf("got %+v; want to be told to ask the replicas", eff)
	}
	d.epoch(Source, g.Epoch)
	d.pass(time.Minute) // no time makes a hold safe
	d.lapses(Source)
	d.hear(held, "run-source", false)
	d.epoch(Source, g.Epoch)
	if d.m.Lease(Source).Valid(d.now) {
		t.Error("a member that has lost its lease has a new one under a record that it does not obey")
	}
	if eff := d.hear(held, "run-source", true); !eff.View {
		t.Errorf("got %+v; want a new view", eff)
	}
	d.epoch(Source, held.Epoch)
}

func TestMemberKeepsItsLeaseWhileAReplicaHangs(t *testing.T) {
	g, k := stands(t, Source, "", "")
	held, _ := stands(t, Source, Held, "")
	committed, _ := stands(t, Source, Committed, Offered)
	granted := func() Record { _, k := stands(t, Source, Committed, Granted); return k }()
	for name, tt := range map[string]struct {
		obeyed, newer Record
		want          bool
	}{
		"a hold takes nothing before it is obeyed": {g, held, true},
		"an abort of what was not obeyed":          {g, func() Record { g, _ := stands(t, Source, "", Offered); return g }(), true},
		"a commit takes":                           {held, committed, false},
		"a commit of a hold that was missed":       {g, committed, false},
		"a grant":                                  {k, granted, false},
	} {
		t.Run(name, func(t *testing.T) {
			d := newDesk(t)
			d.obeys(g, k)
			if tt.obeyed.Epoch > 1 {
				d.obeys(tt.obeyed)
			}
			s := tt.newer.Side
			before := d.m.Lease(s).Sent
			d.pass(20 * time.Millisecond)
			if eff := d.hear(tt.newer, "run-"+s.String(), false); !eff.Settle {
				t.Errorf("got %+v; want to be told to ask the replicas", eff)
			}
			d.epoch(s, tt.obeyed.Epoch)
			if got := d.m.Lease(s).Sent != before; got != tt.want {
				t.Errorf("lease refreshed: got %v; want %v", got, tt.want)
			}
		})
	}
}

func TestMemberConnectsWhileAReplicaHangs(t *testing.T) {
	g, k := stands(t, Source, "", "")
	prepared, _ := stands(t, Source, Prepared, "")
	held, _ := stands(t, Source, Held, "")
	committed, _ := stands(t, Source, Committed, Offered)
	for name, tt := range map[string]struct {
		obeyed, newer Record
		want          int // records under which a connection may begin
	}{
		"an abort of what was not obeyed": {g, func() Record { g, _ := stands(t, Source, "", Offered); return g }(), 2},
		"a preparation":                   {g, prepared, 1},
		"a hold":                          {g, held, 1},
		"a commit":                        {held, committed, 1},
		"the end":                         {g, func() Record { r := g; r.Epoch, r.Phase, r.Nonce = 99, Done, "end"; return r }(), 1},
	} {
		t.Run(name, func(t *testing.T) {
			d := newDesk(t)
			d.obeys(g, k)
			if tt.obeyed.Epoch > 1 {
				d.obeys(tt.obeyed)
			}
			s := tt.newer.Side
			d.hear(tt.newer, "run-"+s.String(), false)
			if got := d.m.Standing(s); len(got) != tt.want || !got[0].Same(d.m.Record(s)) {
				t.Errorf("got %d records, the first of epoch %d; want %d, the obeyed one first", len(got), got[0].Epoch, tt.want)
			}
		})
	}
}

func TestMemberObeysAnOutcomeAfterAGrace(t *testing.T) {
	g, k := stands(t, Source, "", "")
	held, offered := stands(t, Source, Held, Offered)
	committed, granted := stands(t, Source, Committed, Granted)
	aborted, _ := stands(t, Source, "", Offered)
	for name, tt := range map[string]struct{ obeyed, newer Record }{
		"abort":  {held, aborted},
		"commit": {held, committed},
		"grant":  {offered, granted},
	} {
		t.Run(name, func(t *testing.T) {
			d := newDesk(t)
			d.obeys(g, k)
			d.obeys(tt.obeyed)
			s, run := tt.newer.Side, "run-"+tt.newer.Side.String()
			d.hear(tt.newer, run, false)
			d.pass(graceFor - time.Millisecond)
			d.hear(tt.newer, run, false)
			d.epoch(s, tt.obeyed.Epoch)
			d.pass(time.Millisecond)
			d.hear(tt.newer, run, false)
			d.epoch(s, tt.newer.Epoch)
		})
	}
}

func TestMemberPutsBackWhatASideForgot(t *testing.T) {
	g, k := stands(t, Source, "", "")
	held, _ := stands(t, Source, Held, "")
	d := newDesk(t)
	d.obeys(g, k, held)
	if eff := d.hear(g, "run-2", true); !eff.Close {
		t.Fatalf("another server: got %+v; want its pool closed first", eff)
	}
	d.m.Closed(Source, d.m.Gen(Source))
	eff := d.hear(g, "run-2", true)
	if eff.PutBack == nil || !eff.PutBack.Old.Same(g) || !eff.PutBack.New.Same(held) || eff.PutBack.Side != Source {
		t.Fatalf("got %+v; want the held record put back over the older one", eff)
	}
	d.epoch(Source, held.Epoch)
	if d.m.Lease(Source).Valid(d.now) {
		t.Error("got a lease from a server with an older record")
	}
	if eff := d.hear(held, "run-2", true); !eff.View || !d.m.Lease(Source).Valid(d.now) {
		t.Errorf("got %+v; want a lease, now that the record is back", eff)
	}
}

func TestMemberLapse(t *testing.T) {
	g, k := stands(t, Source, "", "")
	d := newDesk(t)
	d.obeys(g, k)
	gen := d.m.Gen(Source)
	d.pass(LeaseFor)
	late := Seen{Gen: gen, Sent: d.now.Add(-time.Second), RunID: "run-source", Record: g, Safe: true}
	if eff := d.m.Hear(Source, late, d.now); !eff.Close || !eff.View {
		t.Errorf("an answer after the lease: got %+v; want the pool closed", eff)
	}
	if d.m.Gen(Source) != gen+1 {
		t.Errorf("generation: got %d; want %d", d.m.Gen(Source), gen+1)
	}
	if eff := d.m.Hear(Source, late, d.now); !eff.Close || eff.View || d.m.Lease(Source).Valid(d.now) {
		t.Errorf("an answer to a refresh of the old lease: got %+v; want it ignored", eff)
	}
	now := Seen{Gen: gen + 1, Sent: d.now, RunID: "run-source", Record: g, Safe: true}
	d.m.Hear(Source, now, d.now)
	if d.m.Lease(Source).Valid(d.now) {
		t.Error("got a new lease before the pool of the old one was closed")
	}
	d.m.Closed(Source, gen) // of another lease: says nothing
	if !d.m.Lapse(Source, d.now) {
		t.Error("the pool need not be closed any more; want that it must")
	}
	d.m.Closed(Source, gen+1)
	if d.m.Lapse(Source, d.now) {
		t.Error("the pool is closed, and must be closed again")
	}
	if d.m.Hear(Source, now, d.now); !d.m.Lease(Source).Valid(d.now) {
		t.Error("got no new lease after the pool was closed")
	}
}

// TestAcknowledgementsOfEachSide: a member that has lost the source goes on with a
// preparation that has long ended there. It must not take that for an answer to the
// move away from the target, which it has acknowledged.
func TestAcknowledgementsOfEachSide(t *testing.T) {
	d := newDesk(t)
	stale, _ := stands(t, Source, Prepared, "")
	committed, _ := stands(t, Target, Committed, Offered)
	stale.Epoch = 1
	d.obeys(stale, committed)
	duty, ok := d.m.Duty()
	if !ok || duty.Side != Source || !d.m.Done(duty, d.now) {
		t.Fatalf("got %+v, %v; want the preparation that it knows of", duty, ok)
	}
	if got, want := d.m.Acked(Target), (Ack{"m", Committed}); got != want {
		t.Errorf("got %+v on the target's roll; want %+v", got, want)
	}
	held, _ := stands(t, Target, Held, "")
	d = newDesk(t)
	d.obeys(stale, held)
	if duty, _ := d.m.Duty(); duty.Side != Target {
		t.Errorf("got %+v; want the newer move's hold before a stale preparation", duty)
	}
}

// TestMemberTwoRecordsOfOneEpoch can come about only by a failover: the member
// does not take the one for the other, and goes by the server once its lease on
// what it obeys has ended.
func TestMemberTwoRecordsOfOneEpoch(t *testing.T) {
	g, k := stands(t, Source, "", "")
	held, _ := stands(t, Source, Held, "")
	twin := held
	twin.Nonce = "another"
	if held.Same(twin) || !held.Same(held) {
		t.Fatal("records are told apart by more than their epoch")
	}
	d := newDesk(t)
	d.obeys(g, k, held)
	sent := d.m.Lease(Source).Sent
	d.pass(time.Second)
	if eff := d.hear(twin, "run-source", true); eff != (Effects{}) || d.m.Lease(Source).Sent != sent {
		t.Errorf("got %+v; want nothing to be done, and no lease", eff)
	}
	d.lapses(Source)
	d.hear(twin, "run-source", true)
	if !d.m.Record(Source).Same(twin) {
		t.Error("obeys the record that no server has")
	}
}
