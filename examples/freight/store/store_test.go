package store

import (
	"database/sql"
	"errors"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/transload/transload/internal/pgtest"
)

// TestStore tries the same on every database.
func TestStore(t *testing.T) {
	t.Run("sqlite", func(t *testing.T) { suite(t, "sqlite:"+filepath.Join(t.TempDir(), "freight.db")) })
	t.Run("postgres", func(t *testing.T) {
		if testing.Short() {
			t.Skip("LEFT OUT by -short: it starts a PostgreSQL")
		}
		suite(t, pgtest.Start(t))
	})
}

func suite(t *testing.T, dsn string) {
	var stores [2]*Store // two processes begin at once
	var wg sync.WaitGroup
	for i := range stores {
		wg.Go(func() {
			s, err := Open(t.Context(), dsn)
			if err == nil {
				err = s.Demo(t.Context(), 3)
			}
			if err != nil {
				t.Error(err)
				return
			}
			stores[i] = s
			t.Cleanup(func() { _ = s.Close() })
		})
	}
	wg.Wait()
	if t.Failed() {
		return
	}
	s := stores[0]
	t.Run("sign in", func(t *testing.T) { signIn(t, s) })
	t.Run("post twice", func(t *testing.T) { postTwice(t, s) })
	t.Run("bid and accept", func(t *testing.T) { bidAndAccept(t, s) })
	t.Run("one winner", func(t *testing.T) { oneWinner(t, stores) })
	t.Run("letters", func(t *testing.T) { letters(t, s) })
}

func none[A, B any](*sql.Tx, A, B) error { return nil }

