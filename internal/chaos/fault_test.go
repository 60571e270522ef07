package chaos

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/transload/transload/internal/redisproc"
)

// wholeWithin bounds how long a set may take until it is as it was.
const wholeWithin = 60 * time.Second

func (r *run) coordinatorKilled(strike) {
	if p := r.leader(); p != nil {
		p.kill()
	}
}

func (r *run) coordinatorStopped(s strike) {
	if p := r.leader(); p != nil {
		p.stop()
		time.Sleep(s.lasts)
		p.wake()
	}
}

func (r *run) memberKilled(s strike) {
	r.member(s.who).kill()
	time.Sleep(s.lasts)
	if err := r.join(s.who); err != nil {
		r.trouble("member %d does not start again: %v", s.who, err)
	}
}

func (r *run) memberStopped(s strike) {
	p := r.member(s.who)
	p.stop()
	time.Sleep(s.lasts)
	p.wake()
}

// primary returns a primary of the target, or nil if none answers.
func (r *run) primary(s strike) *redisproc.Server {
	list := r.target.Primaries(r.ctx)
	if len(list) == 0 {
		return nil
	}
	return list[s.who%len(list)]
}

// primaryKilled starts the old one again when another has taken its place: with
// nothing in its memory, it would make its replicas forget all they have.
func (r *run) primaryKilled(s strike) {
	old := r.primary(s)
	if old == nil {
		return
	}
	if err := old.Kill(); err != nil {
		r.trouble("%v", err)
		return
	}
	if err := r.wait(wholeWithin, func() error {
		if n := len(r.target.Primaries(r.ctx)); n != r.shards {
			return fmt.Errorf("%d primaries", n)
		}
		return nil
	}); err != nil {
		r.trouble("nobody was promoted: %v", err)
	}
	if err := old.Restart(r.ctx); err != nil {
		r.trouble("%v", err)
	}
	r.mended()
}

func (r *run) primaryStopped(s strike) { r.freeze(r.primary(s), s.lasts) }

func (r *run) replicaStopped(s strike) {
	primaries := r.target.Primaries(r.ctx)
	replicas := slices.DeleteFunc(slices.Clone(r.target.Nodes), func(n *redisproc.Server) bool { return slices.Contains(primaries, n) })
	if len(replicas) > 0 {
		r.freeze(replicas[s.who%len(replicas)], s.lasts)
	}
}

func (r *run) freeze(n *redisproc.Server, lasts time.Duration) {
	if n == nil {
		return
	}
	if err := n.Freeze(); err != nil {
		r.trouble("%v", err)
		return
	}
	time.Sleep(lasts)
	if err := n.Thaw(); err != nil {
		r.trouble("%v", err)
	}
	if n != r.source {
		r.mended()
	}
}

// mended waits until the target is whole: the next fault must not meet a server
// that is still down from the last, else a failover could lose anything.
func (r *run) mended() {
	ctx, cancel := context.WithTimeout(r.ctx, wholeWithin)
	defer cancel()
	if err := r.witness.whole(ctx, r.shards); err != nil {
		r.trouble("the target did not become whole: %v", err)
	}
}

func (r *run) sourceKilled(s strike) {
	if err := r.source.Kill(); err != nil {
		r.trouble("%v", err)
	}
	time.Sleep(s.lasts)
	if err := r.source.Restart(r.ctx); err != nil {
		r.trouble("%v", err)
	}
}

func (r *run) sourceStopped(s strike) { r.freeze(r.source, s.lasts) }

func (r *run) linkCut(s strike)      { r.wires[s.who].cut(s.side, s.lasts) }
func (r *run) linkHung(s strike)     { r.wires[s.who].stall(s.side, s.lasts) }
func (r *run) linkHalfOpen(s strike) { r.wires[s.who].halfOpen(s.side, s.lasts) }

// linkSlow has one party learn of everything later than the others do.
func (r *run) linkSlow(s strike) { r.wires[s.who].slow(s.side, 100*time.Millisecond, s.lasts) }

// slow has everybody's bytes to and from one side take longer.
func (r *run) slow(s strike) {
	done := make(chan struct{})
	for _, w := range r.wires {
		go func() { // ends within what it lasts
			w.slow(s.side, 20*time.Millisecond, s.lasts)
			done <- struct{}{}
		}()
	}
	for range r.wires {
		<-done
	}
}

// begin lets what is planned for some steps strike in its time. Servers are struck one
// after the other: two failures of Redis at once are more than it promises to
// survive.
func (r *run) begin(steps []int) {
	for _, s := range r.plan.strikes {
		if !slices.Contains(steps, s.step) {
			continue
		}
		r.struck.Go(func() {
			if !r.pause(s.after) {
				return
			}
			k := kindOf(s)
			if k.server || strings.HasPrefix(k.name, "source") {
				r.servers.Lock()
				defer r.servers.Unlock()
			}
			r.log("strike: %v", s)
			k.strike(r, s)
			r.log("over: %v", s)
		})
	}
}

func (r *run) pause(d time.Duration) bool {
	select {
	case <-r.ctx.Done():
		return false
	case <-time.After(d):
		return true
	}
}

// wait calls f until it returns nil.
func (r *run) wait(limit time.Duration, f func() error) error {
	deadline := time.Now().Add(limit)
	for {
		err := f()
		if err == nil {
			return nil
		}
		if time.Now().After(deadline) || !r.pause(50*time.Millisecond) {
			return errors.Join(context.Cause(r.ctx), err)
		}
	}
}

// leader returns the process that coordinates, or that asks one to: one that
// shadows goes first. It is nil where there is none.
func (r *run) leader() *process {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.shadow != nil {
		return r.shadow
	}
	return r.verb
}

func (r *run) member(i int) *process {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.members[i]
}
