package crash

import (
	"fmt"
	"testing"

	"github.com/transload/transload/internal/protocol"
	"github.com/transload/transload/internal/redistest"
)

// inHold are the moments at which members are hurt: one that knows of no hold yet,
// and one that has acknowledged it and has not heard of the commit.
func inHold() []moment {
	if !isLong() {
		return []moment{{before, hold}, {in, commit}}
	}
	var all []moment
	for _, s := range []step{prepare, hold, prove, offer, commit, grant} {
		all = append(all, moment{before, s}, moment{in, s}, moment{after, s})
	}
	return all
}

// TestMemberKilledInHoldLosesNothing kills a member with -9 in a hold. Until it
// could have written no more it is waited out; then the keys move without it.
func TestMemberKilledInHoldLosesNothing(t *testing.T) {
	t.Parallel()
	for _, x := range inHold() {
		t.Run(x.String(), func(t *testing.T) {
			t.Parallel()
			rest := turn(t)
			m := begin(t, standalone(t, redistest.Options{}), standalone(t, redistest.Options{}))
			m.hurtInHold(x, rest, func(victim *member) {
				m.leave(victim)
				victim.kill()
			})
			unhurt(t, m.verdict())
		})
	}
}

// TestMemberStoppedInHoldWritesNothingLate stops a member in a hold, as a long
// pause of its machine does, and wakes it when the keys have moved. What it was
// about to write, or to copy, is refused: it would show as a difference, since
// nobody shadows. Then it works on.
func TestMemberStoppedInHoldWritesNothingLate(t *testing.T) {
	t.Parallel()
	for _, x := range inHold() {
		t.Run(x.String(), func(t *testing.T) {
			t.Parallel()
			rest := turn(t)
			m := begin(t, standalone(t, redistest.Options{}), standalone(t, redistest.Options{}))
			var victim *member
			m.hurtInHold(x, rest, func(one *member) {
				victim = one
				m.members = m.members[:len(m.members)-1] // it does not work for now
				one.stop()
			})
			victim.wake()
			m.members = append(m.members, victim)
			m.work(10, within)
			m.leftEqual()
			m.verdict()
			m.unhurt(m.members[:len(m.members)-1]...)
		})
	}
}

// hurtInHold does something to the last of three members at a moment of a
// cutover to 100 %, and sees to it that the keys have moved in the end.
func (m *migration) hurtInHold(x moment, rest func(), hurt func(victim *member)) {
	t := m.t
	t.Helper()
	m.seed(protocol.Source, 30)
	m.app(3)
	m.shadow()()
	w := m.wires()
	hurtNow := w.at(x.step, x.when, func() { hurt(m.members[len(m.members)-1]) })
	l := startLeader(t, order{Verb: "cutover", To: []int{100}}, m.env, w.env)
	wait(t, hurtNow, fmt.Sprintf("the move never came to %v", x))
	rest()
	m.work(5, within)
	l.outcome()
	m.cutover(m.operator(), 100) // if the hold was given up; a silent member is waited out before the next
	if st := m.status(m.operator()); st.Phase != protocol.Soak || st.Moving != nil {
		t.Errorf("got %v, %+v; want soak, and no move", st.Phase, st.Moving)
	}
	m.work(5, within)
}
