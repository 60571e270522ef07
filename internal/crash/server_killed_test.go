package crash

import (
	"fmt"
	"testing"

	"github.com/transload/transload/internal/protocol"
	"github.com/transload/transload/internal/redistest"
)

// TestTargetKilledInShadowTheAppSeesNothing kills the target's primary while the
// source answers. The copies that its replicas had not got are made again.
func TestTargetKilledInShadowTheAppSeesNothing(t *testing.T) {
	t.Parallel()
	turn(t)
	target := sentinel(t, hasty)
	m := moving(t, standalone(t, redistest.Options{}), target)
	old := target.primary(t.Context())
	if err := old.Kill(); err != nil {
		t.Fatal(err)
	}
	m.work(20, within)
	target.recover(t, old)
	m.told("everything made good", healed)
	m.cutover(m.operator(), 100)
	m.work(10, within)
	unhurt(t, m.verdict())
}

// TestTargetKilledInAMoveLosesNothing kills the target's primary at a step of a
// cutover. Up to the commit the source alone decides: nothing moves, and the app
// works on while the target has no primary. After it the move is carried on.
func TestTargetKilledInAMoveLosesNothing(t *testing.T) {
	t.Parallel()
	for _, s := range []step{hold, prove, offer, commit} { // a grant is often a member's
		for _, wh := range whens {
			if !isLong() && (wh != in || s != hold) {
				continue
			}
			t.Run(fmt.Sprintf("%s_%s", wh, s), func(t *testing.T) {
				t.Parallel()
				turn(t)
				target := sentinel(t, hasty)
				m := begin(t, standalone(t, redistest.Options{}), target)
				m.seed(protocol.Source, 50)
				m.app(members())
				m.shadow()()
				w := m.wires()
				dead := target.primary(t.Context())
				killed := w.at(s, wh, func() { target.killLevel(t) })
				l := startLeader(t, order{Verb: "cutover", To: []int{100}, Hold: patient}, m.env, w.env)
				wait(t, killed, fmt.Sprintf("the coordinator never came to %s %s", wh, s))
				if s == hold || s == prove {
					m.work(10, protocol.SilentFor) // the source has them, and no primary of the target is waited for
				}
				if out := l.outcome(); (s == hold || s == prove) && !out.Aborted {
					t.Errorf("got %+v; want the move to be given up", out)
				}
				target.recover(t, dead)
				m.cutover(m.operator(), 100)
				m.work(10, within)
				m.resent = s != hold && s != prove
				v := m.verdict()
				if s == hold || s == prove || wh == before && s == offer { // else a side that fails over has the authority, and its writes may have no answer
					unhurt(t, v)
				}
			})
		}
	}
}

// TestTargetKilledInSoakLosesNothing kills the primary that has the authority. The
// app waits for its replica.
func TestTargetKilledInSoakLosesNothing(t *testing.T) {
	t.Parallel()
	turn(t)
	target := sentinel(t, hasty)
	m := moving(t, standalone(t, redistest.Options{}), target)
	m.cutover(m.operator(), 100)
	m.work(10, within)
	m.resent = true
	old := target.killLevel(t)
	m.work(20, within)
	target.recover(t, old)
	m.told("everything made good", healed)
	m.rollback(m.operator()) // the way back is still open
	m.work(10, within)
	m.verdict()
}

// TestSourceKilledInShadowLosesNothing kills the primary that has the authority,
// and takes the app to the target after that.
func TestSourceKilledInShadowLosesNothing(t *testing.T) {
	t.Parallel()
	turn(t)
	source := sentinel(t, hasty)
	m := moving(t, source, standalone(t, redistest.Options{}))
	m.resent = true
	old := source.killLevel(t)
	m.work(20, within)
	source.recover(t, old)
	m.told("everything made good", healed)
	m.cutover(m.operator(), 100)
	m.work(10, within)
	m.verdict()
}

// TestSourceKilledInSoakTheAppSeesNothing kills the side that is left.
func TestSourceKilledInSoakTheAppSeesNothing(t *testing.T) {
	t.Parallel()
	turn(t)
	source := sentinel(t, hasty)
	m := moving(t, source, standalone(t, redistest.Options{}))
	m.cutover(m.operator(), 100)
	old := source.primary(t.Context())
	if err := old.Kill(); err != nil {
		t.Fatal(err)
	}
	m.work(20, within)
	source.recover(t, old)
	m.told("everything made good", healed)
	m.rollback(m.operator())
	m.work(10, within)
	unhurt(t, m.verdict())
}

// TestLoneSourceRestartedLosesNothing kills a source that has no replica but an
// append-only file, and starts it again: in shadow it has the authority, in soak it
// is kept equal.
func TestLoneSourceRestartedLosesNothing(t *testing.T) {
	t.Parallel()
	for _, phase := range []protocol.Phase{protocol.Shadow, protocol.Soak} {
		if phase == protocol.Soak && !isLong() { // where a set's primary is killed
			continue
		}
		t.Run(phase.String(), func(t *testing.T) {
			t.Parallel()
			turn(t)
			source := standalone(t, kept)
			m := moving(t, source, standalone(t, redistest.Options{}))
			if phase == protocol.Soak {
				m.cutover(m.operator(), 100)
			}
			m.resent = phase == protocol.Shadow
			if err := source.servers[0].Kill(); err != nil {
				t.Fatal(err)
			}
			m.told("the source named", blocked("the source does not answer"))
			if phase == protocol.Soak {
				m.work(20, within)
			}
			restart(t, source.servers[0])
			m.work(20, within)
			m.told("everything made good", healed)
			m.cutover(m.operator(), 100)
			m.rollback(m.operator())
			m.work(10, within)
			v := m.verdict()
			if phase == protocol.Soak {
				unhurt(t, v)
			}
		})
	}
}
