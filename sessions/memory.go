package sessions

import (
	"container/list"
	"sync"
	"time"
)

// overhead is what a remembered session takes besides its values and user, in bytes:
// a little more than was measured.
const overhead = 400

// A memory holds the sessions that this process saw last, for an outage, and when
// they were touched. It is bounded in bytes; what was used longest ago goes first.
type memory struct {
	mu    sync.Mutex
	limit int
	used  int
	by    map[hash]*list.Element // of *memo
	order list.List              // latest first
}

type memo struct {
	id        hash
	rec       *record
	confirmed time.Time // when Redis answered
	touched   time.Time // when its idle time began anew
}

// ended stands for a session that has a tombstone: nothing brings it back, and no
// envelope speaks for it.
var ended = &record{}

func (o *memo) size() int { return overhead + len(o.rec.data) + len(o.rec.user) }

func newMemory(limit int) *memory { return &memory{limit: limit, by: map[hash]*list.Element{}} }

// keep remembers what Redis has just said. What has ended stays so: the word may be
// of before.
func (m *memory) keep(id hash, r *record, now time.Time, touched bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if e, ok := m.by[id]; ok {
		o := e.Value.(*memo)
		if o.rec == ended {
			return
		}
		m.used -= o.size()
		o.rec, o.confirmed = r, now
		if touched {
			o.touched = now
		}
		m.used += o.size()
		m.order.MoveToFront(e)
	} else {
		o := &memo{id: id, rec: r, confirmed: now, touched: now}
		m.by[id] = m.order.PushFront(o)
		m.used += o.size()
	}
	for m.used > m.limit && m.order.Len() > 0 {
		m.drop(m.order.Back())
	}
}

// drop is called with mu held.
func (m *memory) drop(e *list.Element) {
	o := m.order.Remove(e).(*memo)
	delete(m.by, o.id)
	m.used -= o.size()
}

func (m *memory) forget(id hash) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if e, ok := m.by[id]; ok && e.Value.(*memo).rec != ended {
		m.drop(e)
	}
}

// end remembers that a session has a tombstone.
func (m *memory) end(id hash) {
	m.forget(id)
	m.keep(id, ended, time.Now(), false)
}

// retire remembers that another id has replaced this one, if this one is known.
func (m *memory) retire(id hash) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if e, ok := m.by[id]; ok {
		if o := e.Value.(*memo); o.rec != ended {
			r := *o.rec
			r.retired = true
			o.rec, o.confirmed = &r, time.Now()
		}
	}
}

// recall returns a session, or ended, and when Redis confirmed it.
func (m *memory) recall(id hash) (*record, time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	e, ok := m.by[id]
	if !ok {
		return nil, time.Time{}
	}
	o := e.Value.(*memo)
	return o.rec, o.confirmed
}

// touched returns when a session's idle time began anew, as far as is known.
func (m *memory) touched(id hash) time.Time {
	m.mu.Lock()
	defer m.mu.Unlock()
	if e, ok := m.by[id]; ok {
		return e.Value.(*memo).touched
	}
	return time.Time{}
}

func (m *memory) figures() (sessions, bytes int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.order.Len(), m.used
}