// enter enters a load of the first shipper.
func enter(t *testing.T, s *Store, request string) Load {
	t.Helper()
	l, err := s.Post(t.Context(), request, Load{Shipper: "s0001", From: "berlin", To: "paris", Cargo: "Wine", KG: 5, Price: 9, Pickup: time.Now()},
		func(*sql.Tx, Load) error { return nil })
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func signIn(t *testing.T, s *Store) {
	u, err := s.SignIn(t.Context(), " Driver-2@freight.example", DemoPassword)
	if err != nil || u.ID != "d0002" || u.Role != Driver || u.Plate == "" {
		t.Fatalf("got %+v, %v; want driver d0002", u, err)
	}
	for _, who := range [][2]string{{DemoEmail(Driver, 2), "wrong"}, {"nobody@freight.example", DemoPassword}, {"", ""}} {
		if _, err := s.SignIn(t.Context(), who[0], who[1]); !errors.Is(err, ErrPassword) {
			t.Errorf("%q with %q: got %v; want ErrPassword", who[0], who[1], err)
		}
	}
}

func postTwice(t *testing.T, s *Store) {
	first, again := enter(t, s, "one form"), enter(t, s, "one form")
	if first.ID != again.ID || first.Cargo != "Wine" || !first.Open() {
		t.Fatalf("got %+v and %+v; want the same open load", first, again)
	}
	undone := errors.New("undone")
	if _, err := s.Post(t.Context(), "fails", first, func(*sql.Tx, Load) error { return undone }); !errors.Is(err, undone) {
		t.Fatalf("got %v; want what then returned", err)
	}
	ids, err := s.Search(t.Context(), "berlin", "", 1000)
	if n := strings.Count(strings.Join(ids, " "), first.ID); err != nil || n != 1 {
		t.Errorf("a search finds it %d times of %d, %v; want once", n, len(ids), err)
	}
	all, err := s.Loads(t.Context(), append(ids, "nothing"))
	if err != nil || len(all) != len(ids) {
		t.Errorf("got %d loads, %v; want %d", len(all), err, len(ids))
	}
}

func bidAndAccept(t *testing.T, s *Store) {
	l, news := enter(t, s, "bids"), 0
	moments := map[time.Time]bool{}
	count := func(_ *sql.Tx, _ Load, b Bid) error { news++; moments[b.Created] = true; return nil }
	for _, price := range []int64{650, 700, 700, 650} {
		if _, err := s.Offer(t.Context(), l.ID, "d0001", price, count); err != nil {
			t.Fatal(err)
		}
	}
	bids, err := s.Bids(t.Context(), l.ID)
	if err != nil || len(bids) != 1 || bids[0].Price != 650 || bids[0].Name == "" || news != 3 || len(moments) != 3 {
		t.Fatalf("got %+v, %v, %d news of %d moments; want one bid of 650 and 3 news", bids, err, news, len(moments))
	}
	if _, err := s.Accept(t.Context(), "s0002", l.ID, bids[0].ID, 650, count); !errors.Is(err, ErrNotFound) {
		t.Errorf("another shipper: got %v; want ErrNotFound", err)
	}
	if _, err := s.Accept(t.Context(), "s0001", l.ID, bids[0].ID, 700, count); !errors.Is(err, ErrChanged) {
		t.Errorf("a price of before: got %v; want ErrChanged", err)
	}
	for range 2 {
		got, err := s.Accept(t.Context(), "s0001", l.ID, bids[0].ID, 650, count)
		if err != nil || got.Driver != "d0001" {
			t.Fatalf("got %+v, %v; want it to be d0001's", got, err)
		}
	}
	if news != 4 {
		t.Errorf("got %d news; want 4: the second time nothing happens", news)
	}
	if _, err := s.Offer(t.Context(), l.ID, "d0002", 1, count); !errors.Is(err, ErrTaken) {
		t.Errorf("a bid for a booked load: got %v; want ErrTaken", err)
	}
	c, err := s.Carrier(t.Context(), "d0001")
	if err != nil || c.Booked != 1 || c.Bids != 1 {
		t.Errorf("got %+v, %v; want one bid and one load", c, err)
	}
}

// oneWinner has two processes give a load to two drivers at once.
func oneWinner(t *testing.T, stores [2]*Store) {
	l := enter(t, stores[0], "race")
	var bids [2]Bid
	for i, driver := range []string{"d0001", "d0002"} {
		b, err := stores[i].Offer(t.Context(), l.ID, driver, 5, none[Load, Bid])
		if err != nil {
			t.Fatal(err)
		}
		bids[i] = b
	}
	var won, taken atomic.Int64
	var wg sync.WaitGroup
	for i, b := range bids {
		wg.Go(func() {
			switch _, err := stores[i].Accept(t.Context(), "s0001", l.ID, b.ID, 5, none[Load, Bid]); {
			case err == nil:
				won.Add(1)
			case errors.Is(err, ErrTaken):
				taken.Add(1)
			default:
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if won.Load() != 1 || taken.Load() != 1 {
		t.Errorf("%d won and %d were told that it is taken; want one each", won.Load(), taken.Load())
	}
}

func letters(t *testing.T, s *Store) {
	l := Letter{Event: "bid:x:1", Kind: Email, To: "s0001", Load: "x", Price: 1}
	for range 2 {
		if err := s.tx(t.Context(), func(tx *sql.Tx) error { return s.Owe(t.Context(), tx, l) }); err != nil {
			t.Fatal(err)
		}
	}
	owed, err := s.Owed(t.Context(), -time.Minute, 10)
	if err != nil || len(owed) != 1 || owed[0] != l {
		t.Fatalf("got %+v, %v; want %+v once", owed, err, l)
	}
	if err := s.Sent(t.Context(), l.Kind, l.Event); err != nil {
		t.Fatal(err)
	}
	if owed, err = s.Owed(t.Context(), -time.Minute, 10); err != nil || len(owed) != 0 {
		t.Errorf("got %+v, %v; want nothing owed", owed, err)
	}
	if err := s.Deliver(t.Context(), Message{Kind: Email, To: "s0001", Subject: "a", Body: "b", Event: l.Event, Request: "email:bid:x:1"}); err != nil {
		t.Fatal(err)
	}
	if sent, err := s.Delivered(t.Context(), "email:bid:x:1"); err != nil || !sent {
		t.Errorf("got %v, %v; want it to be delivered", sent, err)
	}
	if list, err := s.Messages(t.Context(), "s0001", 10); err != nil || len(list) != 1 || list[0].Event != l.Event {
		t.Errorf("got %+v, %v; want the message", list, err)
	}
}

func TestOpenRefuses(t *testing.T) {
	for _, dsn := range []string{"", "mysql://x", "freight.db"} {
		if _, err := Open(t.Context(), dsn); !errors.Is(err, ErrURL) {
			t.Errorf("%q: got %v; want ErrURL", dsn, err)
		}
	}
	_, err := Open(t.Context(), "postgres://user:hush@127.0.0.1:1/x?connect_timeout=1")
	if err == nil || strings.Contains(err.Error(), "hush") {
		t.Errorf("got %v; want an error without the password", err)
	}
}
