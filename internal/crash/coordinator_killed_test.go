package crash

import (
	"fmt"
	"testing"
	"time"

	"github.com/transload/transload/internal/protocol"
	"github.com/transload/transload/internal/redistest"
)

// moments at which a coordinator is killed: in each step, and in the long form
// before and after each as well.
func moments() (list []moment) {
	for _, s := range []step{prepare, hold, prove, offer, commit, grant, abort} {
		list = append(list, moment{in, s})
		if isLong() {
			list = append(list, moment{before, s}, moment{after, s})
		}
	}
	return list
}

// TestCoordinatorKilledLosesNothing kills the coordinator's process with -9 before,
// in and after each step of a cutover. The app works on without it: members end a
// hold, or grant. The next coordinator goes on from there, and nothing is lost.
func TestCoordinatorKilledLosesNothing(t *testing.T) {
	t.Parallel() // so that the rows wait beside everybody else's
	for _, x := range moments() {
		t.Run(x.String(), func(t *testing.T) {
			t.Parallel()
			rest := turn(t)
			m := begin(t, standalone(t, redistest.Options{}), standalone(t, redistest.Options{}))
			m.coordinatorKilled(x, protocol.Source, rest)
		})
	}
}

// TestCoordinatorKilledInEveryModeLosesNothing is the same to a target in each
// mode, and on the way back.
func TestCoordinatorKilledInEveryModeLosesNothing(t *testing.T) {
	long(t)
	for _, mode := range modes {
		for _, from := range protocol.Sides {
			for _, x := range moments() {
				t.Run(fmt.Sprintf("%s_from_%v_%v", mode.name, from, x), func(t *testing.T) {
					t.Parallel()
					rest := turn(t)
					m := begin(t, standalone(t, redistest.Options{}), mode.start(t, redistest.Options{}))
					m.coordinatorKilled(x, from, rest)
				})
			}
		}
	}
}

// coordinatorKilled kills a coordinator that moves everything away from a side.
func (m *migration) coordinatorKilled(x moment, from protocol.Side, rest func()) {
	t := m.t
	t.Helper()
	m.seed(protocol.Source, 30)
	m.app(2)
	m.shadow()()
	o := order{Verb: "cutover", To: []int{100}}
	if from == protocol.Target {
		m.cutover(m.operator(), 100)
		o = order{Verb: "rollback"}
	}
	w := m.wires()
	if x.step == abort { // a move is given up when a feed breaks
		w.at(hold, in, func() { w.cut(from.Other()) })
	}
	var victim *leader
	born := make(chan struct{})
	killed := w.at(x.step, x.when, func() {
		<-born
		w.die()
		victim.kill()
	})
	victim = startLeader(t, o, m.env, w.env)
	close(born)
	wait(t, killed, fmt.Sprintf("the coordinator never came to %v", x))
	m.work(20, protocol.SilentFor-time.Second) // before anybody could take over
	rest()

	m.cutover(m.operator(), 100) // carries on what was committed, else begins anew
	if st := m.status(m.operator()); st.Phase != protocol.Soak || st.Moving != nil {
		t.Errorf("got %v, %+v; want soak, and no move", st.Phase, st.Moving)
	}
	m.work(20, within)
	unhurt(t, m.verdict())
}
