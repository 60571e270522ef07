package control

import (
	"errors"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/transload/transload/internal/protocol"
)

func splitAddr(addr string) (host, port string, err error) { return net.SplitHostPort(addr) }

func TestLock(t *testing.T) {
	everywhere(t, func(t *testing.T, s *Store) {
		ctx := t.Context()
		if h, err := s.LockHolder(ctx); h != (Holder{}) || err != nil {
			t.Fatalf("got %+v, %v; want nobody", h, err)
		}
		if mine, _, err := s.TakeLock(ctx, "a", Holder{}, "host 1"); !mine || err != nil {
			t.Fatalf("got %v, %v; want the lock", mine, err)
		}
		mine, h, err := s.TakeLock(ctx, "b", Holder{}, "host 2")
		if mine || err != nil || h.ID != "a" || h.About != "host 1" {
			t.Fatalf("got %v, %+v, %v; want it refused for a", mine, h, err)
		}
		if mine, _, err := s.RenewLock(ctx, "a"); !mine || err != nil {
			t.Fatalf("got %v, %v; want it renewed", mine, err)
		}
		later, err := s.LockHolder(ctx)
		if err != nil || later.Beat <= h.Beat {
			t.Errorf("got %+v, %v; want a beat over %d", later, err, h.Beat)
		}
		if mine, _, err := s.TakeLock(ctx, "b", Holder{ID: "c", Beat: later.Beat}, ""); mine || err != nil {
			t.Errorf("taken over from who does not have it: %v, %v", mine, err)
		}
		if mine, now, err := s.TakeLock(ctx, "b", h, ""); mine || err != nil || now.Beat != later.Beat {
			t.Errorf("taken over from who has beaten since: %v, %+v, %v", mine, now, err)
		}
		if mine, _, err := s.TakeLock(ctx, "b", later, "host 2"); !mine || err != nil {
			t.Fatalf("got %v, %v; want it taken over", mine, err)
		}
		if mine, h, err := s.RenewLock(ctx, "a"); mine || err != nil || h.ID != "b" {
			t.Errorf("got %v, %+v, %v; want a told of b", mine, h, err)
		}
		if err := s.ReleaseLock(ctx, "a"); err != nil {
			t.Fatal(err)
		}
		if h, err := s.LockHolder(ctx); err != nil || h.ID != "b" {
			t.Errorf("got %+v, %v; want b: the lock is not a's to release", h, err)
		}
		if err := s.ReleaseLock(ctx, "b"); err != nil {
			t.Fatal(err)
		}
		if h, err := s.LockHolder(ctx); h != (Holder{}) || err != nil {
			t.Errorf("got %+v, %v; want nobody", h, err)
		}
	})
}

// TestAReplacedCoordinatorCanNoLongerWrite: the lock is asked for in the step
// that writes.
func TestAReplacedCoordinatorCanNoLongerWrite(t *testing.T) {
	everywhere(t, func(t *testing.T, s *Store) {
		if _, _, err := s.TakeLock(t.Context(), "new", Holder{}, ""); err != nil {
			t.Fatal(err)
		}
		one := record(t, 1)
		r, err := s.Change(t.Context(), protocol.Change{Side: s.side, New: one}, "old", Event{})
		if !errors.Is(err, ErrReplaced) || !r.Record.Empty() {
			t.Errorf("got %+v, %v; want ErrReplaced and no record", r.Record, err)
		}
		if _, err := s.Change(t.Context(), protocol.Change{Side: s.side, New: one}, "new", Event{}); err != nil {
			t.Errorf("got %v; want the holder to write", err)
		}
	})
}

func TestEvents(t *testing.T) {
	everywhere(t, func(t *testing.T, s *Store) {
		nudges := s.masters.(redis.UniversalClient).Subscribe(t.Context(), s.keys.Nudge)
		defer nudges.Close()
		if _, err := nudges.Receive(t.Context()); err != nil {
			t.Fatal(err)
		}
		s.mustChange(t, protocol.Record{}, record(t, 1))
		if _, err := nudges.ReceiveMessage(within(t, 5*time.Second)); err != nil {
			t.Errorf("no nudge: %v", err)
		}
		note := Event{Who: "me", What: "pass done", Why: "asked", Figures: map[string]string{"keys": "7"}}
		if err := s.Note(t.Context(), note); err != nil {
			t.Fatal(err)
		}
		got, err := s.Events(t.Context(), 10)
		if err != nil || len(got) != 2 || got[0].What != "change" || got[1].Figures["keys"] != "7" || got[1].At.IsZero() {
			t.Fatalf("got %+v, %v; want the change and the note, with their times", got, err)
		}
		if got, err := s.Events(t.Context(), 1); err != nil || len(got) != 1 || got[0].What != "pass done" {
			t.Errorf("got %+v, %v; want the newest", got, err)
		}
		// A change that is lost leaves no event.
		if _, err := s.Change(t.Context(), protocol.Change{Side: s.side, New: record(t, 2)}, "", Event{What: "lost"}); err != nil {
			t.Fatal(err)
		}
		if got, err := s.Events(t.Context(), 1); err != nil || got[0].What != "pass done" {
			t.Errorf("got %+v, %v; want no event of a lost change", got, err)
		}
	})
}

func TestNames(t *testing.T) {
	for name, ok := range map[string]bool{
		"default": true, "a.b-c_9": true, "": false, "a b": false, "a{b": false, "a:b": false, strings.Repeat("x", 65): false,
	} {
		if err := ValidName(name); (err == nil) != ok {
			t.Errorf("%q: got %v; want it valid: %v", name, err, ok)
		}
	}
	k := KeysOf("n")
	for _, key := range []string{k.Control, k.Roll, k.Events, k.Lock, k.Identity, k.Census, k.Requests, k.Seen, k.Nudge, k.Acks} {
		if !strings.HasPrefix(key, Prefix("n")) || !strings.HasPrefix(key, Reserved) {
			t.Errorf("%s does not carry the name as its tag", key)
		}
	}
}
