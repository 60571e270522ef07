package migrate

import (
	"errors"
	"testing"

	"github.com/redis/go-redis/v9"

	"github.com/transload/transload/internal/protocol"
	"github.com/transload/transload/internal/redistest"
)

// loses ends a member's lease on a side, as an answer from another server does,
// while the server and every connection to it are as they were.
func (m *member) loses(s protocol.Side) {
	m.mu.Lock()
	defer m.mu.Unlock()
	seen := protocol.Seen{Gen: m.proto.Gen(s), Sent: m.now(), RunID: "another", Record: m.proto.Record(s), Safe: true}
	m.proto.Hear(s, seen, m.now())
	m.nudge(s)
}

// TestCopiesEndWithEitherLease: a copy that was let in before a lease was lost has
// no connection left to go by, to whichever side it goes. The app's own connections
// to the other side stay.
func TestCopiesEndWithEitherLease(t *testing.T) {
	t.Parallel()
	for name, lost := range map[string]protocol.Side{"of the side that it is read from": src, "of the side that it goes to": dst} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r, _, target := twoServers(t)
			r.begin()
			m := r.member(r.options())
			m.ready(t)
			if err := m.set(t.Context(), "sess:1", "a"); err != nil {
				t.Fatal(err)
			}
			holds(t, target, "sess:1", "a") // so that there is an idle connection
			was := m.view.Load()
			p, ok := m.enterCopy(m.view.Load(), src, false)
			if !ok {
				t.Fatal("no copy is admitted")
			}
			defer m.leaveCopy(p)
			m.loses(lost)
			m.renewed(t, lost, was.pools[lost])
			if err := p.to.client.Set(t.Context(), "sess:1", "late", 0).Err(); !errors.Is(err, redis.ErrClosed) {
				t.Errorf("a late copy: got %v; want ErrClosed", err)
			}
			if got := redistest.Do(t, target, "GET", "sess:1"); got != "a" {
				t.Errorf("got %v; want a: a copy arrived after its lease", got)
			}
			other := lost.Other()
			if now := m.view.Load(); now.pools[other] != was.pools[other] {
				t.Errorf("the pool of the %v was replaced, though its lease holds", other)
			}
			if err := m.set(t.Context(), "sess:1", "b"); err != nil {
				t.Fatal(err)
			}
			holds(t, target, "sess:1", "b") // by new connections
		})
	}
}
