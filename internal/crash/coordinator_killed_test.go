package crash

import (
	"fmt"
	"testing"
	"time"

	"github.com/transload/transload/internal/protocol"
	"github.com/transload/transload/internal/redistest"
)

// Moments at which a coordinator is killed.
var (
	steps = []step{prepare, hold, prove, offer, commit, grant, abort}
	whens = []when{before, in, after}
)

// TestCoordinatorKilledLosesNothing kills the coordinator's process with -9 before,
// in and after each step of a cutover. The app works on without it: members end a
// hold, or grant. The next coordinator goes on from there, and nothing is lost.
func TestCoordinatorKilledLosesNothing(t *testing.T) {
	t.Parallel() // so that the rows wait beside everybody else's
	for _, s := range steps {
		for _, wh := range whens {
			t.Run(fmt.Sprintf("%s_%s", wh, s), func(t *testing.T) {
				t.Parallel()
				rest := turn(t)
				m := begin(t, standalone(t, redistest.Options{}), standalone(t, redistest.Options{}))
				m.coordinatorKilled(s, wh, protocol.Source, rest)
			})
		}
	}
}

// TestCoordinatorKilledInEveryModeLosesNothing is the same to a target in each
// mode, and on the way back.
func TestCoordinatorKilledInEveryModeLosesNothing(t *testing.T) {
	long(t)
	for _, mode := range modes {
		for _, from := range protocol.Sides {
			for _, s := range steps {
				for _, wh := range whens {
					t.Run(fmt.Sprintf("%s_from_%v_%s_%s", mode.name, from, wh, s), func(t *testing.T) {
						t.Parallel()
						rest := turn(t)
						m := begin(t, standalone(t, redistest.Options{}), mode.start(t, redistest.Options{}))
						m.coordinatorKilled(s, wh, from, rest)
					})
				}
			}
		}
	}
}

// coordinatorKilled kills a coordinator that moves everything away from a side.
func (m *migration) coordinatorKilled(s step, wh when, from protocol.Side, rest func()) {
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
	if s == abort { // a move is given up when a feed breaks
		w.at(hold, in, func() { w.cut(from.Other()) })
	}
	var victim *leader
	born := make(chan struct{})
	killed := w.at(s, wh, func() {
		<-born
		w.die()
		victim.kill()
	})
	victim = startLeader(t, o, m.env, w.env)
	close(born)
	wait(t, killed, fmt.Sprintf("the coordinator never came to %s %s", wh, s))
	m.work(20, protocol.SilentFor-time.Second) // before anybody could take over
	rest()

	m.cutover(m.operator(), 100) // carries on what was committed, else begins anew
	if st := m.status(m.operator()); st.Phase != protocol.Soak || st.Moving != nil {
		t.Errorf("got %v, %+v; want soak, and no move", st.Phase, st.Moving)
	}
	m.work(20, within)
	unhurt(t, m.verdict())
}
