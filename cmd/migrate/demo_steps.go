package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/transload/transload/migrate/coordinator"
)

// shadowWithin bounds the first pass of a demonstration without --keys: it has some
// thousand keys to copy.
const shadowWithin = time.Minute

// lookEvery is how often the demonstration looks at the status.
const lookEvery = 100 * time.Millisecond

func (d *demo) shadow(ctx context.Context) error {
	d.heading("migrate shadow: the target is made equal to the source, and kept so",
		"The source still answers every command. What the app writes is copied, key by key, after each write;",
		"one pass over all keys copies what was there before, and every key that a server names as changed is compared.")
	began := time.Now()
	run, end := context.WithCancel(ctx)
	d.end, d.ended = end, make(chan error, 1)
	go func() { d.ended <- d.boss.Shadow(run) }() // close waits for it
	if err := d.waitEqual(ctx); err != nil {
		return err
	}
	took := time.Since(began)
	if err := d.run(ctx); err != nil {
		return err
	}
	d.figures("both sides were equal after %.1f s", took.Seconds())
	return nil
}

// waitEqual waits until every key was compared once, as an operator who watches
// the status would.
func (d *demo) waitEqual(ctx context.Context) error {
	limit := shadowWithin + time.Duration(d.result.Stock.Keys)*perKey
	ctx, cancel := context.WithTimeoutCause(ctx, limit, fmt.Errorf("the sides did not become equal within %v", limit))
	defer cancel()
	for {
		st, err := d.ask.Status(ctx)
		if err == nil && st.Sync.Done {
			return nil
		}
		select {
		case err := <-d.ended:
			d.ended <- nil // close looks too
			return fmt.Errorf("shadow ended: %w", err)
		case <-ctx.Done():
			return errors.Join(fmt.Errorf("%w: the last look gave %s", context.Cause(ctx), statusLine(st)), err)
		case <-time.After(lookEvery):
		}
	}
}

// check asks both sides whether a migration may begin.
func (d *demo) check(ctx context.Context) error {
	d.heading("migrate check: may the migration begin?",
		"Both sides are asked for everything that a migration needs, and the members for what the app does.")
	rep, err := d.ask.Check(ctx)
	if err != nil {
		return err
	}
	if err := rep.Refusal(); err != nil {
		return err
	}
	if d.stage.mode == "embedded" {
		d.screen.say("   A Redis inside a process lacks much of a real server, and is warned of:")
	}
	for _, line := range concerns(rep.Lines) {
		d.screen.say("     warns of %s", line)
	}
	ok, warn, _ := tally(rep)
	d.figures("%d checks are ok, %d warn, none refuses", ok, warn)
	return nil
}

// concerns tells what is neither ok nor refused; what is so of both sides, once.
func concerns(lines []coordinator.CheckLine) (out []string) {
	sides := map[string]string{}
	for _, l := range lines {
		if l.Verdict == coordinator.OK || l.Verdict == coordinator.Refused {
			continue
		}
		what := l.Check + ": " + l.Figure
		if _, ok := sides[what]; !ok {
			out = append(out, what)
			sides[what] = l.Side
		} else {
			sides[what] = "both sides"
		}
	}
	for i, what := range out {
		if side := sides[what]; side != "" {
			out[i] = side + ": " + what
		}
	}
	return out
}

func (d *demo) cutover10(ctx context.Context) error {
	d.heading("migrate cutover --to 10 --execute: the target answers for a tenth of the keys",
		"For the keys that move, writes are held for a moment: all that is under way ends, both sides are proven",
		"equal, and authority changes hands. Reads go on. From here these keys are copied the other way.")
	return d.cutover(ctx, 10)
}

func (d *demo) cutover50(ctx context.Context) error {
	d.heading("migrate cutover --to 50 --execute: half of them")
	return d.cutover(ctx, 50)
}

func (d *demo) cutover100(ctx context.Context) error {
	d.heading("migrate cutover --to 100 --execute: all of them",
		"The source is still kept equal, so that there is a way back that loses nothing.")
	return d.cutover(ctx, 100)
}

func (d *demo) again(ctx context.Context) error {
	d.heading("migrate cutover --to 100 --execute: once more, in one step")
	return d.cutover(ctx, 100)
}

