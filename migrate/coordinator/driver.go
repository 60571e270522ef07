package coordinator

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/transload/transload/internal/control"
	"github.com/transload/transload/internal/protocol"
)

const (
	// tickEvery is how often a mover looks at the time, and at the roll in case
	// that a member's message was lost.
	tickEvery = 10 * time.Millisecond

	// A roll that has not come to what is waited for in rollSoon is looked at each
	// rollEvery, and when a message comes: a member that is silent is waited for for
	// sixteen seconds.
	rollSoon  = time.Second
	rollEvery = 100 * time.Millisecond

	// leaveFor is how long a move that is decided is carried on after its caller
	// has gone. Members end it if that is not enough.
	leaveFor = 2 * protocol.SilentFor
)

// A driver carries out what a mover asks for. One goroutine uses the mover;
// answers come to it as events.
type driver struct {
	s      *syncer
	t      *term
	m      *protocol.Mover
	giver  protocol.Side
	hold   time.Duration
	taker  rollSeen  // the taking side's roll
	runs   [3]string // run ids of the control masters when the move began
	events chan event
	wg     sync.WaitGroup

	rollSeq   uint64    // of the last DoRoll
	rollAsked time.Time // when that was
	rollRead  time.Time // when it was last begun to be read
	rolling   bool      // the roll is being read
	rollAgain bool      // and must be read once more after that
	endProof  context.CancelFunc
	paused    bool // the sync is held off
	began     time.Time
	held      time.Time
	said      string
	report    MoveReport
}

// An event is an answer for the mover, or something for its process alone.
type event struct {
	protocol.Input
	look   bool  // the roll has changed
	rolled bool  // a reading of the roll is over
	fatal  error // the term is over
	proof  *proof
	rounds int
}

func (s *syncer) newDriver(m *protocol.Mover, cfg protocol.MoveConfig, recs readings) *driver {
	d := &driver{
		s: s, t: s.t, m: m, giver: cfg.From, hold: cfg.Hold, events: make(chan event, 16), began: time.Now(),
		report: MoveReport{ID: cfg.ID, From: cfg.From, Percent: map[string]int{}},
	}
	for _, side := range protocol.Sides {
		d.runs[side] = recs[side].RunID
	}
	for w, cut := range cfg.Goal {
		d.report.Percent[w] = protocol.Percent(cut)
	}
	return d
}

// run feeds the mover until the move has ended. If ctx ends first, a move that
// is not decided is aborted; one that is decided is carried on.
func (d *driver) run(ctx context.Context, outs []protocol.Output) (MoveReport, error) {
	work, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer d.resume()
	defer d.wg.Wait()
	defer stop()
	d.wg.Go(func() { d.listen(work) })
	tick := time.NewTicker(tickEvery)
	defer tick.Stop()
	leave := ctx.Done()
	var leaving <-chan time.Time
	for {
		if end := d.do(work, outs); end != nil {
			return d.finish(end)
		}
		var in protocol.Input
		select {
		case ev := <-d.events:
			if ev.fatal != nil {
				return d.left(), ev.fatal
			}
			d.take(work, ev)
			in = ev.Input
		case <-tick.C:
			in = d.tick(work)
		case why := <-d.s.gaps:
			in.Cancel = why
		case <-leave:
			leave = nil
			in.Cancel = fmt.Sprintf("the coordinator was stopped: %v", context.Cause(ctx))
			tm := time.NewTimer(leaveFor)
			defer tm.Stop()
			leaving = tm.C
		case <-leaving:
			return d.left(), fmt.Errorf("coordinator: left the move while %s; its members, or the next coordinator, will end it", d.m.Stage())
		}
		outs = d.m.Handle(in, d.t.now())
	}
}

// left tells of a move that goes on without this coordinator. One that may be
// committed counts as committed: nothing that was done for it may be undone.
func (d *driver) left() MoveReport {
	d.report.Committed = d.m.Decided()
	return d.report
}

// finish tells how the move ended.
func (d *driver) finish(end *protocol.MoveEnd) (MoveReport, error) {
	d.report.Committed, d.report.Reason = end.Committed, end.Reason
	d.report.PrepareMS = ms(time.Since(d.began))
	if !d.held.IsZero() {
		d.report.HoldMS = ms(time.Since(d.held))
		d.report.PrepareMS = ms(d.held.Sub(d.began))
	}
	if !end.Committed {
		return d.report, fmt.Errorf("%w: %s%s", ErrAborted, end.Reason, d.t.pastSilent(d.m.Unfenced()))
	}
	return d.report, nil
}

// take does what an event asks of the process itself.
func (d *driver) take(ctx context.Context, ev event) {
	if ev.rolled {
		d.rolling = false
	}
	if ev.proof != nil {
		d.report.Compared, d.report.Repaired = ev.proof.checked.Load(), ev.proof.mended.Load()
		d.report.Rounds = ev.rounds
	}
	if ev.look || (ev.rolled && d.rollAgain) {
		d.look(ctx)
	}
}

