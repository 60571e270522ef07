package control

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/transload/transload/internal/protocol"
	"github.com/transload/transload/internal/redisproc"
	"github.com/transload/transload/internal/redistest"
)

func TestChange(t *testing.T) {
	everywhere(t, func(t *testing.T, s *Store) {
		if r := s.mustRead(t, true); !r.Record.Empty() || r.RunID == "" || !r.Safe {
			t.Fatalf("got %+v; want no record, of a known server", r)
		}
		one, two, three := record(t, 1), record(t, 2), record(t, 3)
		r := s.mustChange(t, protocol.Record{}, one)
		if !r.Safe {
			t.Error("a record that every replica can have is not safe")
		}
		if again := s.mustRead(t, true); !again.Record.Same(one) || again.RunID != r.RunID || !again.Safe {
			t.Errorf("got %+v; want what was written, from the same server", again)
		}
		lost, err := s.Change(t.Context(), protocol.Change{Side: s.side, Old: protocol.Record{}, New: two}, "", Event{})
		if err != nil || !lost.Record.Same(one) {
			t.Errorf("against no record: got %+v, %v; want it lost to the first", lost.Record, err)
		}
		forged := one
		forged.Nonce = "other" // the same epoch, of a record that a failover has forgotten
		lost, err = s.Change(t.Context(), protocol.Change{Side: s.side, Old: forged, New: two}, "", Event{})
		if err != nil || !lost.Record.Same(one) {
			t.Errorf("against another nonce: got %+v, %v; want it lost", lost.Record, err)
		}
		s.mustChange(t, one, two)
		// Sent again after a lost reply, it finds its own nonce.
		if r, err := s.Change(t.Context(), protocol.Change{Side: s.side, Old: one, New: two}, "", Event{}); err != nil || !r.Record.Same(two) {
			t.Errorf("sent twice: got %+v, %v; want its own record", r.Record, err)
		}
		o := s.another(t)
		if _, err := o.Change(t.Context(), protocol.Change{Side: s.side, Old: two, New: three}, "", Event{}); err != nil {
			t.Fatal(err)
		}
		if r := s.mustRead(t, false); !r.Record.Same(three) {
			t.Errorf("got %+v; want what another wrote", r.Record)
		}
	})
}

// TestChangeIsWonOnce: of many who change the same record, one.
func TestChangeIsWonOnce(t *testing.T) {
	s := open(t, redistest.SharedStandalone(t).Env("R"))
	first := record(t, 1)
	s.mustChange(t, protocol.Record{}, first)
	var mu sync.Mutex
	won := 0
	var wg sync.WaitGroup
	for i := range 8 {
		o := s.another(t)
		wg.Go(func() {
			next := record(t, 2)
			next.Nonce = fmt.Sprint("of", i)
			r, err := o.Change(t.Context(), protocol.Change{Side: s.side, Old: first, New: next}, "", Event{})
			if err != nil {
				t.Error(err)
			}
			mu.Lock()
			defer mu.Unlock()
			if r.Record.Same(next) {
				won++
			}
		})
	}
	wg.Wait()
	if won != 1 {
		t.Errorf("%d changes were won; want 1", won)
	}
}

// TestALostReplyIsReadAgain: the change is applied, its reply never comes.
func TestALostReplyIsReadAgain(t *testing.T) {
	server := redistest.Standalone(t, redistest.Options{})
	proxy := redistest.Proxy(t, server)
	s := open(t, map[string]string{"R_URL": "redis://" + proxy.Addr(), "R_READ_TIMEOUT": "300ms"})
	one := record(t, 1)
	s.mustRead(t, false) // pins a connection
	for _, l := range proxy.Links() {
		l.HoldReplies()
	}
	_, err := s.Change(t.Context(), protocol.Change{Side: s.side, New: one}, "", Event{})
	if err == nil {
		t.Fatal("a change without a reply is no error")
	}
	if r := s.mustRead(t, true); !r.Record.Same(one) {
		t.Errorf("got %+v; want the record whose reply was lost", r.Record)
	}
}

