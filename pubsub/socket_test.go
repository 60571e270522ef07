package pubsub

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"
)

// A site serves a hub's sockets: who asks is the value of the header X-User, "banned"
// is denied, and topics that end in "secret" are forbidden.
type site struct {
	t   testing.TB
	h   *Hub
	s   *Handler
	url string
	srv *httptest.Server
}

func serve(t testing.TB, h *Hub, change ...func(*Sockets)) *site {
	t.Helper()
	o := Sockets{
		Identify: func(r *http.Request) (Peer, error) {
			switch user := r.Header.Get("X-User"); user {
			case "banned":
				return Peer{}, fmt.Errorf("%w: banned", ErrDenied)
			case "unknown":
				return Peer{}, errors.New("the store does not answer")
			default:
				return Peer{User: user, Session: r.Header.Get("X-Session")}, nil
			}
		},
		Authorize: func(_ context.Context, _ Peer, topic string) error {
			if strings.HasSuffix(topic, "secret") {
				return ErrDenied
			}
			return nil
		},
	}
	for _, f := range change {
		f(&o)
	}
	s, err := h.Handler(o)
	must(t, err)
	w := &site{t: t, h: h, s: s, srv: httptest.NewServer(s)}
	w.url = "ws" + strings.TrimPrefix(w.srv.URL, "http")
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), within)
		defer cancel()
		if err := s.Drain(ctx); err != nil {
			t.Errorf("drain: %v", err)
		}
		w.srv.Close()
	})
	return w
}

// A tab is a client of a site.
type tab struct {
	t    testing.TB
	ws   *websocket.Conn
	list []wire
}

// open opens a socket; pairs of words are headers.
func (w *site) open(headers ...string) *tab {
	w.t.Helper()
	ws, resp, err := w.dial(headers...)
	if err != nil {
		w.t.Fatalf("dial: %v, %+v", err, resp)
	}
	c := &tab{t: w.t, ws: ws}
	w.t.Cleanup(func() { _ = ws.Close() })
	if e := c.next(); e.Event != evHello || e.Beat == 0 {
		w.t.Fatalf("got %+v; want hello", e)
	}
	return c
}

func (w *site) dial(headers ...string) (*websocket.Conn, *http.Response, error) {
	head := http.Header{}
	for i := 0; i < len(headers); i += 2 {
		head.Set(headers[i], headers[i+1])
	}
	return websocket.DefaultDialer.Dial(w.url, head)
}

func (c *tab) send(text string) {
	c.t.Helper()
	must(c.t, c.ws.WriteMessage(websocket.TextMessage, []byte(text)))
}

func (c *tab) follow(topic, since string) {
	c.t.Helper()
	b, err := json.Marshal(map[string]string{"subscribe": topic, "since": since})
	must(c.t, err)
	c.send(string(b))
}

// next returns the next event but beats.
func (c *tab) next() wire {
	c.t.Helper()
	e, err := c.read()
	if err != nil {
		c.t.Fatalf("read: %v", err)
	}
	return e
}

func (c *tab) read() (e wire, err error) {
	for {
		for len(c.list) > 0 {
			e, c.list = c.list[0], c.list[1:]
			if e.Event != evBeat {
				return e, nil
			}
		}
		_ = c.ws.SetReadDeadline(time.Now().Add(within))
		_, text, err := c.ws.ReadMessage()
		if err != nil {
			return e, err
		}
		if err := json.Unmarshal(text, &c.list); err != nil {
			return e, fmt.Errorf("%s: %w", text, err)
		}
	}
}

// wants fails the test unless the next events are these.
func (c *tab) wants(want ...string) {
	c.t.Helper()
	for i, w := range want {
		if got := shortWire(c.next()); got != w {
			c.t.Fatalf("event %d: got %s; want %s", i, got, w)
		}
	}
}

func shortWire(e wire) string {
	switch e.Event {
	case "":
		return e.Key + "=" + string(e.Data)
	case evRemoved:
		return "-" + e.Key
	case evDenied:
		return e.Event + " " + e.Reason
	}
	return e.Event
}

// closes reads until the socket is closed, and fails the test unless by this code.
func (c *tab) closes(code int) {
	c.t.Helper()
	for {
		if _, err := c.read(); err != nil {
			var ce *websocket.CloseError
			if !errors.As(err, &ce) || ce.Code != code {
				c.t.Fatalf("got %v; want close code %d", err, code)
			}
			return
		}
	}
}

func TestSocket(t *testing.T) {
	t.Parallel()
	h, _ := mini(t)
	w := serve(t, h)
	publish(t, h, "pos:a", "truck", map[string]float64{"lat": 1.5})
	c := w.open()
	c.follow("pos:a", "")
	c.wants("subscribed", "snapshot", `truck={"lat":1.5}`)
	publish(t, h, "pos:a", "truck", 2)
	c.wants("truck=2")
	must(t, h.Remove(t.Context(), "pos:a", "truck"))
	c.wants("-truck")

	c.follow("chat:a", "")
	c.wants("subscribed")
	first := publish(t, h, "chat:a", "", "one")
	publish(t, h, "chat:a", "", "two")
	c.wants(`="one"`, `="two"`)
	c.send(`{"unsubscribe":"chat:a"}`)
	c.wants("unsubscribed")
	publish(t, h, "chat:a", "", "three")

	again := w.open()
	again.follow("chat:a", first.Pos)
	again.wants("subscribed", `="two"`, `="three"`)
	again.follow("chat:b", "nobody.9")
	again.wants("subscribed", "gap")
	again.follow("chat:c", "nonsense")
	again.wants("denied no such topic or position")
	again.follow("no-policy", "")
	again.wants("denied no such topic or position")
}

