package crash

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/transload/transload/internal/protocol"
	"github.com/transload/transload/internal/redistest"
	"github.com/transload/transload/migrate/coordinator"
)

// mirrorRoom is how many names a member keeps that wait to be copied, and
// namesKept how many the coordinator does, before they are folded into slots.
const (
	mirrorRoom = 100_000
	namesKept  = 100_000
)

// TestTargetFullInShadowTheAppSeesNothing takes the target's memory away: it takes
// no copies, no leases and no lock any more. What waits is bounded, status and
// cutover name the memory, and everything heals by itself once there is room.
func TestTargetFullInShadowTheAppSeesNothing(t *testing.T) {
	t.Parallel()
	turn(t)
	target := standalone(t, redistest.Options{})
	m := moving(t, standalone(t, redistest.Options{}), target)
	room := func(bytes string) { redistest.Do(t, target.servers[0], "CONFIG", "SET", "maxmemory", bytes) }

	room("1mb")
	m.work(20, within)
	st := m.told("the memory of the target named, and copies that wait", func(st coordinator.Status) bool {
		return blocked("the target has no room left")(st) && waiting(st) > 0
	})
	if n := waiting(st); n > len(st.Members)*mirrorRoom+namesKept {
		t.Errorf("%d keys wait; want them bounded", n)
	}
	short, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	_, err := m.operator().Cutover(short, coordinator.CutoverRequest{To: []int{100}})
	if r := refused(t, err); r.Gate != "memory of the target" {
		t.Errorf("cutover: got %v; want it refused for the memory", r)
	}
	if isLong() { // until the leases on the target are over
		m.told("the leases on the target over", blocked("has no lease on both sides"))
		m.work(50, within)
	}

	room("0")
	m.told("everything made good", healed)
	m.cutover(m.operator(), 100)
	m.work(10, within)
	unhurt(t, m.verdict())
}

// waiting counts the keys that wait to be copied or compared.
func waiting(st coordinator.Status) int {
	n := st.Dirty
	for _, one := range st.Members {
		n += one.Dirty
	}
	return n
}

// TestTargetFullFromTheStartIsRefused begins a migration to a target that has no
// room, not even for a lock.
func TestTargetFullFromTheStartIsRefused(t *testing.T) {
	t.Parallel()
	turn(t)
	m := begin(t, standalone(t, redistest.Options{}), standalone(t, redistest.Options{Args: []string{"--maxmemory", "1mb"}}))
	m.seed(protocol.Source, 20)
	err := m.operator(func(o *coordinator.Options) { o.NoMembers = true }).Shadow(t.Context())
	sideError(t, err, "maxmemory")
	if phase := m.status(m.operator()).Phase; phase.Leased() {
		t.Errorf("got %v; want nothing begun", fmt.Sprint(phase))
	}
}
