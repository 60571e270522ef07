package crash

import (
	"errors"
	"fmt"
	"testing"

	"github.com/transload/transload/internal/protocol"
	"github.com/transload/transload/internal/redistest"
	"github.com/transload/transload/migrate/coordinator"
)

// TestMemberCutOffLosesNothing takes one side from one member, in each phase: its
// connections are reset and new ones refused, or nothing gets through and nobody is
// told. While the side that it lost is only its mirror, its app notices nothing;
// the other members never do.
func TestMemberCutOffLosesNothing(t *testing.T) {
	t.Parallel()
	for _, side := range protocol.Sides {
		for how, cut := range map[string]func(*wires, protocol.Side){"refused": (*wires).cut, "silent": (*wires).stall} {
			if !isLong() && (how == "silent") != (side == protocol.Target) {
				continue
			}
			t.Run(fmt.Sprintf("%v_%s", side, how), func(t *testing.T) {
				t.Parallel()
				rest := turn(t)
				m := begin(t, standalone(t, redistest.Options{}), standalone(t, redistest.Options{}))
				m.seed(protocol.Source, 30)
				m.app(2)
				w := m.wires()
				c := &cutOff{m, w, m.join(busy(), w.env), side, func() { cut(w, side) }}
				c.play(rest)
			})
		}
	}
}

// A cutOff is a migration one of whose members loses a side now and then.
type cutOff struct {
	*migration
	wires *wires
	lone  *member
	side  protocol.Side
	cut   func()
}

func (c *cutOff) play(rest func()) {
	c.shadow()()
	c.blink(protocol.Source)
	c.inHold(rest)
	c.blink("both")
	c.cutover(c.operator(), 100)
	c.blink(protocol.Target)
	c.verdict()
	c.unhurt(c.members[:2]...)
}

// blink takes the side away for a while, in a phase in which needed answers.
func (c *cutOff) blink(needed any) {
	c.t.Helper()
	unseen, shown := needed == c.side.Other(), c.lone.shown()
	c.cut()
	all := c.members
	if !unseen {
		c.members = all[:2]
	}
	c.work(10, within)
	c.members = all
	c.wires.heal(c.side)
	c.work(10, within)
	if n := c.lone.shown() - shown; unseen && n > 0 {
		c.t.Errorf("without the %v, which answers for no key: the app was shown %d errors", c.side, n)
	}
}

// inHold takes the side away in the middle of a hold. A move that stands on the
// member's answer is given up, and none is begun before it reaches both sides again:
// it lives, so it cannot be waited out.
func (c *cutOff) inHold(rest func()) {
	c.t.Helper()
	w := c.migration.wires()
	gone := w.at(hold, in, c.cut)
	l := startLeader(c.t, order{Verb: "cutover", To: []int{50}}, c.env, w.env)
	wait(c.t, gone, "the move never came to its hold")
	rest()
	all := c.members
	c.members = all[:2]
	c.work(5, within)
	if out := l.outcome(); out.Aborted && isLong() {
		c.refused()
	}
	c.members = all
	c.wires.heal(c.side)
	c.cutover(c.operator(), 50)
	c.work(10, within)
}

// refused wants a cutover to name the member, and to go no further.
func (c *cutOff) refused() {
	c.t.Helper()
	_, err := c.operator().Cutover(c.t.Context(), coordinator.CutoverRequest{To: []int{50}})
	r, ok := errors.AsType[*coordinator.Refusal](err)
	if !errors.Is(err, coordinator.ErrAborted) && (!ok || r.Gate != "members") {
		c.t.Errorf("without the %v: got %v; want the move refused, or given up, for the member", c.side, err)
	}
}
