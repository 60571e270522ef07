package drill

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	"github.com/transload/transload/topology"
)

const (
	// DefaultBudget is what the plan promises: writes go on within five seconds.
	DefaultBudget = 5 * time.Second

	// DefaultWait is how long a drill waits for a fault from outside.
	DefaultWait = 10 * time.Minute

	// warmLimit bounds the time until every goroutine had its first answer.
	warmLimit = 15 * time.Second

	// quiet is how long a load runs before the fault, and after it is over.
	quiet = 2 * time.Second

	// recoveryLimit is how long a drill watches servers and app recover: a plain
	// cluster client needs a minute.
	recoveryLimit = 90 * time.Second
)

// A Cause brings a fault about. It returns what it did, and to which server; a
// fault that it could not bring about is an error. What it sees after the fault
// that makes the drill worthless is an error too.
type Cause func(ctx context.Context, w *Watch) (Moment, error)

// Options say what a drill does. Zero fields mean the default.
type Options struct {
	// Config is the app's own, and required.
	Config topology.Config

	// Load says what is written and read.
	Load LoadOptions

	// Cause brings the fault about. The default is to wait for one that comes from
	// outside.
	Cause Cause

	// Wait is how long to wait for one. The default is DefaultWait.
	Wait time.Duration

	// Budget is the longest outage of writes with which the drill passes. Reads
	// have the same, or a fifth of it where they go to replicas. The default is
	// DefaultBudget.
	Budget time.Duration

	// Lossless makes any acknowledged write that is lost fail the drill. The
	// default is to tell it: replication is asynchronous.
	Lossless bool

	// Say hears what is going on: a stage in a word, and a line for people. The
	// default is nobody.
	Say func(stage, line string)
}

func (o Options) withDefaults() Options {
	if o.Wait == 0 {
		o.Wait = DefaultWait
	}
	if o.Budget == 0 {
		o.Budget = DefaultBudget
	}
	if o.Say == nil {
		o.Say = func(string, string) {}
	}
	return o
}

// LeastRate is the least rate with which a goroutine's own pace is within the
// budget: any lower one fails the drill on servers that never were away.
func (o Options) LeastRate() int {
	o = o.withDefaults()
	load := o.Load.withDefaults()
	of := func(goroutines int, budget time.Duration) int {
		return int(time.Duration(goroutines)*time.Second/budget) + 1
	}
	return max(of(load.Writers, o.Budget), of(load.Readers, o.readBudget()))
}

// readBudget is the longest outage of reads with which the drill passes.
func (o Options) readBudget() time.Duration {
	if o.Config.Reader.From == topology.ReadReplica {
		return max(o.Budget/readShare, 1)
	}
	return o.Budget
}

// Run does one drill. The result is nil if there was none to judge: the servers
// are not what was told, the app's client gets no answer to begin with, or no
// fault came. Nothing is left on the servers but keys that could not be removed,
// which expire.
func Run(ctx context.Context, o Options) (*Result, error) {
	o = o.withDefaults()
	o.Load.base = drillKey
	cfg := o.Config
	cfg.Reader = topology.Reader{} // what is there is asked of primaries
	control, err := topology.Open(cfg)
	if err != nil {
		return nil, err
	}
	defer control.Close()
	if err := control.CheckMode(ctx); err != nil {
		return nil, err
	}
	var d dials
	app, err := topology.Open(o.Config, topology.WithName("transload-drill"), topology.WithConn(d.note))
	if err != nil {
		return nil, err
	}
	defer app.Close()
	watch, err := StartWatch(ctx, control)
	if err != nil {
		return nil, err
	}
	defer watch.Stop()
	r := &run{Options: o, watch: watch, load: StartLoad(ctx, app, o.Load)}
	defer r.clean(ctx, control)
	defer r.load.Stop()
	err = r.play(ctx)
	var res *Result
	if err == nil {
		res, err = r.judge(ctx, control, &d)
	}
	return res, r.interrupted(ctx, err)
}

// A run is a drill under way.
type run struct {
	Options
	watch      *Watch
	load       *Load
	shards     int
	began, end time.Time
	fault      Moment
	recovered  error // nil if all went on in the end
}

// interrupted has an error say that the context had ended, and what was moved.
func (r *run) interrupted(ctx context.Context, err error) error {
	_, told := errors.AsType[*Interrupted](err)
	_, half := errors.AsType[*HandoverError](err)
	switch {
	case err == nil || ctx.Err() == nil || told || half:
		return err
	case r.fault.Says != "":
		return &Interrupted{"the drill was not judged; before: " + r.fault.Says, context.Cause(ctx)}
	}
	return &Interrupted{"nothing has changed", context.Cause(ctx)}
}

