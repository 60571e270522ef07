package chaos

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/transload/transload/internal/history"
	"github.com/transload/transload/internal/protocol"
	"github.com/transload/transload/migrate/coordinator"
)

// A step of the life cycle: a verb, and how to see that it has come about.
type step struct {
	name string
	verb string
	done func(coordinator.Status) error
	more bool // not in a brief run: what would strike in it does so in the next
}

// cycle is the whole life of a migration.
var cycle = []step{
	{"shadow", "", isShadow, false},
	{"cutover 10", "10", isCut(10), true},
	{"cutover 50", "50", isCut(50), false},
	{"cutover 100", "100", isCut(100), true},
	{"rollback", "rollback", isShadow, false},
	{"again 100", "100", isCut(100), false},
}

const rollbackStep = 4

func isShadow(st coordinator.Status) error {
	if st.Phase != protocol.Shadow || st.Moving != nil {
		return fmt.Errorf("it is in %v", st.Phase)
	}
	return nil
}

func isCut(percent int) func(coordinator.Status) error {
	return func(st coordinator.Status) error {
		if st.Moving != nil || len(st.Percent) == 0 {
			return fmt.Errorf("a move is %+v", st.Moving)
		}
		for w, p := range st.Percent {
			if p != percent {
				return fmt.Errorf("%s is at %d %%", w, p)
			}
		}
		return nil
	}
}

func isDone(st coordinator.Status) error {
	if st.Phase != protocol.Done {
		return fmt.Errorf("it is in %v", st.Phase)
	}
	return nil
}

// stepWithin bounds one step with all that strikes in it: two leases that are
// waited out one after the other, and a failover.
const stepWithin = 2 * time.Minute

// breath is how long the app works between two steps.
const breath = 700 * time.Millisecond

// live goes through the life cycle with what is planned.
func (r *run) live() error {
	for i, s := range cycle {
		if r.plan.brief && s.more {
			r.due = append(r.due, i)
			continue
		}
		r.log("step: %s", s.name)
		r.begin(append(r.due, i))
		r.due = nil
		if err := r.achieve(s); err != nil {
			return err
		}
		if i == rollbackStep {
			r.returned = history.Now()
		}
		r.pause(breath)
	}
	r.struck.Wait()
	return nil
}

// achieve gives a verb until it has come about, as an operator would who looks at
// the status before each try: what was killed may have done its work.
func (r *run) achieve(s step) error {
	ctx, cancel := context.WithTimeout(r.ctx, stepWithin)
	defer cancel()
	for {
		st, err := r.status(ctx)
		if err == nil {
			err = s.done(st)
		}
		if err == nil {
			return nil
		}
		if ctx.Err() != nil {
			return fmt.Errorf("%s: not within %v: %w; status waits for %q, next %q", s.name, stepWithin, err, st.WaitsFor, st.NextSteps)
		}
		if s.verb != "" && !goneTooFar(s, st) {
			r.give(ctx, s.verb)
		}
		select {
		case <-ctx.Done():
		case <-time.After(400 * time.Millisecond):
		}
	}
}

// goneTooFar reports whether a verb, given now, would do more than is wanted: a
// rollback from shadow goes back to off.
func goneTooFar(s step, st coordinator.Status) bool {
	return s.verb == "rollback" && st.Phase != protocol.Cutover && st.Phase != protocol.Soak
}

// give runs a verb in a process of its own.
func (r *run) give(ctx context.Context, verb string) {
	p, err := start(verb, "migrate "+verb, r.wires[members].with(r.env), r.log)
	if err != nil {
		r.trouble("%v", err)
		return
	}
	r.mu.Lock()
	r.verb = p
	r.mu.Unlock()
	select {
	case <-p.over:
	case <-ctx.Done():
		p.kill()
	}
	r.mu.Lock()
	r.verb = nil
	r.mu.Unlock()
}

// status is what `migrate status` tells an operator whose links nobody hurts.
func (r *run) status(ctx context.Context) (coordinator.Status, error) {
	return r.looker.Status(ctx)
}

// keep runs `migrate shadow`, again and again if it ends, until ctx is done; then
// it is let say goodbye.
func (r *run) keep(ctx context.Context) error {
	for ctx.Err() == nil {
		p, err := start("shadow", "migrate shadow", r.wires[members].with(r.env), r.log)
		if err != nil {
			return err
		}
		r.setShadow(p)
		select {
		case <-p.over:
		case <-ctx.Done():
			p.wake()    // it may have been stopped
			_ = p.end() // its err tells
		}
		r.setShadow(nil)
		if p.err == nil {
			return nil // the migration is over
		}
		select {
		case <-ctx.Done():
		case <-time.After(300 * time.Millisecond):
		}
	}
	return nil
}

func (r *run) setShadow(p *process) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.shadow = p
}

// finish compares the sides while the app rests, ends the migration, and has the
// app work on the target alone.
func (r *run) finish() error {
	r.order("rest", rests)
	if err := r.compare(); err != nil {
		return err
	}
	r.order("work", works)
	if err := r.achieve(step{"finish", "finish", isDone, false}); err != nil {
		return err
	}
	r.pause(breath)
	return nil
}

// compare waits until no key differs. The app rests; what is dirty still is
// repaired by whoever coordinates.
func (r *run) compare() error {
	ctx, stop := context.WithCancel(r.ctx)
	defer stop()
	kept := make(chan error, 1)
	if !r.plan.keeps {
		go func() { kept <- r.keep(ctx) }()
		defer func() { stop(); <-kept }()
	}
	err := r.wait(time.Minute, func() error {
		rep, err := r.looker.Verify(r.ctx, coordinator.VerifyRequest{})
		r.result.differing = rep.Different + rep.Failed
		if errors.Is(err, coordinator.ErrDiffer) {
			err = fmt.Errorf("%w: %+v", err, rep.Examples)
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("verify: %w", err)
	}
	return nil
}