// tick looks at what nobody tells: the roll, and how much is dirty.
func (d *driver) tick(ctx context.Context) (in protocol.Input) {
	if time.Since(d.rollAsked) < rollSoon || time.Since(d.rollRead) >= rollEvery {
		d.look(ctx)
	}
	if w := d.doing(); w != d.said {
		d.said = w
		d.t.c.report("move", "%s", w)
	}
	if d.m.Stage() == "gathering" {
		d.endOrphans(ctx)
		return d.dirty()
	}
	return in
}

// doing says what the move does, and whom it waits for if for anybody.
func (d *driver) doing() string {
	stage, waits := d.m.Stage(), d.m.WaitingFor()
	if waits == stage {
		return stage
	}
	return stage + ": " + waits
}

// look has the roll read, if the mover has asked for it.
func (d *driver) look(ctx context.Context) {
	if d.rollSeq == 0 {
		return
	}
	if d.rollAgain = d.rolling; d.rolling {
		return
	}
	d.rolling, d.rollRead = true, time.Now()
	seq := d.rollSeq
	d.wg.Go(func() { d.roll(ctx, seq) })
}

// dirty tells the mover how much is still to be compared.
func (d *driver) dirty() protocol.Input {
	n := d.s.dirty.Len() + 1000*d.s.slots() + d.s.large.underWay()
	if d.t.hasOrphans() {
		n += 1000 * protocol.Slots
	}
	return protocol.Input{Dirty: &n}
}

// endOrphans makes copies that were left unanswered harmless.
func (d *driver) endOrphans(ctx context.Context) {
	if !d.t.hasOrphans() {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, askFor)
	defer cancel()
	err := d.s.halt(ctx)
	if err == nil {
		defer d.s.batches.Unlock()
		err = d.t.killOrphans(ctx)
	}
	if err != nil {
		d.t.c.report("move", "%v", err)
	}
}

// do carries out some outputs, and returns the end if it is among them.
func (d *driver) do(ctx context.Context, outs []protocol.Output) *protocol.MoveEnd {
	for _, o := range outs {
		switch o.Kind {
		case protocol.DoWrite:
			if err := d.stage(ctx, o); err != nil {
				d.wg.Go(func() { d.send(ctx, event{Input: protocol.Input{Written: d.answer(o.Side, control.Reading{}, err)}}) })
				continue
			}
			d.wg.Go(func() { d.write(ctx, o) })
		case protocol.DoRead:
			d.wg.Go(func() { d.read(ctx, o.Side) })
		case protocol.DoRoll:
			d.rollSeq, d.rollAsked = o.Seq, time.Now()
			d.look(ctx)
		case protocol.DoFence:
			d.wg.Go(func() { d.fence(ctx, o.Member) })
		case protocol.DoProve:
			var proof context.Context
			proof, d.endProof = context.WithCancel(ctx)
			d.wg.Go(func() { d.prove(proof) })
		case protocol.DoEnd:
			return o.End
		}
	}
	return nil
}

// stage does what must be done before a record is written. If it cannot be done
// the record is not written, and the mover finds that out by reading.
func (d *driver) stage(ctx context.Context, o protocol.Output) error {
	switch mv := o.Change.New.Move; {
	case mv == nil && d.endProof != nil:
		d.endProof() // it is being aborted: nothing more is to be copied for it
	case mv != nil && mv.Stage == protocol.Held && !d.paused:
		if err := d.s.halt(ctx); err != nil {
			return err
		}
		d.paused = true
		d.held = time.Now()
		if d.t.hasOrphans() { // it ended without an answer
			ctx, cancel := context.WithTimeout(ctx, d.hold/2)
			defer cancel()
			return d.t.killOrphans(ctx)
		}
	}
	return nil
}

// resume lets the sync go on after a move.
func (d *driver) resume() {
	if d.endProof != nil {
		d.endProof()
	}
	if d.paused {
		d.s.batches.Unlock()
	}
}

func (d *driver) send(ctx context.Context, ev event) {
	select {
	case d.events <- ev:
	case <-ctx.Done():
	}
}

// listen hears the members' acknowledgements on the giver's side.
func (d *driver) listen(ctx context.Context) {
	sd := d.t.sides[d.giver]
	ps := sd.client.Subscribe(ctx, sd.store.Keys().Acks)
	d.wg.Go(func() { // Receive heeds no context
		<-ctx.Done()
		_ = ps.Close()
	})
	for ctx.Err() == nil {
		msg, err := ps.Receive(ctx)
		if err != nil {
			pause(ctx, 50*time.Millisecond) // it connects again at the next Receive; until then ticks must do
			continue
		}
		if _, ok := msg.(*redis.Message); ok {
			d.send(ctx, event{look: true})
		}
	}
}