func TestRefresh(t *testing.T) {
	everywhere(t, func(t *testing.T, s *Store) {
		one := record(t, 1)
		s.mustChange(t, protocol.Record{}, one)
		acks := s.masters.(redis.UniversalClient).Subscribe(t.Context(), s.keys.Acks)
		defer acks.Close()
		if _, err := acks.Receive(t.Context()); err != nil {
			t.Fatal(err)
		}
		e := protocol.Entry{ID: "m1", Beat: 1, Epoch: 1, Plan: "plan", Ack: protocol.Ack{Move: "mv", Stage: protocol.Held}, Ready: true}
		r, err := s.Refresh(t.Context(), e, true, true)
		if err != nil || !r.Record.Same(one) || !r.Safe || r.RunID == "" {
			t.Fatalf("got %+v, %v; want the record, safe", r, err)
		}
		msg, err := acks.ReceiveMessage(within(t, 5*time.Second))
		if err != nil || msg.Payload != "m1" {
			t.Errorf("got %v, %v; want news of m1", msg, err)
		}
		if _, err := s.Refresh(t.Context(), protocol.Entry{ID: "m0", Beat: 7}, false, false); err != nil {
			t.Fatal(err)
		}
		roll, err := s.Roll(t.Context())
		if err != nil || len(roll) != 2 || roll[0].ID != "m0" || roll[1].Ack != e.Ack || !roll[1].Ready {
			t.Errorf("got %+v, %v; want m0 and m1 as they were told", roll, err)
		}
		if err := s.TellCensus(t.Context(), "m0", []byte(`{}`)); err != nil {
			t.Fatal(err)
		}
		if c, err := s.Census(t.Context()); err != nil || c["m0"] != "{}" {
			t.Errorf("got %v, %v; want the census of m0", c, err)
		}
		if err := s.Strike(t.Context(), "m0"); err != nil {
			t.Fatal(err)
		}
		if roll, err := s.Roll(t.Context()); err != nil || len(roll) != 1 || roll[0].ID != "m1" {
			t.Errorf("got %+v, %v; want only m1", roll, err)
		}
		if c, err := s.Census(t.Context()); err != nil || len(c) != 0 {
			t.Errorf("got %v, %v; want no census of who has left", c, err)
		}
	})
}

// TestNothingExpires: a missing key must never be read as a process that died.
func TestNothingExpires(t *testing.T) {
	server := redistest.SharedStandalone(t)
	s := open(t, server.Env("R"))
	s.mustChange(t, protocol.Record{}, record(t, 1))
	if _, err := s.Refresh(t.Context(), protocol.Entry{ID: "m"}, true, false); err != nil {
		t.Fatal(err)
	}
	if _, _, err := s.TakeLock(t.Context(), "c", Holder{}, ""); err != nil {
		t.Fatal(err)
	}
	for _, key := range []string{s.keys.Control, s.keys.Roll, s.keys.Events, s.keys.Lock} {
		if ttl := redistest.Do(t, server, "TTL", key); ttl != int64(-1) {
			t.Errorf("%s: got TTL %v; want -1: there, and without expiry", key, ttl)
		}
	}
}

func TestScriptsThatTheServerForgotAreLoadedAgain(t *testing.T) {
	server := redistest.Standalone(t, redistest.Options{})
	s := open(t, server.Env("R"))
	one, two := record(t, 1), record(t, 2)
	s.mustChange(t, protocol.Record{}, one)
	redistest.Do(t, server, "SCRIPT", "FLUSH")
	s.mustChange(t, one, two)
	redistest.Do(t, server, "SCRIPT", "FLUSH")
	if r, err := s.Refresh(t.Context(), protocol.Entry{ID: "m"}, false, false); err != nil || !r.Record.Same(two) {
		t.Errorf("got %+v, %v; want the record", r, err)
	}
}

// TestARestartedServerIsAnother: by its run id, or by its identity key.
func TestARestartedServerIsAnother(t *testing.T) {
	server := redistest.Standalone(t, redistest.Options{})
	s := open(t, server.Env("R"))
	was := s.mustRead(t, false).RunID
	if err := server.Kill(); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Read(within(t, 2*time.Second), false); err == nil {
		t.Fatal("a dead server was read")
	}
	if err := server.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	redistest.Eventually(t, 10*time.Second, func() error {
		r, err := s.Read(t.Context(), false)
		if err == nil && r.RunID == was {
			return errors.New("the restarted server has the same run id")
		}
		return err
	})
}

// TestReplicas: whether a record is safe is a question to every replica that is
// online, answered for what this very connection has read or written.
func TestReplicas(t *testing.T) {
	set := redistest.Sentinel(t, redistest.Options{})
	s := open(t, set.Env("R"))
	one, two := record(t, 1), record(t, 2)
	if r := s.mustChange(t, protocol.Record{}, one); !r.Safe {
		t.Fatal("two replicas are online and the record is not safe")
	}
	caughtUp(t, set.Nodes[0], 2) // with all that this connection has seen: a WAIT before the next record would say yes
	if err := set.Nodes[2].Freeze(); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	if r := s.mustChange(t, one, two); r.Safe {
		t.Error("safe, although a replica hangs")
	}
	if d := time.Since(began); d > 2*time.Second {
		t.Errorf("it took %v to know", d)
	}
	// A fresh connection has written nothing: asked at once it would say yes.
	if r := s.another(t).mustRead(t, true); r.Safe {
		t.Error("a fresh connection says safe, although a replica hangs")
	}
	if r, err := s.another(t).Refresh(t.Context(), protocol.Entry{ID: "m"}, false, true); err != nil || r.Safe {
		t.Errorf("got %+v, %v; want a refresh that is not safe", r, err)
	}
	if err := set.Nodes[2].Thaw(); err != nil {
		t.Fatal(err)
	}
	redistest.Eventually(t, 10*time.Second, func() error {
		if r := s.mustRead(t, true); !r.Safe {
			return errors.New("not safe yet")
		}
		return nil
	})
}

