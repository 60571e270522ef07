package coordinator

import (
	"sync"
	"testing"

	"github.com/transload/transload/internal/protocol"
)

// TestTwoRollBack lets two operators roll back at once, from soak: one of them
// does, and the other is refused instead of ending the migration, if it asked before.
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
	// One that asks only when the other has finished takes the next step, from shadow to off.
	want := protocol.Off
	if errs[1] != nil {
		want = protocol.Shadow
	}
	if errs[0] != nil || errs[1] != nil && !isRefusal(errs[1], "phase") {
		t.Errorf("got %v and %v; want one done, and the other refused or done after it", errs[0], errs[1])
	}
	if p := phaseOf(t, c); p != want {
		t.Errorf("got phase %v; want %v", p, want)
	}
}
