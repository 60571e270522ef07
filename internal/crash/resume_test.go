package crash

import (
	"fmt"
	"strings"
	"testing"

	"github.com/transload/transload/internal/control"
	"github.com/transload/transload/internal/protocol"
	"github.com/transload/transload/internal/redisproc"
	"github.com/transload/transload/internal/redistest"
)

// TestShadowKilledCopiesNothingTwice kills `migrate shadow` with -9 in the middle
// of its first pass, and again when the sides are equal. Each time the next one
// compares everything, since nobody watched meanwhile, and copies only what it
// does not find: in the end each key was copied once.
func TestShadowKilledCopiesNothingTwice(t *testing.T) {
	t.Parallel()
	rest := turn(t)
	// The target's own log of all commands tells what was copied.
	logged := redistest.Options{Args: []string{"--slowlog-log-slower-than", "0", "--slowlog-max-len", "1000000"}}
	m := begin(t, standalone(t, redistest.Options{}), standalone(t, logged))
	const kinds, each = 5, 120
	m.seed(protocol.Source, each)
	m.join(0, nil) // it writes nothing: what is copied is the coordinator's doing
	target := m.places[protocol.Target].servers[0]

	kills := []int{kinds * each / 3, kinds * each}
	if isLong() {
		kills = []int{1, kinds * each / 5, kinds * each / 2, kinds*each - 1, kinds * each}
	}
	for _, keys := range kills {
		l := startLeader(t, order{Verb: "shadow", Rate: 200}, m.env)
		seldom(t, within, func() error {
			if n := len(copies(t, target)); n < keys {
				return fmt.Errorf("%d keys were copied; want %d", n, keys)
			}
			return nil
		})
		l.kill()
		rest()
	}
	l := startLeader(t, order{Verb: "shadow"}, m.env)
	l.await("equal")
	if err := l.end(); err != nil {
		t.Error(err)
	}
	m.leftEqual()
	got := copies(t, target)
	for key, n := range got {
		if n != 1 {
			t.Errorf("%q was copied %d times; want once", key, n)
		}
	}
	if len(got) != kinds*each {
		t.Errorf("%d keys were copied; want %d", len(got), kinds*each)
	}
}

// copies returns how often each key was written to a server by a copy.
func copies(t *testing.T, s *redisproc.Server) map[string]int {
	t.Helper()
	seen := map[string]int{}
	for _, entry := range redistest.Do(t, s, "SLOWLOG", "GET", "-1").([]any) {
		cmd := entry.([]any)[3].([]any)
		if key := fmt.Sprint(cmd[min(1, len(cmd)-1)]); strings.EqualFold(fmt.Sprint(cmd[0]), "restore") && !strings.HasPrefix(key, control.Reserved) {
			seen[key]++
		}
	}
	return seen
}
