package ratelimit

import (
	"context"
	"crypto/rand"
	"slices"
	"time"
)

// A debt is what Redis is being told of a subject: what was granted without it. It
// has a name of its own, so that it counts once however often it is told.
type debt struct {
	name    string
	parts   []track // owed, used and reset, as they were when it was made
	telling bool    // somebody is at it
}

// collect makes one debt of all that a subject owes, or returns the one that could
// not be told before; nil if there is none, or somebody is telling it. The shard's
// lock is held.
func (x *subject) collect(now int64) *debt {
	if x.debt == nil {
		d := &debt{name: ":m:" + newName()}
		for i := range x.tracks {
			t := &x.tracks[i]
			t.roll(now)
			if t.owed > 0 {
				d.parts = append(d.parts, *t)
				t.owed = 0
			}
		}
		if len(d.parts) == 0 {
			return nil
		}
		x.debt = d
	}
	if x.debt.telling {
		return nil
	}
	x.debt.telling = true
	return x.debt
}

// settle tells Redis what was granted to a subject without it. Where somebody else
// is telling it, it does not wait.
func (l *Limiter) settle(ctx context.Context, k id) error {
	for {
		x, d := l.collect(k, l.now())
		if d == nil {
			return nil
		}
		if err := l.pay(ctx, k, x, d); err != nil {
			return err
		}
	}
}

// pay tells one debt.
func (l *Limiter) pay(ctx context.Context, k id, x *subject, d *debt) error {
	now := l.now()
	var reply []int64
	var err error
	if len(d.parts) > 0 { // else their windows have ended meanwhile
		reply, err = l.merge(ctx, x.tag, d, now)
	}
	s := l.memory.of(k)
	s.mu.Lock()
	defer s.mu.Unlock()
	if d.telling = false; err != nil {
		if uncounted(err) {
			x.keep()
		}
		return err
	}
	x.debt = nil
	for i, part := range d.parts {
		x.track(part.rule).learn(reply[2*i], l.now()+reply[2*i+1]*int64(time.Millisecond), now)
		l.meter.merged.Add(part.owed)
	}
	l.memory.settled(k, x)
	return nil
}

// keep takes back a debt that Redis has certainly not heard of, so that it can be
// told together with what is granted by then.
func (x *subject) keep() {
	for _, part := range x.debt.parts {
		if t := x.track(part.rule); t.reset == part.reset {
			t.owed += part.owed
		}
	}
	x.debt = nil
}

// collect looks for a subject's debt.
func (l *Limiter) collect(k id, now int64) (*subject, *debt) {
	s := l.memory.of(k)
	s.mu.Lock()
	defer s.mu.Unlock()
	x := s.subjects[k]
	if x == nil {
		l.memory.settled(k, nil)
		return nil, nil
	}
	d := x.collect(now)
	if d == nil {
		l.memory.settled(k, x)
		return x, nil
	}
	d.parts = slices.DeleteFunc(d.parts, func(t track) bool { return t.rule.Algorithm == Window && now >= t.reset })
	return x, d
}

// merge sends merge.lua. It may be run twice, but go-redis is not to: it would go on
// for the whole budget while a server is loading, and have the caller wait.
func (l *Limiter) merge(ctx context.Context, tag string, d *debt, now int64) ([]int64, error) {
	args := append(make([]any, 2, 8+8*len(d.parts)), len(d.parts)+1)
	for _, t := range d.parts {
		args = append(args, tag+t.rule.suffix)
	}
	args = append(args, tag+d.name, remember.Milliseconds())
	for _, t := range d.parts {
		used, ms := t.used, int64(0)
		if now < t.reset {
			ms = (t.reset-now)/int64(time.Millisecond) + 1
		}
		if t.asked == 0 || ms == 0 {
			used = 0
		}
		args = append(append(args, t.rule.args[:]...), used, ms, t.owed)
	}
	return l.run(ctx, &call{script: mergeScript, circuit: circuitOf(tag), args: args, want: 2 * len(d.parts)})
}

// settleSoon begins to tell Redis what it has not heard, once it answers again, also
// of subjects that do not come back here: other instances may grant to them. One
// after the other: some ten thousand a second.
func (l *Limiter) settleSoon(ctx context.Context) {
	if l.meter.settling.CompareAndSwap(false, true) {
		l.background(ctx, func(ctx context.Context) {
			defer l.meter.settling.Store(false)
			_ = l.settleAll(ctx) // what could not be told is told the next time
		})
	}
}

// settleAll tells Redis all that it has not heard, until it fails to answer.
func (l *Limiter) settleAll(ctx context.Context) error {
	for _, k := range l.memory.debtors() {
		if err := l.settle(ctx, k); err != nil {
			return err
		}
	}
	return nil
}

// newName is a name that nobody else has.
func newName() string { return rand.Text() }
