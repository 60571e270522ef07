package crash

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/transload/transload/internal/protocol"
	"github.com/transload/transload/internal/redistest"
	"github.com/transload/transload/migrate/coordinator"
)

// withheld are what managed services keep to themselves, with the line of check
// that tells what is lost without; none if nothing is.
var withheld = []struct{ command, line string }{
	{"client|tracking", "change feed"},
	{"client|kill", "fence"},
	{"client|list", "fence"},
	{"config", "questions"},
	{"bgsave", "backup"},
	{"acl", ""},
	{"debug", ""},
}

// managed is a server whose user may do everything but what is withheld.
func managed(t *testing.T, commands ...string) *place {
	t.Helper()
	p := standalone(t, redistest.Options{Username: "app", Password: secret})
	for _, c := range commands {
		redistest.Do(t, p.servers[0], "ACL", "SETUSER", "app", "-"+c)
	}
	return p
}

// TestManagedServiceMovesAndSaysWhatIsLost takes commands away on one side or on
// both, each by itself and all together. check names what is lost, nothing is
// refused, and the app goes there and back.
func TestManagedServiceMovesAndSaysWhatIsLost(t *testing.T) {
	t.Parallel()
	var all []string
	for _, w := range withheld {
		all = append(all, w.command)
	}
	row := func(sides []protocol.Side, commands ...string) {
		t.Run(fmt.Sprintf("%v without %s", sides, strings.Join(commands, " ")), func(t *testing.T) {
			t.Parallel()
			turn(t)
			managedRow(t, sides, commands)
		})
	}
	both := protocol.Sides[:]
	row(both, all...)
	if !isLong() {
		return
	}
	for _, w := range withheld {
		for _, sides := range [][]protocol.Side{both[:1], both[1:], both} {
			row(sides, w.command)
		}
	}
}

func managedRow(t *testing.T, sides []protocol.Side, commands []string) {
	places := map[protocol.Side]*place{}
	for _, s := range protocol.Sides {
		places[s] = managed(t)
	}
	for _, s := range sides {
		places[s] = managed(t, commands...)
	}
	m := begin(t, places[protocol.Source], places[protocol.Target])
	m.seed(protocol.Source, 50)
	m.app(1)
	r, err := m.operator().Check(t.Context())
	if err != nil || r.Refusal() != nil {
		t.Fatalf("check: %v, %v; want nothing refused", err, r.Refusal())
	}
	for _, w := range withheld {
		for _, s := range protocol.Sides {
			lost := w.line != "" && slices.Contains(commands, w.command) && slices.Contains(sides, s)
			if lost != warned(r, w.line, s, w.command) {
				t.Errorf("check: line %q of the %v: got %+v; want a warning of %s: %v", w.line, s, r.Lines, w.command, lost)
			}
		}
	}
	m.shadow()
	m.work(10, within)
	m.cutover(m.operator(), 100)
	m.work(10, within)
	m.rollback(m.operator())
	m.work(10, within)
	unhurt(t, m.verdict())
}

// warned reports whether a report warns of a command on a side.
func warned(r coordinator.CheckReport, line string, s protocol.Side, command string) bool {
	for _, l := range r.Lines {
		if l.Check == line && l.Side == s.String() && l.Verdict == coordinator.Warn && strings.Contains(l.Figure, strings.ReplaceAll(command, "|", " ")) {
			return l.Next != ""
		}
	}
	return false
}

// TestUnfencedMemberStopsTheMoveWhichSaysHowToGoOn leaves the line of a member that
// was killed on the rolls, where connections cannot be killed: nobody but a human
// can know that it has ended.
func TestUnfencedMemberStopsTheMoveWhichSaysHowToGoOn(t *testing.T) {
	t.Parallel()
	rest := turn(t)
	m := begin(t, managed(t, "client|kill"), managed(t, "client|kill"))
	m.seed(protocol.Source, 20)
	m.app(1)
	m.shadow()()
	const roll, ghost = "transload:{default}:roll", "ghost"
	for _, s := range protocol.Sides {
		server := m.places[s].servers[0]
		for id, line := range m.plain(s).HGetAll(t.Context(), roll).Val() {
			redistest.Do(t, server, "HSET", roll, ghost, strings.ReplaceAll(line, id, ghost))
		}
	}
	soon := func(o *coordinator.Options) { o.PrepareFor = protocol.SilentFor + time.Second }
	rest() // the move waits the member out
	_, err := m.operator(soon).Cutover(t.Context(), coordinator.CutoverRequest{To: []int{100}})
	if !errors.Is(err, coordinator.ErrAborted) || !strings.Contains(err.Error(), ghost) || !strings.Contains(err.Error(), "HDEL "+roll) {
		t.Fatalf("got %v; want the move given up, the member named, and what to do", err)
	}
	m.work(10, within)
	for _, s := range protocol.Sides {
		redistest.Do(t, m.places[s].servers[0], "HDEL", roll, ghost)
	}
	m.cutover(m.operator(soon), 100)
	m.work(10, within)
	unhurt(t, m.verdict())
}
