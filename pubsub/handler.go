package pubsub

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/gorilla/websocket"
)

// ErrDenied is what Identify, Valid and Authorize return when the answer is no. Any
// other error of theirs means that nobody can say.
var ErrDenied = errors.New("pubsub: denied")

// A Peer is who has a socket, as the app knows him.
type Peer struct {
	// User is counted against Sockets.MaxPerUser. "" is nobody in particular, and not
	// counted.
	User string
	// Session by which he is logged in: Hub.Disconnect ends its sockets. It is kept in
	// memory alone, and sent as a hash.
	Session string
}

// Sockets say who may have a socket, and what he may do with it. Zero fields mean the
// default.
type Sockets struct {
	// Identify says who sends a request: by his session's cookie, say. It is required.
	// ErrDenied answers 401, any other error 503.
	Identify func(*http.Request) (Peer, error)
	// Authorize says whether a peer may follow a topic; it is required. It is asked when
	// he subscribes and at each Recheck, and may take its time. ErrDenied ends the
	// subscription; with any other error a new one is refused, and an old one stays.
	Authorize func(ctx context.Context, p Peer, topic string) error
	// Valid says whether a peer's session still lives. It is asked when a socket has
	// begun and at each Recheck; ErrDenied closes the socket, any other error does not.
	// The default is always.
	Valid func(ctx context.Context, p Peer) error
	// Recheck is how often Valid and Authorize are asked again, at most 30m. The default
	// is 1m.
	Recheck time.Duration
	// Origins are those of the pages that may open sockets, such as
	// "https://app.example". A request without an Origin is no browser's, and is let in.
	// The default is the origin of the request itself.
	Origins []string
	// MaxConns bounds the sockets of the Handler. The default is 10,000.
	MaxConns int
	// MaxPerUser bounds those of one user in this process. The default is 20.
	MaxPerUser int
	// MaxTopics bounds the topics that a socket follows. The default is 100.
	MaxTopics int
	// MaxMessage bounds what a client sends at once, in bytes. The default is 4 KiB.
	MaxMessage int
	// Rate bounds the messages that a client sends in a second, pings among them; twice
	// as many may come at once. The default is 50.
	Rate int
	// Batch bounds what is written at once, in bytes: the one queue that a socket has
	// of its own. The default is 64 KiB.
	Batch int
	// Ping is how often a client is asked whether it is there, when it must have
	// answered, and by when it must have taken what is written. The default is 25s.
	Ping time.Duration
}

func (o Sockets) withDefaults() (Sockets, error) {
	setDefault(&o.Recheck, time.Minute)
	setDefault(&o.MaxConns, 10_000)
	setDefault(&o.MaxPerUser, 20)
	setDefault(&o.MaxTopics, 100)
	setDefault(&o.MaxMessage, 4<<10)
	setDefault(&o.Rate, 50)
	setDefault(&o.Batch, 64<<10)
	setDefault(&o.Ping, 25*time.Second)
	var f faults
	f.bad(o.Identify == nil, "Identify: is required: it says who sends a request")
	f.bad(o.Authorize == nil, "Authorize: is required: it says who may follow which topic")
	f.bad(o.Recheck < 10*time.Millisecond || o.Recheck > 30*time.Minute, "Recheck: %v is not between 10ms and 30m", o.Recheck)
	f.bad(o.MaxConns < 1, "MaxConns: %d is under 1", o.MaxConns)
	f.bad(o.MaxPerUser < 1, "MaxPerUser: %d is under 1", o.MaxPerUser)
	f.bad(o.MaxTopics < 1, "MaxTopics: %d is under 1", o.MaxTopics)
	f.bad(o.MaxMessage < 64 || o.MaxMessage > 64<<10, "MaxMessage: %d is not between 64 and 65536 bytes", o.MaxMessage)
	f.bad(o.Rate < 1, "Rate: %d is under 1", o.Rate)
	f.bad(o.Batch < 1024, "Batch: %d is under 1 KiB", o.Batch)
	f.bad(o.Ping < 50*time.Millisecond, "Ping: %v is under 50ms", o.Ping)
	for _, origin := range o.Origins {
		u, err := url.Parse(origin)
		f.bad(err != nil || u.Scheme == "" || u.Host == "" || u.Path != "" || origin != strings.ToLower(origin),
			"Origins: %q is not of the form https://app.example: no path, no *, lower case", origin)
	}
	return o, f.err
}

// refusals are why a request gets no socket, as the label "reason" has it.
var refusals = []string{"draining", "origin", "denied", "unavailable", "full", "user", "handshake"}

// A Handler serves sockets to browsers. It is made by Hub.Handler.
type Handler struct {
	h        *Hub
	o        Sockets
	upgrader websocket.Upgrader
	wg       sync.WaitGroup

	mu       sync.Mutex
	open     map[*socket]bool
	users    map[string]int
	draining bool
}

