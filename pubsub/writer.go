package pubsub

import (
	"bytes"
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/gorilla/websocket"
)

// write writes what there is for the client until the socket ends.
func (c *socket) write(ctx context.Context) {
	o := c.s.o
	ping := time.NewTicker(o.Ping)
	defer ping.Stop()
	first := o.Recheck
	if o.Valid != nil {
		first = 0 // the session may have ended between Identify and now
	}
	recheck := time.NewTimer(first)
	defer recheck.Stop()
	look := time.NewTimer(time.Hour)
	defer look.Stop()
	var degraded time.Time // when the client was last told, zero if it need not know
	for {
		select {
		case <-c.ended:
			c.farewell()
			return
		case <-c.h.ended:
			c.end(endShutdown)
			continue
		case <-c.signal:
		case <-look.C:
			c.lookAtAge()
		case <-ping.C:
			c.note(wire{Event: evBeat})
			_ = c.ws.WriteControl(websocket.PingMessage, nil, time.Now().Add(closeWithin))
		case <-c.doubts:
			recheck.Reset(0)
			continue
		case <-recheck.C:
			recheck.Reset(o.Recheck*3/4 + rand.N(o.Recheck/4))
			c.wg.Go(func() { c.recheck(ctx) })
		}
		if again := c.tellAge(&degraded); again > 0 {
			look.Reset(again)
		}
		if why := c.flush(); why != nil {
			c.end(why)
		}
	}
}

// tellAge tells the client when what it shows is old, and when no more: then it has
// been written before what was missed. It returns when to look again.
func (c *socket) tellAge(told *time.Time) time.Duration {
	c.mu.Lock()
	look := c.trouble
	c.trouble = false
	c.mu.Unlock()
	if !look {
		return 0
	}
	silence := c.h.opt.Silence
	bad, age := false, time.Duration(0)
	for _, at := range c.seats() {
		if f := at.f.Load(); at.part.deaf.Load() || f != nil && f.t.degraded() {
			bad, age = true, max(age, c.h.age(at.part))
		}
	}
	switch {
	case bad && time.Since(*told) >= silence:
		*told = time.Now()
		c.note(wire{Event: evDegraded, Age: max(age.Milliseconds(), 1)})
	case !bad && !told.IsZero():
		*told = time.Time{}
		if why := c.flush(); why != nil {
			c.end(why)
		}
		c.note(wire{Event: evLive})
	}
	if bad {
		return silence / 4
	}
	return 0
}

// buffers are for what is being written.
var buffers = sync.Pool{New: func() any { return new(bytes.Buffer) }}

// flush writes until there is nothing left, or returns why the socket has to end.
func (c *socket) flush() *ending {
	buf := buffers.Get().(*bytes.Buffer)
	defer buffers.Put(buf)
	for {
		c.mu.Lock()
		notes, dirty, over := c.notes, c.dirty, c.why != nil
		c.notes, c.noted, c.dirty = nil, 0, nil
		c.mu.Unlock()
		if over || len(notes)+len(dirty) == 0 {
			return nil
		}
		buf.Reset()
		for _, n := range notes {
			c.add(buf, n)
		}
		rest, err := c.fetch(buf, dirty)
		if err != nil {
			return endSlow
		}
		if buf.Len() > 0 {
			buf.WriteByte(']')
			_ = c.ws.SetWriteDeadline(time.Now().Add(c.s.o.Ping))
			if err := c.ws.WriteMessage(websocket.TextMessage, buf.Bytes()); err != nil {
				return endGone
			}
			c.h.meter.sentBytes.Add(float64(buf.Len()))
		}
		if len(rest) > 0 {
			c.mu.Lock()
			c.dirty = append(rest, c.dirty...)
			c.mu.Unlock()
		}
	}
}

// add begins an array, or goes on with it.
func (c *socket) add(buf *bytes.Buffer, element []byte) {
	if buf.Len() == 0 {
		buf.WriteByte('[')
	} else {
		buf.WriteByte(',')
	}
	buf.Write(element)
}

// fetch adds what there is in topics, each in its turn, and returns those that have
// more.
func (c *socket) fetch(buf *bytes.Buffer, dirty []*follow) (rest []*follow, err error) {
	room, n := c.s.o.Batch, 0
	for i, f := range dirty {
		if buf.Len() >= room {
			rest = append(dirty[i:len(dirty):len(dirty)], rest...)
			break
		}
		items, more, err := f.fetch(room - buf.Len())
		for _, it := range items {
			switch it.what {
			case Published:
				c.add(buf, it.m.json())
				n++
			case Snapshot:
				c.add(buf, wire{Event: evSnapshot, Topic: f.t.name, Pos: it.pos}.encode())
				c.h.meter.snapshots.Inc()
			case Gap:
				c.add(buf, wire{Event: evGap, Topic: f.t.name, Pos: it.pos}.encode())
				c.h.meter.gaps.Inc()
			}
		}
		if err != nil {
			return nil, err
		}
		if more {
			rest = append(rest, f)
		}
	}
	c.h.meter.sent.Add(float64(n))
	return rest, nil
}

// farewell tells the client why the socket ends.
func (c *socket) farewell() {
	c.mu.Lock()
	why := c.why
	c.mu.Unlock()
	if why.code > 0 {
		text := websocket.FormatCloseMessage(why.code, why.text)
		_ = c.ws.WriteControl(websocket.CloseMessage, text, time.Now().Add(closeWithin))
	}
}

// recheck asks again whether the peer may be here, and follow what he follows. Nobody
// being able to say is no reason to end anything.
func (c *socket) recheck(ctx context.Context) {
	if valid := c.s.o.Valid; valid != nil && errors.Is(valid(ctx, c.peer), ErrDenied) {
		c.end(endRevoked)
		return
	}
	for topic, at := range c.seats() {
		if at.f.Load() != nil && errors.Is(c.s.o.Authorize(ctx, c.peer, topic), ErrDenied) {
			c.drop(topic, at, wire{Event: evDenied, Topic: topic, Reason: "forbidden"})
		}
	}
}