// tidyLimit bounds the removal of the keys, which servers that are away hold up.
const tidyLimit = 10 * time.Second

// clean removes the keys, however the drill has ended. The load is over.
func (r *run) clean(ctx context.Context, control *topology.Client) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), tidyLimit)
	defer cancel()
	if err := r.load.Clean(ctx, control); err != nil {
		r.Say("clean", err.Error()+"; keys that are left expire within "+expiry.String())
	}
}

// play runs the load through the fault.
func (r *run) play(ctx context.Context) error {
	if err := warm(ctx, r.load); err != nil {
		return err
	}
	r.shards = len(r.watch.Primaries())
	r.began = r.load.warm
	if err := r.awaitFault(ctx); err != nil {
		return err
	}
	r.Say("recovery", fmt.Sprintf("%s; waiting until all goes on", r.fault.Says))
	r.recovered = settle(ctx, r.watch, r.fault, r.shards, r.load)
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	r.load.Stop()
	r.end = time.Now()
	r.watch.Stop()
	return nil
}

// warm waits until every goroutine had an answer, and a while longer.
func warm(ctx context.Context, l *Load) error {
	err := poll(ctx, warmLimit, probeEvery, func() error {
		if l.AnsweredSince(l.began) {
			return nil
		}
		return fmt.Errorf("the app's client gets no answer%s", l.trouble())
	})
	if err != nil {
		return fmt.Errorf("drill: before any fault: %w", err)
	}
	l.warm = time.Now()
	return pause(ctx, quiet)
}

// awaitFault brings the fault about, or waits for it. Journals are pinned before:
// what was acknowledged a moment before the fault is what a failover loses.
func (r *run) awaitFault(ctx context.Context) (err error) {
	if r.Cause != nil {
		r.load.Pin()
		r.fault, err = r.Cause(ctx, r.watch)
		return err
	}
	r.Say("waiting", fmt.Sprintf("writing and reading; waiting for a fault, at most %v: kill or move the primary now", r.Wait))
	err = poll(ctx, r.Wait, probeEvery, func() error {
		m, ok := r.watch.Disturbed()
		if !ok {
			return fmt.Errorf("no primary was lost and no replica promoted")
		}
		r.fault = Moment{Fault, m.At, m.Addr, "seen: " + m.Name + " of " + m.Addr}
		return nil
	})
	r.load.Pin()
	if err != nil && ctx.Err() == nil {
		return &Refusal{"fault", fmt.Sprintf("none came within %v", r.Wait), "bring one about while the drill waits, or say --planned"}
	}
	r.began = later(r.began, r.fault.At.Add(-keepFor)) // the journals go no further back
	return err
}

// settle waits until the servers are whole and every goroutine of the loads has
// been answered since, and a while longer. Its error says what never came.
func settle(ctx context.Context, w *Watch, fault Moment, shards int, loads ...*Load) error {
	err := poll(ctx, recoveryLimit, probeEvery, func() error {
		whole, err := w.whole(fault, shards)
		if err != nil {
			return err
		}
		for _, l := range loads {
			if !l.AnsweredSince(whole) {
				return fmt.Errorf("the servers are whole again, and the app still gets no answer%s", l.trouble())
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	return pause(ctx, quiet)
}

// whole returns since when there have been as many primaries as at the beginning,
// or what is missing.
func (w *Watch) whole(fault Moment, shards int) (time.Time, error) {
	if n := len(w.Primaries()); n != shards {
		return time.Time{}, fmt.Errorf("%d servers answer as primaries; %d are wanted", n, shards)
	}
	if m, ok := w.First(Promoted, fault.At.Add(-lostAfter)); ok {
		return m.At, nil
	}
	if m, ok := w.First(PingAgain, fault.At); ok && m.Addr == fault.Addr {
		return m.At, nil // it came back before anybody was promoted
	}
	return time.Time{}, fmt.Errorf("no replica was promoted")
}

func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-time.After(d):
		return nil
	}
}

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

// dials are the connections that the app's client has made.
type dials struct {
	mu   sync.Mutex
	list []Moment
}

// note is topology.WithConn's function.
func (d *dials) note(c net.Conn) net.Conn {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.list = append(d.list, Moment{Reconnected, time.Now(), c.RemoteAddr().String(), ""})
	return c
}

// first returns the first connection to addr after t.
func (d *dials) first(addr string, t time.Time) (Moment, bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, m := range d.list {
		if m.Addr == addr && m.At.After(t) {
			return m, true
		}
	}
	return Moment{}, false
}
