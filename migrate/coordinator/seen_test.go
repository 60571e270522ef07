package coordinator

import (
	"sync"
	"testing"

	"github.com/transload/transload/internal/protocol"
)

// TestTwoRollBack lets two operators roll back at once, from soak: one of them
// does, and the other is refused instead of ending the migration.
func TestTwoRollBack(t *testing.T) {
	t.Parallel()
	s := pair(t)
	startApp(t, s, 1, 0)
	c := coordinate(t, s)
	shadowing(t, c)
	waitShadow(t, c)
	moveWhenReady(t, coordinate(t, s), CutoverRequest{To: []int{100}})
	var wg sync.WaitGroup
	var errs [2]error
	for i := range errs {
		asker := coordinate(t, s)
		wg.Go(func() { _, errs[i] = asker.Rollback(t.Context(), RollbackRequest{}) })
	}
	wg.Wait()
	if errs[0] != nil {
		errs[0], errs[1] = errs[1], errs[0]
	}
	if errs[0] != nil || !isRefusal(errs[1], "phase") {
		t.Errorf("got %v and %v; want one done, and the other refused", errs[0], errs[1])
	}
	if p := phaseOf(t, c); p != protocol.Shadow {
		t.Errorf("got phase %v; want shadow", p)
	}
}
