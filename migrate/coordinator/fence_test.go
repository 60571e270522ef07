package coordinator

import (
	"errors"
	"testing"

	"github.com/transload/transload/internal/control"
	"github.com/transload/transload/internal/protocol"
	"github.com/transload/transload/internal/redisproc"
	"github.com/transload/transload/internal/redistest"
)

// named opens a connection to a server under a process's name.
func named(t *testing.T, s *redisproc.Server, process string) *redisproc.Conn {
	t.Helper()
	c := redistest.Conn(t, s)
	if _, err := c.Do(t.Context(), "CLIENT", "SETNAME", control.ClientName("default", process)); err != nil {
		t.Fatal(err)
	}
	return c
}

// TestTheFenceReachesEveryNode: of both sides, replicas included, and nobody of
// another name.
func TestTheFenceReachesEveryNode(t *testing.T) {
	t.Parallel()
	src, dst := redistest.Standalone(t, redistest.Options{}), redistest.SharedCluster(t)
	c := coordinate(t, sides{config(t, src), config(t, dst)})
	if err := probeAll(t.Context(), c.sides); err != nil {
		t.Fatal(err)
	}
	servers := append(dst.Servers(), src)
	var gone, stay []*redisproc.Conn
	for _, s := range servers {
		gone, stay = append(gone, named(t, s, "m1")), append(stay, named(t, s, "m10"))
	}
	if err := fence(t.Context(), c.sides, c.opts.Name, "m1"); err != nil {
		t.Fatal(err)
	}
	for i, s := range servers {
		if _, err := gone[i].Do(t.Context(), "PING"); err == nil {
			t.Errorf("%s: the fenced process's connection lives", s.Addr())
		}
		if _, err := stay[i].Do(t.Context(), "PING"); err != nil {
			t.Errorf("%s: the connection of another process: got %v", s.Addr(), err)
		}
	}
}

// TestAWokenCoordinatorGetsNoConnection: it was fenced, and its lock is still in
// its name when it wakes.
func TestAWokenCoordinatorGetsNoConnection(t *testing.T) {
	t.Parallel()
	s := pair(t)
	c := coordinate(t, s)
	_, old, err := c.lead(t.Context(), "shadow")
	if err != nil {
		t.Fatal(err)
	}
	old.end(errors.New("stopped"))
	old.wg.Wait()
	copies := old.keys[protocol.Target].client
	if err := copies.Set(t.Context(), "k", "before", 0).Err(); err != nil {
		t.Fatal(err)
	}
	for _, side := range protocol.Sides { // as when it has slept
		old.renewed[side].Sent = old.renewed[side].Sent.Add(-protocol.LeaseFor)
	}
	if err := fence(t.Context(), old.sides, c.opts.Name, copyName(old.id)); err != nil {
		t.Fatal(err)
	}
	for range 3 { // dead connections of the pool may be met first
		err = copies.Set(t.Context(), "k", "late", 0).Err()
	}
	if !errors.Is(err, errLock) {
		t.Errorf("got %v; want %v", err, errLock)
	}
	if got := client(t, s.target).Get(t.Context(), "k").Val(); got != "before" {
		t.Errorf("got %q; want what was written before the fence", got)
	}
	_ = old.close()
}

// TestASilentCoordinatorIsFenced before its lock is taken.
func TestASilentCoordinatorIsFenced(t *testing.T) {
	t.Parallel()
	src, dst := redistest.Standalone(t, redistest.Options{}), redistest.Standalone(t, redistest.Options{})
	_, tm, err := coordinate(t, sides{config(t, src), config(t, dst)}).lead(t.Context(), "shadow")
	if err != nil {
		t.Fatal(err)
	}
	defer tm.quit(t.Context())
	var old []*redisproc.Conn
	for _, s := range []*redisproc.Server{src, dst} {
		old = append(old, named(t, s, "old"), named(t, s, copyName("old")))
	}
	silent := sighting{control.Holder{ID: "old", Beat: 7}, tm.now().Add(-protocol.SilentFor), tm.now()}
	fenced := map[string]bool{}
	if err := tm.succeed(t.Context(), [3]sighting{protocol.Source: silent, protocol.Target: silent}, [3]bool{}, fenced); err != nil || !fenced["old"] {
		t.Fatalf("got %v, %v; want it fenced", fenced, err)
	}
	for _, c := range old {
		if _, err := c.Do(t.Context(), "PING"); err == nil {
			t.Error("a connection of the old coordinator lives")
		}
	}
}

// TestAMemberThatCameBackStaysOnTheRoll: it has a new lease since it was seen silent.
func TestAMemberThatCameBackStaysOnTheRoll(t *testing.T) {
	t.Parallel()
	_, tm, err := coordinate(t, pair(t)).lead(t.Context(), "shadow")
	if err != nil {
		t.Fatal(err)
	}
	defer tm.quit(t.Context())
	var seen [3]protocol.Entry
	for _, s := range protocol.Sides {
		for _, e := range []protocol.Entry{{ID: "back", Beat: 1}, {ID: "dead", Beat: 1}} {
			if _, err := tm.sides[s].store.Refresh(t.Context(), e, false, false); err != nil {
				t.Fatal(err)
			}
			seen[s] = e
		}
		if _, err := tm.sides[s].store.Refresh(t.Context(), protocol.Entry{ID: "back", Beat: 2}, false, false); err != nil {
			t.Fatal(err)
		}
	}
	for _, id := range []string{"back", "dead"} {
		for _, s := range protocol.Sides {
			seen[s].ID = id
		}
		if err := tm.strike(t.Context(), id, seen); err != nil {
			t.Fatal(err)
		}
	}
	for _, s := range protocol.Sides {
		roll, err := tm.sides[s].store.Roll(t.Context())
		if err != nil || len(roll) != 1 || roll[0].ID != "back" {
			t.Errorf("%v: got %+v, %v; want who came back alone", s, roll, err)
		}
	}
}