// demoCare opens the gates that ask for a week of load, or for a quiet machine.
// Shadow reads that met keys before the first pass had copied them count for a
// minute, which is longer than the demonstration.
func demoCare() coordinator.Care {
	return coordinator.Care{Limits: coordinator.Limits{
		P99: time.Minute, HitRate: -1, Lag: time.Minute, MinShadow: -1, ReadsDiffer: 1000,
	}}
}

func (d *demo) cutover(ctx context.Context, percent int) error {
	return d.move(ctx, func() ([]coordinator.MoveReport, error) {
		res, err := d.ask.Cutover(ctx, coordinator.CutoverRequest{To: []int{percent}, Care: demoCare()})
		return res.Moves, err
	})
}

func (d *demo) rollback(ctx context.Context) error {
	d.heading("migrate rollback --execute: and back",
		"The same move in the other direction, with the same proof. What was written meanwhile comes along.")
	return d.move(ctx, func() ([]coordinator.MoveReport, error) {
		res, err := d.ask.Rollback(ctx, coordinator.RollbackRequest{Care: demoCare()})
		return res.Moves, err
	})
}

// tries is how often a command is given that is refused, or gives its move up.
const tries = 4

// move gives a command, and lets the app work on what has come of it. A refusal,
// or a move that was given up, is no failure: nothing has moved, and the operator
// says it again. On a busy machine a gate may find a side too slow for a moment.
func (d *demo) move(ctx context.Context, give func() ([]coordinator.MoveReport, error)) error {
	moves, err := give()
	for n := 1; n < tries && mayPass(err) && ctx.Err() == nil; n++ {
		d.screen.say("   → %s; nothing has moved, and it is said again", outcomeOf(err).Error)
		if err := d.run(ctx); err != nil {
			return err
		}
		moves, err = give()
	}
	if err != nil {
		return err
	}
	if len(moves) == 0 {
		return errors.New("demo: nothing was moved")
	}
	for _, m := range moves {
		d.result.HoldsMS = append(d.result.HoldsMS, m.HoldMS)
		d.result.WaitMS = max(d.result.WaitMS, m.LongestWait)
	}
	if err := d.run(ctx); err != nil {
		return err
	}
	m := moves[len(moves)-1]
	d.figures("writes were held for %.1f ms, in which %d keys were compared and %d repaired", m.HoldMS, m.Compared, m.Repaired)
	return nil
}

// mayPass reports whether a command may be given again as it is.
func mayPass(err error) bool {
	if errors.Is(err, coordinator.ErrAborted) {
		return true
	}
	_, refused := errors.AsType[*coordinator.Refusal](err)
	return refused
}

func (d *demo) verify(ctx context.Context) error {
	d.heading("migrate verify: every key of both sides is compared",
		"The app rests meanwhile, so that what is compared stands still.")
	for _, a := range d.actors {
		if err := a.rest(ctx); err != nil {
			return err
		}
	}
	rep, err := d.ask.Verify(ctx, coordinator.VerifyRequest{})
	d.result.Differing = rep.Different + rep.Failed
	if err != nil && !errors.Is(err, coordinator.ErrDiffer) {
		return err
	}
	d.figures("%s keys compared, %d differ", grouped(rep.Compared), d.result.Differing)
	for _, x := range rep.Examples {
		d.screen.say("     %q: %s (the %v has the authority)", x.Key, x.Kind, x.Authority)
	}
	for _, a := range d.actors {
		if err := a.work(ctx); err != nil {
			return err
		}
	}
	return d.run(ctx)
}

func (d *demo) finish(ctx context.Context) error {
	d.heading("migrate finish: the source is let go",
		"Nothing is copied any more, and there is no way back but a new migration.")
	if _, err := d.ask.Finish(ctx, coordinator.FinishRequest{MinSoak: -1, Care: demoCare()}); err != nil {
		return err
	}
	if err := <-d.ended; err != nil {
		d.ended <- nil // close looks too
		return fmt.Errorf("shadow ended: %w", err)
	}
	d.ended <- nil
	d.result.PeakMiB = d.peak.stop()
	d.figures("the target alone answers; this process used %.0f MiB at most", d.result.PeakMiB)
	return nil
}
