package migrate

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/transload/transload/internal/protocol"
)

var (
	// ErrSplitAuthority means that a command's keys are served by two sides now,
	// and that it cannot be split. A step to 0 or 100 percent of its workload ends that.
	ErrSplitAuthority = errors.New("migrate: keys of one command lie on two sides")

	// ErrUnknownOutcome means that a write was sent but its reply cannot be
	// believed: the lease under which it was sent has ended. It may or may not
	// have been carried out, as after a time-out.
	ErrUnknownOutcome = errors.New("migrate: outcome of the write is not known: the lease ended before its reply")

	// ErrNoSide means that no side could be used within the operation's time. The
	// error that wraps it says what was waited for.
	ErrNoSide = errors.New("migrate: no side may be used")

	// ErrClosed means that the client has been closed.
	ErrClosed = errors.New("migrate: client is closed")
)

// A pass admits one operation to one side, under one view.
type pass struct {
	view   *view
	pool   *pool
	side   protocol.Side
	write  bool
	moving bool
	stripe uint8
	alone  bool // on its stripe

	workload uint8 // of the first key
	keyed    bool  // there is one
}

// What is under way may be several commands.
var (
	aPipeline    = "pipeline"
	aTransaction = "transaction"
	aCopy        = "copy to the mirror"
)

// is tells what a write is, for whoever waits for its end. The name must last.
func (p *pass) is(name *string) {
	if p.write && p.alone {
		p.counter().stripes[p.stripe].name.Store(name)
	}
}

// verdict says what a reply is worth.
type verdict uint8

const (
	believed verdict = iota // it counts
	again                   // a read whose keys have moved, or whose lease has ended: run it again
	unknown                 // a write whose lease has ended
)

// enter admits an operation on some units, or all if there are none, to the
// side that serves them. It waits while they are held or no lease is valid, up
// to the context's deadline or Options.Wait. It counts a write first and then
// checks: in the other order an acknowledgement could slip between.
//
// Every pass that is returned must be given to leave. Units that lie on two
// sides are ErrSplitAuthority.
func (m *member) enter(ctx context.Context, units []unit, write bool) (pass, error) {
	var deadline <-chan time.Time
	var began time.Time
	for {
		p, v, err := m.try(units, write)
		if err != nil || p.view != nil {
			if !began.IsZero() {
				m.waited(units, time.Since(began))
			}
			return p, err
		}
		if began.IsZero() {
			began = time.Now()
			t := time.NewTimer(m.opts.Wait)
			defer t.Stop()
			deadline = t.C
		}
		m.parked.Add(1)
		select {
		case <-v.changed:
		case <-m.closing:
			err = ErrClosed
		case <-ctx.Done():
			err = fmt.Errorf("%w: %s: %w", ErrNoSide, m.waitsFor(), context.Cause(ctx))
		case <-deadline:
			err = fmt.Errorf("%w within %v: %s", ErrNoSide, m.opts.Wait, m.waitsFor())
		}
		m.parked.Add(-1)
		if err != nil {
			return pass{}, err
		}
	}
}

// try admits an operation under the view of this moment, or returns that view
// with a zero pass if it has to wait for the next.
func (m *member) try(units []unit, write bool) (pass, *view, error) {
	for {
		v := m.view.Load()
		side, moving, split := v.place(units, write)
		if split {
			return pass{}, v, ErrSplitAuthority
		}
		if side == protocol.None || v.pools[side] == nil {
			return pass{}, v, nil
		}
		var now protocol.Instant
		if v.leased || write { // reads in phase off or done do without the clocks
			now = m.now()
		}
		p := pass{view: v, pool: v.pools[side], side: side, write: write, moving: moving}
		if len(units) > 0 {
			p.workload, p.keyed = units[0].workload, true
		}
		if write {
			p.stripe, p.alone = p.counter().add(now)
			if m.view.Load() != v {
				p.counter().done(p.stripe)
				continue
			}
		}
		if v.leased && !p.pool.valid(now) {
			if write {
				p.counter().done(p.stripe)
			}
			return pass{}, v, nil // its lapse is about to be noticed, and makes a new view
		}
		return p, v, nil
	}
}

func (p *pass) counter() *counter {
	if p.moving {
		return &p.view.moving
	}
	return &p.view.writes
}

// leave ends an operation and says what its reply is worth. A write's reply
// counts only if the very lease under which it was sent still holds. A read's
// counts if its side still serves its keys through the same pool; if they have
// moved since, nobody waited for it.
func (m *member) leave(p pass, units []unit) verdict {
	if p.write {
		defer p.counter().done(p.stripe)
	}
	if !p.view.leased {
		return believed
	}
	if !p.pool.valid(m.now()) {
		if p.write {
			return unknown
		}
		return again
	}
	if p.write {
		return believed
	}
	v := m.view.Load()
	if v == p.view {
		return believed
	}
	if len(units) == 0 {
		return believed // of a whole server, which was the right one when it was asked
	}
	if side, _, split := v.place(units, false); side != p.side || split || v.pools[side] != p.pool {
		return again
	}
	return believed
}

// A copyPass admits copies from the side that serves some keys to the other one,
// under one view. It is counted as a write is: a copy that was read before a
// move must not arrive after it.
type copyPass struct {
	view     *view
	from, to *pool
	moving   bool
	stripe   uint8
}

// enterCopy admits a copy under a view. It does not wait: it reports false if
// the view is over, or if a lease is missing. Every pass that it returns must be
// given to leaveCopy.
func (m *member) enterCopy(v *view, from protocol.Side, moving bool) (copyPass, bool) {
	p := copyPass{view: v, from: v.pools[from], to: v.copies[from.Other()], moving: moving}
	if !v.leased || p.from == nil || p.to == nil {
		return copyPass{}, false
	}
	stripe, alone := p.counter().add(m.now())
	if p.stripe = stripe; alone {
		p.counter().stripes[stripe].name.Store(&aCopy)
	}
	if m.mayCopy(p) != nil {
		p.counter().done(p.stripe)
		return copyPass{}, false
	}
	return p, true
}

func (p copyPass) counter() *counter {
	if p.moving {
		return &p.view.moving
	}
	return &p.view.writes
}

// mayCopy is asked right before a copy is sent: what was read under a view that
// is over, or under a lease that has ended, is dropped.
func (m *member) mayCopy(p copyPass) error {
	now := m.now()
	if m.view.Load() != p.view || !p.from.valid(now) || !p.to.valid(now) {
		return errCopyMoved
	}
	return nil
}

func (m *member) leaveCopy(p copyPass) { p.counter().done(p.stripe) }