// Handler makes an http.Handler that turns requests into WebSockets, on which clients
// follow topics; Client has the browser's half. Before the server is shut down, call
// Drain: http.Server does not know of sockets.
func (h *Hub) Handler(o Sockets) (*Handler, error) {
	o, err := o.withDefaults()
	if err != nil {
		return nil, err
	}
	s := &Handler{h: h, o: o, open: map[*socket]bool{}, users: map[string]int{}}
	s.upgrader = websocket.Upgrader{HandshakeTimeout: o.Ping, ReadBufferSize: 512, WriteBufferSize: 4 << 10, WriteBufferPool: &sync.Pool{},
		CheckOrigin: func(*http.Request) bool { return true }} // it has been checked
	h.mu.Lock()
	defer h.mu.Unlock()
	h.handlers[s] = true
	return s, nil
}

// ServeHTTP serves one socket until it ends.
func (s *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	refuse := func(reason string, status int) {
		s.h.meter.refused[reason].Inc()
		if status == http.StatusServiceUnavailable {
			w.Header().Set("Retry-After", "2")
		}
		http.Error(w, http.StatusText(status), status)
	}
	if !s.allowed(r) {
		refuse("origin", http.StatusForbidden)
		return
	}
	peer, err := s.o.Identify(r)
	switch {
	case errors.Is(err, ErrDenied):
		refuse("denied", http.StatusUnauthorized)
		return
	case err != nil:
		refuse("unavailable", http.StatusServiceUnavailable)
		return
	}
	c := newSocket(s, peer)
	if reason, status := s.admit(c); reason != "" {
		refuse(reason, status)
		return
	}
	defer s.remove(c)
	ws, err := s.upgrader.Upgrade(w, r, nil)
	if err != nil { // it has answered
		s.h.meter.refused["handshake"].Inc()
		return
	}
	c.serve(context.WithoutCancel(r.Context()), ws) // a hijacked request's context ends with the handler, and this is it
}

// allowed reports whether a page of the request's origin may open sockets.
func (s *Handler) allowed(r *http.Request) bool {
	origin := r.Header.Get("Origin")
	if origin == "" {
		return len(r.Header.Values("Origin")) == 0
	}
	if len(s.o.Origins) > 0 {
		return slices.Contains(s.o.Origins, strings.ToLower(origin))
	}
	u, err := url.Parse(origin)
	return err == nil && u.Host != "" && strings.EqualFold(u.Host, r.Host)
}

// admit enters a socket, if there is room.
func (s *Handler) admit(c *socket) (reason string, status int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch user := c.peer.User; {
	case s.draining:
		return "draining", http.StatusServiceUnavailable
	case len(s.open) >= s.o.MaxConns:
		return "full", http.StatusServiceUnavailable
	case user != "" && s.users[user] >= s.o.MaxPerUser:
		return "user", http.StatusTooManyRequests
	}
	s.open[c] = true
	s.users[c.peer.User]++
	s.wg.Add(1)
	return "", 0
}

func (s *Handler) remove(c *socket) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.open, c)
	if s.users[c.peer.User]--; s.users[c.peer.User] == 0 {
		delete(s.users, c.peer.User)
	}
	s.wg.Done()
}

// count returns how many sockets are open.
func (s *Handler) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.open)
}

// each calls f for every socket.
func (s *Handler) each(f func(*socket)) {
	s.mu.Lock()
	list := make([]*socket, 0, len(s.open))
	for c := range s.open {
		list = append(list, c)
	}
	s.mu.Unlock()
	for _, c := range list {
		f(c)
	}
}

// Drain refuses new sockets, closes those there are with 1001, which has clients come
// back, to another process, and waits until they have ended. So that not all come
// back at once, it takes 5ms over each, but for all together half of the time that ctx
// leaves it, and 5s at most.
func (s *Handler) Drain(ctx context.Context) error {
	s.mu.Lock()
	s.draining = true
	n := len(s.open)
	s.mu.Unlock()
	spread := min(5*time.Second, time.Duration(n)*5*time.Millisecond)
	if end, ok := ctx.Deadline(); ok {
		spread = min(spread, time.Until(end)/2)
	}
	began := time.Now()
	i := 0
	s.each(func(c *socket) {
		i++
		if wait := spread*time.Duration(i)/time.Duration(n+1) - time.Since(began); wait > 10*time.Millisecond {
			pause(ctx, wait)
		}
		c.end(endShutdown)
	})
	done := make(chan struct{})
	go func() { s.wg.Wait(); close(done) }() // ends when the sockets have, which is bounded
	select {
	case <-done:
		s.h.mu.Lock()
		delete(s.h.handlers, s)
		s.h.mu.Unlock()
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
