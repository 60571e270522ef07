package crash

import (
	"testing"
	"time"

	"github.com/transload/transload/internal/protocol"
	"github.com/transload/transload/internal/redistest"
)

// hangs are how long a server hangs: less than a lease, and more than one.
var hangs = []time.Duration{3 * time.Second, 20 * time.Second}

// TestSourceHungInShadowLosesNothing stops the source with SIGSTOP and lets it go
// on. What the app was not answered may have been carried out, or not; what it was
// answered is there.
func TestSourceHungInShadowLosesNothing(t *testing.T) {
	t.Parallel()
	for _, d := range hangs {
		if d < protocol.LeaseFor && !isLong() {
			continue
		}
		t.Run(d.String(), func(t *testing.T) {
			t.Parallel()
			rest := turn(t)
			source := standalone(t, redistest.Options{})
			m := moving(t, source, standalone(t, redistest.Options{}))
			rest()
			freeze(t, source.servers[0], d)
			m.work(20, within)
			m.told("everything made good", healed)
			m.cutover(m.operator(), 100)
			m.work(10, within)
			m.verdict()
		})
	}
}

// TestSourceHungInAHoldLosesNothing stops the source once it holds. Nobody can
// commit or abort before it goes on; then the hold is over its bound and ends.
func TestSourceHungInAHoldLosesNothing(t *testing.T) {
	t.Parallel()
	for _, d := range hangs {
		t.Run(d.String(), func(t *testing.T) {
			t.Parallel()
			rest := turn(t)
			source := standalone(t, redistest.Options{})
			m := begin(t, source, standalone(t, redistest.Options{}))
			m.seed(protocol.Source, 50)
			m.app(members())
			m.shadow()()
			w := m.wires()
			hung := make(chan struct{})
			w.at(hold, in, func() {
				rest()
				go func() { // the row waits for it
					freeze(t, source.servers[0], d)
					close(hung)
				}()
				time.Sleep(50 * time.Millisecond) // it is stopped before the coordinator goes on
			})
			l := startLeader(t, order{Verb: "cutover", To: []int{100}}, m.env, w.env)
			wait(t, hung, "the coordinator never held")
			m.work(10, within)
			if out := l.outcome(); !out.Aborted && out.Error == "" {
				t.Errorf("got %+v; want the move to be given up", out)
			}
			if st := m.status(m.operator()); st.Phase != protocol.Shadow || st.Moving != nil {
				t.Errorf("got %v, %+v; want shadow, and no move", st.Phase, st.Moving)
			}
			m.cutover(m.operator(), 100)
			m.work(10, within)
			m.verdict()
		})
	}
}
