package ratelimit

import (
	"time"
)

// again is when a caller who was denied for want of Redis may try again: by then the
// breaker has let someone through to see.
const again = time.Second

// decide decides without Redis. uncounted says that Redis has certainly not counted
// what was asked.
func (l *Limiter) decide(q *query, uncounted bool) Decision {
	now := l.now()
	s := l.memory.of(q.id)
	s.mu.Lock()
	defer s.mu.Unlock()
	x := l.memory.find(s, q, now)
	n := l.instances()
	d := decided(FromOutage, l.without(q, x, now, n))
	if d.Allowed && x != nil {
		for i, r := range q.rules {
			t := x.track(r)
			t.grant(now, q.cost, n)
			d.Each[i].Remaining -= q.cost
			if uncounted {
				t.owed += q.cost
			}
		}
		d.Remaining -= q.cost
		if uncounted {
			l.memory.owes(q.id)
		}
	}
	return d
}

// foresee is decide for Peek.
func (l *Limiter) foresee(q *query) Decision {
	s := l.memory.of(q.id)
	s.mu.Lock()
	defer s.mu.Unlock()
	now := l.now()
	return decided(FromOutage, l.without(q, l.memory.find(s, q, now), now, l.instances()))
}

// without says what each policy says while Redis does not. The subject is nil if
// there is no room for it: nobody would count what it is granted.
func (l *Limiter) without(q *query, x *subject, now int64, instances int) []Status {
	each := make([]Status, len(q.rules))
	for i, r := range q.rules {
		st := Status{Policy: r.Name, Limit: r.most, Per: r.Per, Remaining: r.most}
		switch {
		case r.OnOutage == Allow:
		case r.OnOutage == Deny || x == nil:
			st.Remaining, st.RetryAfter, st.Denied = 0, again, true
		default:
			t := x.track(r)
			st.Remaining, st.RetryAfter = t.room(now, q.cost, instances)
			st.Denied = st.Remaining < q.cost
			st.ResetAfter = time.Duration(max(t.until()-now, 0))
		}
		each[i] = st
	}
	return each
}