// caughtUp waits until n replicas have told that they have all there is now.
func caughtUp(t *testing.T, master *redisproc.Server, n int) {
	t.Helper()
	info := func() string { return redistest.Do(t, master, "INFO", "replication").(string) }
	want, err := strconv.Atoi(infoField(info(), "master_repl_offset"))
	if err != nil {
		t.Fatal(err)
	}
	redistest.Eventually(t, 20*time.Second, func() error {
		text := info()
		for i := range n {
			line := infoField(text, fmt.Sprintf("slave%d", i))
			_, rest, _ := strings.Cut(line, "offset=")
			digits, _, _ := strings.Cut(rest, ",")
			if has, err := strconv.Atoi(digits); err != nil || has < want {
				return fmt.Errorf("replica %d: %s; want offset %d", i, line, want)
			}
		}
		return nil
	})
}

// TestAFailoverChangesTheRunID, and what a demoted master says does not count.
func TestAFailoverChangesTheRunID(t *testing.T) {
	set := redistest.Sentinel(t, redistest.Options{Replicas: 1})
	s := open(t, set.Env("R"))
	one := record(t, 1)
	was := s.mustChange(t, protocol.Record{}, one)
	if err := set.Nodes[0].Kill(); err != nil {
		t.Fatal(err)
	}
	redistest.Eventually(t, 60*time.Second, func() error {
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		defer cancel()
		r, err := s.Read(ctx, true)
		switch {
		case err != nil:
			return err
		case r.RunID == was.RunID:
			return errors.New("the same run id from another server")
		case !r.Record.Same(one):
			t.Fatalf("got %+v; want the record that the replica had", r.Record)
		}
		return nil
	})
}

func TestADemotedMasterDoesNotCount(t *testing.T) {
	a := redistest.Standalone(t, redistest.Options{})
	b := redistest.Standalone(t, redistest.Options{})
	s := open(t, a.Env("R"))
	s.mustRead(t, false)
	demote(t, a, b)
	if _, err := s.Read(t.Context(), true); !errors.Is(err, ErrNotMaster) {
		t.Errorf("on the pinned connection: got %v; want ErrNotMaster", err)
	}
	if _, err := s.Read(t.Context(), true); !errors.Is(err, ErrNotMaster) {
		t.Errorf("on a new connection: got %v; want ErrNotMaster", err)
	}
	if _, err := s.Refresh(t.Context(), protocol.Entry{ID: "m"}, false, false); err == nil {
		t.Error("a replica gave a lease")
	}
}

func demote(t *testing.T, a, of *redisproc.Server) {
	t.Helper()
	host, port, _ := splitAddr(of.Addr())
	redistest.Do(t, a, "REPLICAOF", host, port)
}

func TestCheck(t *testing.T) {
	everywhere(t, func(t *testing.T, s *Store) {
		name := s.keys.Control[len("transload:{") : len(s.keys.Control)-len("}:control")]
		one, two := record(t, 1), record(t, 2)
		for _, tt := range []struct {
			obeyed protocol.Record
			want   bool
		}{{protocol.Record{}, true}, {one, false}} {
			if got, err := Check(t.Context(), s.masters, name, []protocol.Record{tt.obeyed}); got != tt.want || err != nil {
				t.Errorf("no record, obeying %d: got %v, %v; want %v", tt.obeyed.Epoch, got, err, tt.want)
			}
		}
		s.mustChange(t, protocol.Record{}, one)
		for _, tt := range []struct {
			obeyed protocol.Record
			want   bool
		}{{protocol.Record{}, false}, {one, true}, {two, false}} {
			if got, err := Check(t.Context(), s.masters, name, []protocol.Record{tt.obeyed}); got != tt.want || err != nil {
				t.Errorf("obeying %d: got %v, %v; want %v", tt.obeyed.Epoch, got, err, tt.want)
			}
		}
	})
}

func TestAnUnknownFormatIsRefusedByName(t *testing.T) {
	server := redistest.SharedStandalone(t)
	s := open(t, server.Env("R"))
	redistest.Do(t, server, "SET", s.keys.Control, `{"format":99}`)
	if _, err := s.Read(t.Context(), false); !errors.Is(err, protocol.ErrFormat) {
		t.Errorf("got %v; want ErrFormat", err)
	}
	redistest.Do(t, server, "HSET", s.keys.Roll, "m", "no JSON")
	if _, err := s.Roll(t.Context()); err == nil {
		t.Error("a line that cannot be read was left out of the roll")
	}
}

func TestAClosedStoreAnswersNothing(t *testing.T) {
	s := open(t, redistest.SharedStandalone(t).Env("R"))
	s.mustRead(t, false)
	s.Close()
	s.Close()
	if _, err := s.Read(t.Context(), false); !errors.Is(err, redis.ErrClosed) {
		t.Errorf("got %v; want ErrClosed", err)
	}
}
