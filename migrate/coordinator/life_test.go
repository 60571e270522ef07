package coordinator

import (
	"testing"

	"github.com/transload/transload/internal/protocol"
)

// TestLife takes a loaded app through a whole migration: shadow, cutover in
// steps, back, again, and done.
func TestLife(t *testing.T) {
	t.Parallel()
	for name, kind := range kinds {
		t.Run(name, func(t *testing.T) {
			if testing.Short() && name != "embedded" {
				t.Skip("needs a real server")
			}
			if raceOn && name == "embedded" {
				t.Skip("too slow: see raceOn")
			}
			t.Parallel() // it mostly waits
			s := kind(t)
			n, rate := 500, 60
			if name == "embedded" { // each command of miniredis sorts the names of all keys
				n, rate = 20, 40
			}
			seed(t, s.source, n)
			a := startApp(t, s, 3, rate)
			c := coordinate(t, s)
			stop := shadowing(t, c)
			waitShadow(t, c)
			stop()

			res, err := c.Cutover(t.Context(), CutoverRequest{To: []int{10, 50, 100}})
			logMoves(t, res.Moves)
			if err != nil || res.Phase != protocol.Soak {
				t.Fatalf("cutover: got %v, %v; want soak", res.Phase, err)
			}
			back, err := c.Rollback(t.Context(), RollbackRequest{})
			logMoves(t, back.Moves)
			if err != nil || back.Phase != protocol.Shadow {
				t.Fatalf("rollback: got %v, %v; want shadow", back.Phase, err)
			}
			res, err = c.Cutover(t.Context(), CutoverRequest{To: []int{100}})
			logMoves(t, res.Moves)
			if err != nil || res.Phase != protocol.Soak {
				t.Fatalf("cutover: got %v, %v; want soak", res.Phase, err)
			}
			if _, err := c.Finish(t.Context(), FinishRequest{MinSoak: -1}); err != nil {
				t.Fatalf("finish: %v", err)
			}
			a.verdict(t, s.target)
		})
	}
}

func logMoves(t *testing.T, moves []MoveReport) {
	t.Helper()
	for _, m := range moves {
		t.Logf("move: %+v", m)
	}
}

// waitShadow waits until a coordinator that shadows has passed over every key.
func waitShadow(t *testing.T, c *Coordinator) {
	t.Helper()
	eventually(t, func() bool {
		s := c.shadower()
		return s != nil && s.passed()
	})
}

// shadower is what keeps the sides equal, or nil if nothing does yet.
func (c *Coordinator) shadower() *syncer {
	c.mu.Lock()
	t := c.term
	c.mu.Unlock()
	if t == nil {
		return nil
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.syncer
}
