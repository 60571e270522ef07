package coordinator

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/transload/transload/internal/protocol"
	"github.com/transload/transload/internal/redistest"
)

// TestSourceLost kills the source in shadow and starts it again, empty. What
// survived on the target stays there, whoever coordinates; nothing moves, and the
// way out is to go back to off and to say what the target's keys are to become.
func TestSourceLost(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("needs a real server")
	}
	src := redistest.Standalone(t, redistest.Options{})
	s := sides{config(t, src), config(t, redistest.Standalone(t, redistest.Options{}))}
	seed(t, s.source, 50)
	startApp(t, s, 1, 20)
	c := coordinate(t, s)
	stop := shadowing(t, c)
	waitShadow(t, c)
	gap := feedGeneration(c, protocol.Source)
	if err := src.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := src.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	eventually(t, func() bool {
		st, err := c.Status(t.Context())
		return err == nil && feedGeneration(c, protocol.Source) > gap && walkedAll(c) && tellsLoss(st)
	})
	survived(t, s)
	if _, err := coordinate(t, s).Cutover(t.Context(), CutoverRequest{To: []int{100}}); !isRefusal(err, "data of the source") {
		t.Errorf("cutover: got %v; want a refusal", err)
	}
	stop()
	next := coordinate(t, s)
	stop = shadowing(t, next)
	waitShadow(t, next)
	survived(t, s)
	if st := status(t, next); !tellsLoss(st) || !strings.Contains(st.WaitsFor, "it has lost data") {
		t.Errorf("next coordinator: got %q, waits for %q; want the loss told", st.Blockers, st.WaitsFor)
	}
	if res, err := coordinate(t, s).Rollback(t.Context(), RollbackRequest{}); err != nil || res.Phase != protocol.Off {
		t.Errorf("rollback: got %+v, %v; want off", res, err)
	}
	stop()
	if err := coordinate(t, s).Shadow(t.Context()); !isRefusal(err, "foreign keys") {
		t.Errorf("shadow again, not told: got %v; want a refusal", err)
	}
	again := coordinate(t, s, func(o *Options) { o.TargetKeys = KeepKeys })
	shadowing(t, again)
	waitShadow(t, again)
	survived(t, s)
	if st := status(t, again); tellsLoss(st) {
		t.Errorf("begun again: got %q; want no loss told", st.Blockers)
	}
}

// TestTargetLost kills the target in soak and starts it again, empty: what the
// source has kept answers again after a rollback.
func TestTargetLost(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("needs a real server")
	}
	dst := redistest.Standalone(t, redistest.Options{})
	s := sides{config(t, redistest.Standalone(t, redistest.Options{})), config(t, dst)}
	seed(t, s.source, 50)
	startApp(t, s, 1, 0)
	c := coordinate(t, s)
	shadowing(t, c)
	waitShadow(t, c)
	moveWhenReady(t, coordinate(t, s), CutoverRequest{To: []int{100}})
	gap := feedGeneration(c, protocol.Target)
	if err := dst.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := dst.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	eventually(t, func() bool {
		st, err := c.Status(t.Context())
		return err == nil && feedGeneration(c, protocol.Target) > gap && walkedAll(c) && tellsLoss(st)
	})
	if _, err := coordinate(t, s).Finish(t.Context(), FinishRequest{MinSoak: -1}); !isRefusal(err, "data of the target") {
		t.Errorf("finish: got %v; want a refusal", err)
	}
	redistest.Eventually(t, 90*time.Second, func() error {
		_, err := coordinate(t, s).Rollback(t.Context(), RollbackRequest{})
		return err
	})
	if n := client(t, s.source).DBSize(t.Context()).Val(); n < 200 {
		t.Errorf("source: got %d keys; want the 200 that survived there", n)
	}
}

// walkedAll reports whether nothing is left to be walked.
func walkedAll(c *Coordinator) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	f := c.term.syncer.feeds
	_, _, src := f[protocol.Source].Unbroken()
	_, _, dst := f[protocol.Target].Unbroken()
	return src && dst && c.term.syncer.slots() == 0
}

func tellsLoss(st Status) bool {
	return slices.ContainsFunc(st.Blockers, func(b string) bool { return strings.Contains(b, "it has lost data") })
}

// survived wants the target to have all that was seeded.
func survived(t *testing.T, s sides) {
	t.Helper()
	dst := client(t, s.target)
	for _, pattern := range []string{"sess:{*", "h:*", "l:*", "rl:z:*"} {
		keys, err := dst.Keys(t.Context(), pattern).Result()
		if err != nil || len(keys) < 50 {
			t.Errorf("target: got %d keys %s, %v; want 50", len(keys), pattern, err)
		}
	}
}
