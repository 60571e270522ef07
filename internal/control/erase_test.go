package control

import (
	"errors"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/transload/transload/internal/protocol"
)

func TestLastSeen(t *testing.T) {
	everywhere(t, func(t *testing.T, s *Store) {
		if last, err := s.LastSeen(t.Context()); last != (Sight{}) || err != nil {
			t.Fatalf("got %+v, %v; want nobody", last, err)
		}
		if _, err := s.Refresh(t.Context(), protocol.Entry{ID: "m"}, false, false); err != nil {
			t.Fatal(err)
		}
		if err := s.Strike(t.Context(), "m"); err != nil {
			t.Fatal(err)
		}
		if last, err := s.LastSeen(t.Context()); err != nil || last.ID != "m" || last.Age > 10*time.Second || time.Since(last.At).Abs() > 10*time.Second {
			t.Errorf("after a goodbye: got %+v, %v; want m, just now", last, err)
		}
	})
}

func TestErase(t *testing.T) {
	everywhere(t, func(t *testing.T, s *Store) {
		ctx := t.Context()
		one := record(t, 1)
		s.mustChange(t, protocol.Record{}, one)
		m := protocol.Entry{ID: "m", Beat: 7_000_000}
		if _, err := s.Refresh(ctx, m, false, false); err != nil {
			t.Fatal(err)
		}
		if err := s.TellCensus(ctx, "m", []byte("{}")); err != nil {
			t.Fatal(err)
		}
		more := s.keys.Control + "-more"
		rdb := s.masters.(redis.UniversalClient)
		if err := rdb.Set(ctx, more, "x", 0).Err(); err != nil {
			t.Fatal(err)
		}
		if _, err := s.Erase(ctx, "me", one, []protocol.Entry{m}, more); !errors.Is(err, ErrReplaced) {
			t.Errorf("without the lock: got %v; want ErrReplaced", err)
		}
		if _, _, err := s.TakeLock(ctx, "me", Holder{}, ""); err != nil {
			t.Fatal(err)
		}
		came := m
		came.Beat--
		for name, try := range map[string]func() error{
			"a member is new":     func() error { _, err := s.Erase(ctx, "me", one, nil, more); return err },
			"a member is back":    func() error { _, err := s.Erase(ctx, "me", one, []protocol.Entry{came}, more); return err },
			"a member has left":   func() error { _, err := s.Erase(ctx, "me", one, []protocol.Entry{m, {ID: "o"}}, more); return err },
			"the record is other": func() error { _, err := s.Erase(ctx, "me", record(t, 2), []protocol.Entry{m}, more); return err },
		} {
			if err := try(); !errors.Is(err, ErrMeanwhile) {
				t.Errorf("%s: got %v; want ErrMeanwhile", name, err)
			}
		}
		if r := s.mustRead(t, false); !r.Record.Same(one) {
			t.Fatalf("got %+v; want the record to be there still", r)
		}
		n, err := s.Erase(ctx, "me", one, []protocol.Entry{m}, more)
		if err != nil || n < 6 {
			t.Errorf("got %d, %v; want at least record, roll, events, census, seen and one more gone", n, err)
		}
		k := s.keys
		if n := rdb.Exists(ctx, k.Control, k.Roll, k.Events, k.Census, k.Seen, k.Identity, k.Requests, more).Val(); n != 0 {
			t.Errorf("got %d keys left; want none", n)
		}
		if mine, _, err := s.RenewLock(ctx, "me"); !mine || err != nil {
			t.Errorf("got %v, %v; want the lock to be kept", mine, err)
		}
	})
}