// What was followed and not changed is not sent again to who comes back at once.
func TestSocketResumesLatest(t *testing.T) {
	t.Parallel()
	h, _ := mini(t)
	w := serve(t, h)
	r := publish(t, h, "pos:a", "truck", 1)
	c := w.open()
	c.follow("pos:a", r.Pos)
	c.wants("subscribed")
	publish(t, h, "pos:a", "truck", 2)
	c.wants("truck=2")
	late := w.open()
	late.follow("pos:a", r.Pos)
	late.wants("subscribed", "snapshot", "truck=2")
}

func TestRefusedRequests(t *testing.T) {
	t.Parallel()
	h, _ := mini(t)
	w := serve(t, h, func(o *Sockets) { o.Origins = []string{"https://app.example"}; o.MaxPerUser = 1; o.MaxConns = 2 })
	refused := func(status int, headers ...string) {
		t.Helper()
		_, resp, err := w.dial(headers...)
		if err == nil || resp == nil || resp.StatusCode != status {
			t.Fatalf("%v: got %v, %+v; want %d", headers, err, resp, status)
		}
	}
	refused(http.StatusForbidden, "Origin", "https://evil.example")
	refused(http.StatusForbidden, "Origin", "https://app.example.evil.example")
	refused(http.StatusForbidden, "Origin", "http://app.example")
	refused(http.StatusForbidden, "Origin", "null")
	refused(http.StatusUnauthorized, "X-User", "banned")
	refused(http.StatusServiceUnavailable, "X-User", "unknown")
	w.open("Origin", "https://app.example", "X-User", "alice")
	refused(http.StatusTooManyRequests, "X-User", "alice")
	w.open("X-User", "bob")
	refused(http.StatusServiceUnavailable, "X-User", "carol")

	same := serve(t, h) // no list: the page's own origin
	if _, resp, err := same.dial("Origin", "https://evil.example"); err == nil || resp.StatusCode != http.StatusForbidden {
		t.Errorf("got %v; want 403", err)
	}
	same.open("Origin", same.srv.URL)
}

func TestMisbehaviour(t *testing.T) {
	t.Parallel()
	h, _ := mini(t)
	w := serve(t, h, func(o *Sockets) { o.MaxTopics = 2; o.MaxMessage = 512; o.Rate = 100 })
	innocent := w.open()
	innocent.follow("chat:a", "")
	innocent.wants("subscribed")
	for name, tt := range map[string]struct {
		do   func(c *tab)
		code int
	}{
		"a flood": {func(c *tab) {
			for range 300 {
				if c.ws.WriteMessage(websocket.TextMessage, []byte(`{"unsubscribe":"chat:a"}`)) != nil {
					return
				}
			}
		}, CloseFlood},
		"a flood of pings": {func(c *tab) {
			for range 300 {
				if c.ws.WriteControl(websocket.PingMessage, nil, time.Now().Add(within)) != nil {
					return
				}
			}
		}, CloseFlood},
		"a huge frame":     {func(c *tab) { c.send(`{"subscribe":"` + strings.Repeat("x", 1<<20) + `"}`) }, websocket.CloseMessageTooBig},
		"no JSON":          {func(c *tab) { c.send(`subscribe chat:a`) }, CloseMalformed},
		"no wish":          {func(c *tab) { c.send(`{}`) }, CloseMalformed},
		"two wishes":       {func(c *tab) { c.send(`{"subscribe":"chat:a","unsubscribe":"chat:a"}`) }, CloseMalformed},
		"a binary message": {func(c *tab) { must(c.t, c.ws.WriteMessage(websocket.BinaryMessage, []byte(`{"subscribe":"chat:a"}`))) }, CloseMalformed},
	} {
		t.Run(name, func(t *testing.T) {
			c := w.open()
			c.t = t
			tt.do(c)
			c.closes(tt.code)
		})
	}
	c := w.open()
	c.follow("pos:secret", "")
	c.wants("denied forbidden")
	c.follow("transload:kicks", "")
	c.wants("denied forbidden")
	c.follow("chat:1", "")
	c.follow("chat:2", "")
	c.follow("chat:3", "")
	var got []string
	for range 3 {
		got = append(got, shortWire(c.next()))
	}
	if text := strings.Join(got, ", "); strings.Count(text, "subscribed") != 2 || !strings.Contains(text, "denied too many topics") {
		t.Errorf("got %s; want two of three", text)
	}
	publish(t, h, "chat:a", "", "still here")
	innocent.wants(`="still here"`)
}

// Who asks and asks, and reads nothing, is sent away before the answers pile up.
func TestAnswersAreBounded(t *testing.T) {
	t.Parallel()
	h, _ := mini(t)
	w := serve(t, h, func(o *Sockets) { o.Rate = 1_000_000; o.MaxTopics = 2; o.Ping = within })
	c := w.open()
	var s *socket
	w.s.each(func(one *socket) { s = one })
	innocent := w.open()
	state := func() (noted int, why *ending) {
		s.mu.Lock()
		defer s.mu.Unlock()
		return s.noted, s.why
	}
	long := strings.Repeat("<", 3000) // six times as long in the answer
	_ = c.ws.SetWriteDeadline(time.Now().Add(within))
	for i := range 10_000 {
		if c.ws.WriteMessage(websocket.TextMessage, fmt.Appendf(nil, `{"subscribe":"%d%s"}`, i, long)) != nil {
			break
		}
		if noted, _ := state(); noted > 2*maxNotes {
			t.Fatalf("%d bytes of answers wait; want at most %d and a few more", noted, maxNotes)
		}
	}
	eventually(t, func() error {
		if _, why := state(); why != endFlood {
			return fmt.Errorf("got %+v; want a flood", why)
		}
		return nil
	})
	innocent.follow("chat:a", "")
	innocent.wants("subscribed")
}
