package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/transload/transload/internal/load"
	"github.com/transload/transload/migrate/coordinator"
	"github.com/transload/transload/topology"
)

const (
	demoName    = "demo" // the migration's name
	demoMembers = 3

	// breath is how long the app runs on between two steps, so that each finds
	// what the one before has left it.
	breath = time.Second
)

// A demo is a demonstration under way.
type demo struct {
	*call
	stage  *stage
	peak   *peak
	dir    string    // of the journals
	began  time.Time // the app's work
	actors []actor
	boss   *coordinator.Coordinator // runs shadow, as in one terminal
	ask    *coordinator.Coordinator // gives the other verbs, as in another
	end    context.CancelFunc       // of shadow
	ended  chan error               // 1: what shadow returned
	step   int
	result demoResult
}

// play runs the migration from its first step to its verdict.
func (d *demo) play(ctx context.Context) error {
	d.introduce()
	for _, step := range []func(context.Context) error{
		d.fill, d.startApp, d.check, d.shadow, d.cutover10, d.cutover50, d.cutover100,
		d.rollback, d.again, d.verify, d.finish, d.readBack,
	} {
		if err := step(ctx); err != nil {
			return err
		}
	}
	return nil
}

// close ends what still runs.
func (d *demo) close() (err error) {
	for _, a := range d.actors {
		_, e := a.stop()
		err = errors.Join(err, e)
	}
	if d.end != nil {
		d.end()
		if e := <-d.ended; !errors.Is(e, context.Canceled) {
			err = errors.Join(err, e)
		}
	}
	for _, c := range []*coordinator.Coordinator{d.ask, d.boss} {
		if c != nil {
			err = errors.Join(err, c.Close())
		}
	}
	err = errors.Join(err, d.stage.Close())
	if d.dir != "" {
		err = errors.Join(err, os.RemoveAll(d.dir))
	}
	return err
}

// heading begins a step of the story.
func (d *demo) heading(title string, story ...string) {
	d.step++
	d.screen.say("\n%d. %s", d.step, title)
	for _, line := range story {
		d.screen.say("   %s", line)
	}
}

// figures ends a step with what came of it.
func (d *demo) figures(format string, args ...any) {
	d.screen.say("   → %s; %s writes acknowledged so far", fmt.Sprintf(format, args...), grouped(d.acked()))
}

func (d *demo) acked() (n int64) {
	for _, a := range d.actors {
		n += a.count()
	}
	return n
}

// run lets the app work for a while.
func (d *demo) run(ctx context.Context) error {
	select {
	case <-time.After(breath):
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func (d *demo) introduce() {
	d.screen.say("An app moves from one Redis to another while it works, comes back, and moves for good.")
	d.screen.say("")
	d.screen.say("   source  %s  %s (%s)", d.stage.source.Mode, strings.Join(d.stage.source.Addrs, " "), d.stage.described[0])
	d.screen.say("   target  %s  %s (%s)", d.stage.target.Mode, strings.Join(d.stage.target.Addrs, " "), d.stage.described[1])
}

func (d *demo) startApp(ctx context.Context) error {
	lo, kind := load.Options{Workers: 4, Rate: 500}, "processes"
	if d.stage.mode == "embedded" { // all of it shares this process, and all keys are compared in each hold
		lo, kind = load.Options{Workers: 1, Rate: 100}, "members"
	}
	if rate := d.flags.Int("rate"); rate > 0 {
		lo.Rate = rate
	}
	d.heading("The app starts",
		fmt.Sprintf("%d %s write strings, hashes, lists, sets, sorted sets and streams, by single commands,", demoMembers, kind),
		"pipelines, MULTI, WATCH and scripts, and take jobs off queues. Each keeps a journal of every write",
		"that Redis acknowledged to it. At the end these journals, and nothing else, decide.")
	if err := d.coordinators(); err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "transload-demo-")
	if err != nil {
		return fmt.Errorf("demo: %w", err)
	}
	d.dir, d.began = dir, time.Now()
	for i := range demoMembers {
		lo.Member = fmt.Sprintf("m%d", i+1)
		var a actor
		if d.stage.mode == "embedded" {
			a, err = startInner(ctx, demoOptions(demoName, d.stage.source, d.stage.target), lo)
		} else {
			a, err = startOuter(ctx, dir, d.stage.env, demoName, lo)
		}
		if err != nil {
			return err
		}
		d.actors = append(d.actors, a)
	}
	if err := d.run(ctx); err != nil {
		return err
	}
	d.figures("%d members work on the source alone", len(d.actors))
	return nil
}

// coordinators opens what the operator's two terminals run.
func (d *demo) coordinators() (err error) {
	o := coordinator.Options{Name: demoName, Source: d.stage.source, Target: d.stage.target, Logger: d.logger()}
	// On a busy laptop a hold that takes 20 ms elsewhere may take half a second, and
	// that is not what is shown: the bound is far above the default.
	o.Hold = 3 * time.Second
	if d.stage.mode == "embedded" {
		// The servers inside this process have no change feed, so that all keys are
		// compared in the hold. The members would wait for twice as long.
		o.MaxHold = 10 * time.Second
	}
	if d.boss, err = coordinator.Open(o); err != nil {
		return err
	}
	if d.screen.terminal || d.flags.Bool("verbose") {
		o.Progress = d.screen.follow
	}
	d.ask, err = coordinator.Open(o)
	return err
}

// readBack holds the final authority against the journals.
func (d *demo) readBack(ctx context.Context) error {
	d.heading("The verdict",
		"The source is switched off, the app works on for a moment and ends. Then a plain client reads every",
		"key from the target, and each acknowledged write is looked for.")
	if err := d.stage.retire(); err != nil {
		return err
	}
	if err := d.run(ctx); err != nil {
		return err
	}
	var journals []*load.Journal
	for _, a := range d.actors {
		j, err := a.stop()
		if err != nil {
			return err
		}
		journals = append(journals, j)
	}
	client, err := topology.Open(d.stage.target)
	if err != nil {
		return err
	}
	defer client.Close()
	d.result.WritesPerS = float64(d.acked()) / time.Since(d.began).Seconds()
	if d.result.Verdict, err = load.Check(ctx, client, journals...); err != nil {
		return fmt.Errorf("demo: read back: %w", err)
	}
	if err := d.checkStock(ctx, client); err != nil {
		return fmt.Errorf("demo: read back: %w", err)
	}
	v := d.result.Verdict
	d.screen.say("   → %s acknowledged, %s a second: %d lost, %d invented, %d doubled, %d stale of %s reads; the app was shown %d kinds of error; its slowest write took %.0f ms",
		grouped(v.Acknowledged), grouped(int64(d.result.WritesPerS)), v.Lost, v.Invented, v.Doubled, v.Stale, grouped(v.Reads), len(v.Errors), v.LongestMS)
	return nil
}
