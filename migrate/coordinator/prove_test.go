package coordinator

import (
	"testing"

	"github.com/transload/transload/internal/protocol"
)

// TestAFailedProofPutsBack: names that a proof took and could not compare are
// dirty again. Else the next proof would find nothing to compare, and would pass
// over keys that differ.
func TestAFailedProofPutsBack(t *testing.T) {
	if testing.Short() {
		t.Skip("needs a real server")
	}
	t.Parallel()
	s := kinds["standalone"](t)
	seed(t, s.source, 10)
	c := coordinate(t, s, func(o *Options) { o.NoMembers = true })
	shadowing(t, c)
	waitShadow(t, c)
	c.mu.Lock()
	sy := c.term.syncer
	c.mu.Unlock()
	sy.batches.Lock() // nothing else copies, as in a hold
	defer sy.batches.Unlock()
	v := *sy.view.Load()
	v.rec[protocol.Source].Move = &protocol.Move{
		ID: "m", From: protocol.Source, Stage: protocol.Held, Goal: map[string]int{"sessions": protocol.Slots},
	}
	sy.view.Store(&v)
	sy.dirty.Take(0, 0)
	sy.dirty.Add("sess:{1}", "sess:{2}", "l:1")
	_ = sy.t.keys[protocol.Target].client.Close() // so that the proof can take, and not compare

	d := &driver{s: sy, t: sy.t, giver: protocol.Source, events: make(chan event, 4)}
	d.prove(t.Context())
	ev := <-d.events
	if ev.Proved == nil || ev.Proved.OK {
		t.Fatalf("got %+v; want a proof that failed", ev.Proved)
	}
	left := map[string]bool{}
	for _, name := range sy.dirty.Take(0, 0) {
		left[name] = true
	}
	for _, name := range []string{"sess:{1}", "sess:{2}", "l:1"} {
		if !left[name] {
			t.Errorf("%s is not dirty any more; got %v", name, left)
		}
	}
}
