package pubsub

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gorilla/websocket"
)

// A revoked session's sockets are closed in every process; others' are not.
func TestDisconnect(t *testing.T) {
	t.Parallel()
	h, s := mini(t)
	other := hubOn(t, miniClient(t, s), policies())
	here, there := serve(t, h), serve(t, other)
	_ = subscribe(t, other, "chat:a", "") // its own topic is followed by now, or will be
	eventually(t, func() error {
		if other.followed() < 2 || h.followed() < 1 {
			return errors.New("a hub does not follow its own topic yet")
		}
		return nil
	})
	for _, hub := range []*Hub{h, other} {
		k := hub.partOf(kicks.Prefix).find(kicks.Prefix)
		<-k.loaded
	}
	a1, a2 := here.open("X-User", "alice", "X-Session", "s1"), there.open("X-User", "alice", "X-Session", "s1")
	a3, b := there.open("X-User", "alice", "X-Session", "s2"), there.open("X-User", "bob", "X-Session", "s3")
	must(t, h.Disconnect(t.Context(), Peer{User: "alice", Session: "s1"}))
	a1.closes(websocket.ClosePolicyViolation)
	a2.closes(websocket.ClosePolicyViolation)
	a3.follow("chat:a", "")
	a3.wants("subscribed")
	must(t, other.Disconnect(t.Context(), Peer{User: "alice"}))
	a3.closes(websocket.ClosePolicyViolation)
	b.follow("chat:a", "")
	b.wants("subscribed")
	if err := h.Disconnect(t.Context(), Peer{}); err == nil {
		t.Error("got no error; want that somebody must be named")
	}
}

// Who may not be there any more goes at the next look; that nobody can say is no
// reason.
func TestRecheck(t *testing.T) {
	t.Parallel()
	h, _ := mini(t)
	var state atomic.Value
	state.Store("")
	w := serve(t, h, func(o *Sockets) {
		o.Recheck = 20 * time.Millisecond
		o.Valid = func(_ context.Context, p Peer) error {
			if state.Load() == "revoked" {
				return fmt.Errorf("%w: %s", ErrDenied, "logged out")
			}
			if state.Load() == "away" {
				return errors.New("the store does not answer")
			}
			return nil
		}
		o.Authorize = func(_ context.Context, _ Peer, topic string) error {
			if topic == "chat:a" && state.Load() == "not a" {
				return ErrDenied
			}
			return nil
		}
	})
	c := w.open()
	c.follow("chat:a", "")
	c.wants("subscribed")
	c.follow("chat:b", "")
	c.wants("subscribed")
	state.Store("away")
	time.Sleep(60 * time.Millisecond)
	publish(t, h, "chat:a", "", 1)
	c.wants("=1")
	state.Store("not a")
	c.wants("denied forbidden")
	publish(t, h, "chat:a", "", 2)
	publish(t, h, "chat:b", "", 3)
	c.wants("=3")
	state.Store("revoked")
	c.closes(websocket.ClosePolicyViolation)
	if n := w.s.count(); n > 1 {
		t.Errorf("got %d sockets; want none", n)
	}
}

// Drain closes sockets with a code that has them come back, and lets in nobody.
func TestDrain(t *testing.T) {
	t.Parallel()
	h, _ := mini(t)
	w := serve(t, h)
	var tabs []*tab
	for range 10 {
		tabs = append(tabs, w.open())
	}
	ctx, cancel := context.WithTimeout(t.Context(), within)
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- w.s.Drain(ctx) }()
	for _, c := range tabs {
		c.closes(websocket.CloseGoingAway)
	}
	must(t, <-done)
	if _, resp, err := w.dial(); err == nil || resp.StatusCode != http.StatusServiceUnavailable || resp.Header.Get("Retry-After") == "" {
		t.Errorf("got %v, %+v; want 503", err, resp)
	}
}

// When the Hub ends, so do its sockets and subscriptions.
func TestEnd(t *testing.T) {
	t.Parallel()
	_, s := mini(t)
	h, err := New(miniClient(t, s), policies(), patient())
	must(t, err)
	stop := run(t, h)
	w := serve(t, h)
	c, sub := w.open(), subscribe(t, h, "chat:a", "")
	c.follow("chat:a", "")
	c.wants("subscribed")
	stop()
	c.closes(websocket.CloseGoingAway)
	if _, err := sub.Next(t.Context()); !errors.Is(err, ErrClosed) {
		t.Errorf("got %v; want ErrClosed", err)
	}
	if _, err := h.Subscribe(t.Context(), "chat:b", ""); !errors.Is(err, ErrClosed) {
		t.Errorf("got %v; want ErrClosed", err)
	}
	if err := h.Run(t.Context()); err == nil {
		t.Error("got no error; want that Run may be called once")
	}
}

// A client that reads nothing is cut off when it has not taken what was written in
// time; others get everything meanwhile.
func TestSlowSocket(t *testing.T) {
	t.Parallel()
	h, _ := mini(t, func(o *Options) { o.MaxValue = 64 << 10 })
	w := serve(t, h, func(o *Sockets) { o.Ping = 3 * time.Second })
	slow, quick := w.open(), w.open()
	slow.follow("chat:a", "")
	quick.follow("chat:a", "")
	slow.wants("subscribed")
	quick.wants("subscribed")
	value := string(make([]byte, 5000)) // some 30 KiB as JSON
	gone := func() bool { return w.s.count() < 2 }
	got := 0
	for i := 0; !gone(); i++ {
		if i > 20_000 {
			t.Fatal("the slow client is still there")
		}
		publish(t, h, "chat:a", "", value)
		if e := quick.next(); e.Event != "" {
			t.Fatalf("got %+v; want a message", e)
		}
		got++
	}
	t.Logf("the quick client got %d messages while the slow one was there", got)
}
