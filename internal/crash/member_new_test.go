package crash

import (
	"testing"
	"time"

	"github.com/transload/transload/internal/protocol"
	"github.com/transload/transload/internal/redistest"
)

// TestMemberStartedInHoldLosesNothing starts one more member while a move stands in
// its hold, and once more right after the commit. It finds its way by the records,
// and the move must count it.
func TestMemberStartedInHoldLosesNothing(t *testing.T) {
	t.Parallel()
	for _, s := range []step{hold, commit} {
		t.Run(string(s), func(t *testing.T) {
			t.Parallel()
			rest := turn(t)
			m := begin(t, standalone(t, redistest.Options{}), standalone(t, redistest.Options{}))
			m.seed(protocol.Source, 30)
			m.app(2)
			m.shadow()()
			w := m.wires()
			stands, goOn := w.standStill(s, in)
			l := startLeader(t, order{Verb: "cutover", To: []int{100}, Hold: 8 * time.Second}, m.env, w.env)
			wait(t, stands, "the move never came there")
			m.join(busy(), nil)
			t.Logf("when it was ready: %+v", record(t.Context(), m.plain(protocol.Source)).Move)
			goOn()
			rest()
			if out := l.outcome(); out.Error != "" && !out.Aborted {
				t.Errorf("got %+v; want the move made, or given up", out)
			}
			m.cutover(m.operator(), 100)
			m.work(10, within)
			unhurt(t, m.verdict())
		})
	}
}

// TestRollingDeployInShadowLosesNothing replaces every member while `shadow` runs:
// a new one is ready before an old one goes. The last goes without a word, as a
// container that is killed at the end of its grace.
func TestRollingDeployInShadowLosesNothing(t *testing.T) {
	t.Parallel()
	rest := turn(t)
	m := begin(t, standalone(t, redistest.Options{}), standalone(t, redistest.Options{}))
	m.seed(protocol.Source, 30)
	m.app(3)
	m.shadow()
	for i, old := range append([]*member(nil), m.members...) {
		m.join(busy(), nil)
		m.leave(old)
		if i == 2 {
			old.kill()
		} else if err := old.end(); err != nil {
			t.Error(err)
		}
		m.work(5, within)
	}
	rest()
	m.cutover(m.operator(), 100)
	m.work(10, within)
	if n := len(m.status(m.operator()).Members); n != 3 {
		t.Errorf("got %d members on the roll; want the three new ones", n)
	}
	unhurt(t, m.verdict())
}
