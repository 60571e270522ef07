package feed

import (
	"context"
	"errors"
	"time"
)

// ErrGap means that changes may have been missed.
var ErrGap = errors.New("feed: interrupted")

// A Gap tells of a moment from which on the feed could not know all changes.
type Gap struct {
	Generation uint64
	At         time.Time
	Addr       string // the master; empty when it was more than one
	Err        error  // the reason
}

func (g Gap) String() string {
	if g.Addr == "" {
		return g.Err.Error()
	}
	return g.Addr + ": " + g.Err.Error()
}

// up notes that a tracker follows its master from now on. What was before is
// not known, so its slots are dirty.
func (f *Feed) up(t *tracker, c *conn) bool {
	f.mark(t)
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.trackers[t.addr] != t {
		return false // stopped meanwhile
	}
	t.conn = c
	f.since = time.Now()
	f.signal()
	return true
}

func (f *Feed) mark(t *tracker) {
	for _, r := range t.slots {
		f.dirty.MarkSlots(r.From, r.To)
	}
}

// down notes that a tracker has lost its master.
func (f *Feed) down(t *tracker, reason error) {
	f.mu.Lock()
	was := t.conn != nil && f.trackers[t.addr] == t
	t.conn = nil
	f.mu.Unlock()
	if was {
		f.mark(t)
		f.gap(t.addr, reason)
	}
	select {
	case f.kick <- struct{}{}:
	default:
	}
}

// flushed notes that all keys of a master have changed.
func (f *Feed) flushed(t *tracker) {
	f.mark(t)
	f.gap(t.addr, ErrFlushed)
}

// gap begins a new generation.
func (f *Feed) gap(addr string, reason error) {
	f.mu.Lock()
	f.generation++
	f.since = time.Now()
	g := Gap{Generation: f.generation, At: f.since, Addr: addr, Err: reason}
	f.last = g
	f.signal()
	f.mu.Unlock()
	if !errors.Is(reason, context.Canceled) { // the end of Run is no news
		f.log.Info("feed: gap", "addr", addr, "err", reason)
	}
	f.report(g)
}

// Unbroken says since when the feed has followed all masters without a gap,
// and the generation, which each gap raises. Where it does not follow all of
// them now, ok is false.
func (f *Feed) Unbroken() (since time.Time, generation uint64, ok bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.since, f.generation, f.whole()
}

// whole reports whether every master is followed. The caller holds the mutex.
func (f *Feed) whole() bool {
	if !f.known || len(f.trackers) == 0 || f.fatal != nil {
		return false
	}
	for _, t := range f.trackers {
		if t.conn == nil {
			return false
		}
	}
	return true
}

// LastGap returns the gap that began the present generation, if there was one,
// or why a master is not followed now.
func (f *Feed) LastGap() Gap {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, t := range f.trackers {
		if t.conn == nil && t.trouble != nil {
			return Gap{Generation: f.generation, At: f.last.At, Addr: t.addr, Err: t.trouble}
		}
	}
	return f.last
}
