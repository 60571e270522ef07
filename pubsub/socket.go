package pubsub

import (
	"context"
	"errors"
	"io"
	"maps"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gorilla/websocket"
)

const (
	// closeWithin bounds how long a client may take over the farewell.
	closeWithin = time.Second

	// maxNotes bounds the answers that wait for a client, in bytes: who asks and asks,
	// and reads nothing, would have them pile up until Sockets.Ping is over.
	maxNotes = 64 << 10
)

// errFlood means that a client sent more than Sockets.Rate allows.
var errFlood = errors.New("too many messages")

// A socket is one client's. What it reads is done by the goroutine of its request;
// another one writes; each subscription that waits has one until it is there.
type socket struct {
	s      *Handler
	h      *Hub
	peer   Peer
	who    kick // the same as hashes
	ws     *websocket.Conn
	signal chan struct{} // 1: there is something to write
	doubts chan struct{} // 1: ask whether the peer may be here
	ended  chan struct{} // closed when the socket is to end
	wg     sync.WaitGroup

	mu      sync.Mutex
	topics  map[string]*seat
	dirty   []*follow // have something to be fetched
	notes   [][]byte  // to be written first
	noted   int       // bytes of notes
	why     *ending
	trouble bool // what is shown may be old: look
}

// A seat is a topic that a socket follows, or is about to.
type seat struct {
	part   *partition
	f      atomic.Pointer[follow] // nil until it is there
	cancel context.CancelFunc
}

func newSocket(s *Handler, p Peer) *socket {
	return &socket{s: s, h: s.h, peer: p, who: kickOf(p), signal: make(chan struct{}, 1), doubts: make(chan struct{}, 1), ended: make(chan struct{}), topics: map[string]*seat{}}
}

// serve runs the socket until it has ended.
func (c *socket) serve(ctx context.Context, ws *websocket.Conn) {
	ctx, cancel := context.WithCancel(ctx)
	c.mu.Lock()
	c.ws = ws
	c.mu.Unlock()
	c.note(wire{Event: evHello, Beat: c.s.o.Ping.Milliseconds()})
	said := make(chan struct{})
	c.wg.Go(func() { defer close(said); c.write(ctx) })
	c.end(c.read(ctx))
	<-said
	c.hangUp()
	cancel()
	c.wg.Wait()
	c.mu.Lock()
	topics := c.topics
	c.topics = nil
	c.mu.Unlock()
	for _, at := range topics {
		if f := at.f.Load(); f != nil {
			c.h.unfollow(f)
		}
	}
	c.h.meter.closed[c.why.name].Inc()
}

// end has the socket closed, for the first reason that is given: the writer says
// farewell, and whatever hangs is cut off soon after.
func (c *socket) end(why *ending) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.why != nil {
		return
	}
	c.why = why
	close(c.ended)
	if ws := c.ws; ws != nil {
		_ = ws.SetReadDeadline(time.Now().Add(closeWithin))
		time.AfterFunc(3*closeWithin, func() { _ = ws.Close() })
	}
}

// hangUp closes the connection once the client has heard the farewell, or had the time
// to: what he still sends must be read, else the system throws away what was sent to
// him.
func (c *socket) hangUp() {
	defer func() { _ = c.ws.Close() }()
	if c.why.code > 0 {
		_ = c.ws.SetReadDeadline(time.Now().Add(closeWithin))
		_, _ = io.Copy(io.Discard, io.LimitReader(c.ws.NetConn(), 4<<20))
	}
}

// read takes wishes until the client leaves or has to.
func (c *socket) read(ctx context.Context) *ending {
	o := c.s.o
	alive := func() { _ = c.ws.SetReadDeadline(time.Now().Add(2 * o.Ping)) }
	c.ws.SetReadLimit(int64(o.MaxMessage))
	rate := newBucket(o.Rate)
	c.ws.SetPingHandler(rate.limit(c.ws.PingHandler()))
	c.ws.SetPongHandler(rate.limit(func(string) error { alive(); return nil }))
	for {
		alive()
		kind, text, err := c.ws.ReadMessage()
		switch {
		case errors.Is(err, errFlood):
			return endFlood
		case errors.Is(err, websocket.ErrReadLimit):
			return endHuge
		case websocket.IsCloseError(err, websocket.CloseNormalClosure, websocket.CloseGoingAway, websocket.CloseNoStatusReceived):
			return endLeft
		case err != nil:
			return endGone
		case !rate.take() || c.behind():
			return endFlood
		}
		w, err := parseWish(text)
		if err != nil || kind != websocket.TextMessage {
			return endMalformed
		}
		if w.Subscribe != "" {
			c.subscribe(ctx, w.Subscribe, w.Since)
		} else {
			c.unsubscribe(w.Unsubscribe, wire{Event: evUnsubscribed, Topic: w.Unsubscribe})
		}
	}
}

