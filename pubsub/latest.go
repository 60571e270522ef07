package pubsub

import "container/list"

// graves is how many removed keys a topic remembers, for those who are a little
// behind. Who is further behind gets a snapshot.
const graves = 256

// latest keeps the last message of each key, the oldest first. So what somebody lacks
// who has seen number n is what stands behind n, whatever he has missed.
type latest struct {
	keys    map[string]*list.Element // of *message
	order   list.List
	removed int   // of the elements
	floor   int64 // up to this number removed keys are forgotten
}

func newLatest() *latest { return &latest{keys: map[string]*list.Element{}} }

func (l *latest) add(m *message) {
	if e := l.keys[m.key]; e != nil {
		l.drop(e)
	}
	l.keys[m.key] = l.order.PushBack(m)
	if !m.removed {
		return
	}
	l.removed++
	for e := l.order.Front(); l.removed > graves; {
		next := e.Next()
		if old := e.Value.(*message); old.removed {
			l.floor = old.seq
			l.drop(e)
		}
		e = next
	}
}

func (l *latest) drop(e *list.Element) {
	m := l.order.Remove(e).(*message)
	delete(l.keys, m.key)
	if m.removed {
		l.removed--
	}
}

// after calls f for the messages with a number above seq, by number, until it returns
// false.
func (l *latest) after(seq int64, f func(*message) bool) {
	first := l.order.Back()
	for first != nil && first.Value.(*message).seq > seq {
		first = first.Prev()
	}
	if first == nil {
		first = l.order.Front()
	} else {
		first = first.Next()
	}
	for e := first; e != nil && f(e.Value.(*message)); e = e.Next() {
	}
}
