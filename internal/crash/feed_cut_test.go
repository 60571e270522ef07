package crash

import (
	"fmt"
	"strings"
	"testing"

	"github.com/transload/transload/internal/control"
	"github.com/transload/transload/internal/protocol"
	"github.com/transload/transload/internal/redisproc"
	"github.com/transload/transload/internal/redistest"
	"github.com/transload/transload/migrate/coordinator"
)

// tracking returns the connections of a server on which a feed runs.
func tracking(t *testing.T, s *redisproc.Server) (found []map[string]string) {
	t.Helper()
	for line := range strings.Lines(fmt.Sprint(redistest.Do(t, s, "CLIENT", "LIST"))) {
		if f := control.ClientFields(line); strings.Contains(f["flags"], "t") {
			found = append(found, f)
		}
	}
	return found
}

// killFeed ends the feed of a server from its end.
func killFeed(t *testing.T, s *redisproc.Server) {
	t.Helper()
	feeds := tracking(t, s)
	if len(feeds) == 0 {
		t.Error("no feed to be cut")
	}
	for _, f := range feeds {
		redistest.Do(t, s, "CLIENT", "KILL", "ID", f["id"])
	}
}

// cutFeed ends the feed of a side on the way.
func (w *wires) cutFeed(side protocol.Side, s *redisproc.Server) {
	w.t.Helper()
	cut := 0
	for _, f := range tracking(w.t, s) {
		for _, p := range w.proxies[side] {
			for _, l := range p.Links() {
				if l.ServerAddr() == f["addr"] {
					l.Cut()
					cut++
				}
			}
		}
	}
	if cut == 0 {
		w.t.Error("no feed to be cut")
	}
}

// cuts are the two ways in which a feed ends.
var cuts = map[string]func(*wires, protocol.Side, *redisproc.Server){
	"killed by the server": func(w *wires, _ protocol.Side, s *redisproc.Server) { killFeed(w.t, s) },
	"cut on the way":       (*wires).cutFeed,
}

// TestFeedCutInShadowEverythingIsComparedAgain ends the tracking connections of
// both sides. What was changed meanwhile is not known, so all of it is compared
// once more before keys move.
func TestFeedCutInShadowEverythingIsComparedAgain(t *testing.T) {
	t.Parallel()
	for name, cut := range cuts {
		if name == "killed by the server" && !isLong() {
			continue
		}
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			turn(t)
			feedCutInShadow(t, cut)
		})
	}
}

func feedCutInShadow(t *testing.T, cut func(*wires, protocol.Side, *redisproc.Server)) {
	m := begin(t, standalone(t, redistest.Options{}), standalone(t, redistest.Options{}))
	m.seed(protocol.Source, 50)
	m.app(members())
	w := m.wires()
	env := redistest.Merge(m.env, w.env)
	m.shadow(func(o *coordinator.Options) {
		o.Source, o.Target = config(t, env, protocol.Source), config(t, env, protocol.Target)
	})
	before := m.told("both feeds whole", healed)
	for _, side := range protocol.Sides {
		cut(w, side, m.places[side].servers[0])
	}
	m.told("both gaps, and everything walked since", func(st coordinator.Status) bool {
		return healed(st) && st.Feed.Source.Gap != "" && st.Feed.Target.Gap != "" &&
			st.Feed.UnbrokenSince.After(before.Feed.UnbrokenSince.Time) && st.Sync.VerifiedAt.After(st.Feed.UnbrokenSince.Time)
	})
	m.cutover(m.operator(), 100)
	m.work(10, within)
	unhurt(t, m.verdict())
}

// TestFeedCutInAHoldTheMoveIsGivenUp cuts a feed while writes are held: what is not
// known to be equal does not move.
func TestFeedCutInAHoldTheMoveIsGivenUp(t *testing.T) {
	t.Parallel()
	for name, cut := range cuts {
		for i, side := range protocol.Sides {
			if !isLong() && (i != 0 || name != "killed by the server") {
				continue
			}
			t.Run(fmt.Sprintf("%v %s", side, name), func(t *testing.T) {
				t.Parallel()
				turn(t)
				m := begin(t, standalone(t, redistest.Options{}), standalone(t, redistest.Options{}))
				m.seed(protocol.Source, 50)
				m.app(members())
				m.shadow()()
				w := m.wires()
				done := w.at(hold, in, func() { cut(w, side, m.places[side].servers[0]) })
				l := startLeader(t, order{Verb: "cutover", To: []int{100}, Hold: patient}, m.env, w.env)
				wait(t, done, "the coordinator never held")
				if out := l.outcome(); !out.Aborted || !strings.Contains(out.Error, "feed of the "+side.String()) {
					t.Errorf("got %+v; want the move given up for the feed of the %v", out, side)
				}
				m.work(10, within)
				m.cutover(m.operator(), 100)
				m.work(10, within)
				unhurt(t, m.verdict())
			})
		}
	}
}