// subscribe begins to follow a topic, off the reader's path. A topic that is followed
// already is begun anew: its client has forgotten it.
func (c *socket) subscribe(ctx context.Context, topic, since string) {
	c.unsubscribe(topic, wire{})
	ctx, cancel := context.WithCancel(ctx)
	at := &seat{part: c.h.partOf(topic), cancel: cancel}
	c.mu.Lock()
	room := len(c.topics) < c.s.o.MaxTopics
	if room {
		c.topics[topic] = at
		c.trouble = true
		c.poke()
	}
	c.mu.Unlock()
	if !room {
		cancel()
		c.note(wire{Event: evDenied, Topic: topic, Reason: "too many topics"})
		return
	}
	c.wg.Go(func() {
		if reason := c.begin(ctx, at, topic, since); reason != "" {
			c.drop(topic, at, wire{Event: evDenied, Topic: topic, Reason: reason})
		}
	})
}

// begin follows a topic, or returns why not.
func (c *socket) begin(ctx context.Context, at *seat, topic, since string) (reason string) {
	if err := notOurs(topic); err != nil {
		return "forbidden"
	}
	if err := c.s.o.Authorize(ctx, c.peer, topic); errors.Is(err, ErrDenied) {
		return "forbidden"
	} else if err != nil {
		return "try again"
	}
	f, err := c.h.follow(ctx, c, topic, since)
	switch {
	case errors.Is(err, ErrTopic):
		return "no such topic or position"
	case err != nil:
		return "try again"
	}
	if !c.sit(ctx, at, f) {
		c.h.unfollow(f) // it was given up meanwhile
	}
	return ""
}

// sit has a follow heard of by the client, unless its seat was given up meanwhile.
func (c *socket) sit(ctx context.Context, at *seat, f *follow) bool {
	topic, pos := f.t.name, f.here()
	c.mu.Lock()
	defer c.mu.Unlock()
	if ctx.Err() != nil || c.topics[topic] != at {
		return false
	}
	at.f.Store(f)
	c.say(wire{Event: evSubscribed, Topic: topic, Pos: pos})
	c.dirty = append(c.dirty, f)
	return true
}

// unsubscribe ends a subscription, if there is one, and says so.
func (c *socket) unsubscribe(topic string, say wire) {
	c.mu.Lock()
	at := c.topics[topic]
	c.mu.Unlock()
	if at != nil {
		c.drop(topic, at, say)
	}
}

func (c *socket) drop(topic string, at *seat, say wire) {
	at.cancel()
	c.mu.Lock()
	mine := c.topics[topic] == at
	if mine {
		delete(c.topics, topic)
	}
	f := at.f.Load()
	c.mu.Unlock()
	if !mine {
		return
	}
	if f != nil {
		c.h.unfollow(f)
	}
	if say.Event != "" {
		c.note(say)
	}
}

// note has an event written.
func (c *socket) note(w wire) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.say(w)
}

// say is note with mu held.
func (c *socket) say(w wire) {
	text := w.encode()
	c.notes = append(c.notes, text)
	c.noted += len(text)
	c.poke()
}

// behind reports whether too many answers wait.
func (c *socket) behind() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.noted > maxNotes
}

// wake implements sink: it is called with the topic locked.
func (c *socket) wake(f *follow) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.dirty = append(c.dirty, f)
	c.poke()
}

// lookAtAge has the writer look whether what the client shows is old.
func (c *socket) lookAtAge() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.trouble = true
	c.poke()
}

// doubtPeer has the peer asked for before it is time.
func (c *socket) doubtPeer() {
	select {
	case c.doubts <- struct{}{}:
	default:
	}
}

func (c *socket) poke() {
	select {
	case c.signal <- struct{}{}:
	default:
	}
}

// seats returns what the socket follows, or is about to.
func (c *socket) seats() map[string]*seat {
	c.mu.Lock()
	defer c.mu.Unlock()
	return maps.Clone(c.topics)
}
