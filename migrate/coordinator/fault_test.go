package coordinator

import (
	"context"
	"testing"
	"time"

	"github.com/transload/transload/internal/protocol"
	"github.com/transload/transload/internal/redisproc"
	"github.com/transload/transload/internal/redistest"
)

// TestTargetFailover kills a primary of the target in shadow. It may have lost
// copies that its replicas had not got: the feed has a gap, and everything is
// compared once more before keys move there.
func TestTargetFailover(t *testing.T) {
	t.Parallel()
	for name, start := range map[string]func(t *testing.T) *redisproc.Set{
		"sentinel": func(t *testing.T) *redisproc.Set { return redistest.Sentinel(t, redistest.Options{Hasty: true}) },
		"cluster":  func(t *testing.T) *redisproc.Set { return redistest.Cluster(t, redistest.Options{}) },
	} {
		t.Run(name, func(t *testing.T) {
			if testing.Short() {
				t.Skip("needs a real server")
			}
			t.Parallel() // it mostly waits
			set := start(t)
			s := sides{config(t, redistest.Standalone(t, redistest.Options{})), config(t, set)}
			seed(t, s.source, 300)
			a := startApp(t, s, 2, 40)
			c := coordinate(t, s)
			shadowing(t, c)
			waitShadow(t, c)
			for range 3 { // Sentinels that have just met elect nobody
				redistest.Eventually(t, 20*time.Second, moreWrites(a))
			}
			gap := feedGeneration(c, protocol.Target)

			dead := set.Primaries(t.Context())[0]
			if err := dead.Kill(); err != nil {
				t.Fatal(err)
			}
			eventually(t, func() bool {
				st, err := coordinate(t, s).Status(t.Context())
				return err == nil && feedGeneration(c, protocol.Target) > gap && st.Feed.Target.Whole && st.Sync.Done && st.Dirty < fewNames
			})
			if err := dead.Restart(t.Context()); err != nil { // else replicas are missing, which is a gate
				t.Fatal(err)
			}
			other := coordinate(t, s, func(o *Options) { o.Limits.ReadsDiffer = 1000 })
			moveWhenReady(t, other, CutoverRequest{To: []int{100}})
			a.verdict(t, s.target)
		})
	}
}

// feedGeneration returns how often the feed of a side has had a gap.
func feedGeneration(c *Coordinator, s protocol.Side) uint64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	_, gen, _ := c.term.syncer.feeds[s].Unbroken()
	return gen
}

// moveWhenReady cuts over as soon as no gate is shut any more.
func moveWhenReady(t *testing.T, c *Coordinator, req CutoverRequest) {
	t.Helper()
	redistest.Eventually(t, 90*time.Second, func() error {
		res, err := c.Cutover(t.Context(), req)
		logMoves(t, res.Moves)
		return err
	})
}

// TestTargetDies kills the one server of the target in shadow, and starts it
// again, empty. The app sees nothing of it; a cutover is refused meanwhile.
func TestTargetDies(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("needs a real server")
	}
	dst := redistest.Standalone(t, redistest.Options{})
	s := sides{config(t, redistest.Standalone(t, redistest.Options{})), config(t, dst)}
	seed(t, s.source, 300)
	a := startApp(t, s, 2, 40)
	c := coordinate(t, s)
	shadowing(t, c)
	waitShadow(t, c)
	if err := dst.Kill(); err != nil {
		t.Fatal(err)
	}
	redistest.Eventually(t, 20*time.Second, moreWrites(a))
	st := status(t, c)
	if st.Sides.Target.Healthy || !st.Sides.Source.Healthy || len(st.Blockers) == 0 {
		t.Errorf("while it is dead: got %+v; want the target unhealthy, and a blocker", st)
	}
	short, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	if _, err := coordinate(t, s).Cutover(short, CutoverRequest{To: []int{100}}); err == nil {
		t.Error("cutover to a dead target: got no error")
	}
	if err := dst.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	moveWhenReady(t, coordinate(t, s), CutoverRequest{To: []int{100}})
	for _, j := range a.journals {
		if len(j.Errors) > 0 {
			t.Errorf("the app saw errors: %v", j.Errors)
		}
	}
	a.verdict(t, s.target)
}
