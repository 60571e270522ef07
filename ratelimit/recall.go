package ratelimit

import "time"

// A recollection is what is known of a subject before Redis is asked.
type recollection struct {
	denied []Status // Redis has denied the same a moment ago
	owes   bool     // Redis is to be told of what was granted without it
	floors []floor  // by policy; nil for none
}

// recall looks a subject up.
func (l *Limiter) recall(q *query, now int64) (known recollection) {
	s := l.memory.of(q.id)
	s.mu.Lock()
	defer s.mu.Unlock()
	x := s.subjects[q.id]
	if x == nil {
		return known
	}
	known.owes = x.owes()
	fault := l.faults[q.circuit].Load()
	for _, r := range q.rules {
		t := x.track(r)
		if t.denied(now, q.cost) && q.request == "" && !q.always {
			known.denied = x.statuses(q, now)
			return known
		}
		if len(q.rules) == 1 {
			q.until = t.certain(now, fault)
		}
	}
	known.floors = x.floors(q, now, fault)
	return known
}

// floors tells what Redis must have counted. Who counts without a script sees by that
// whether there is a counter.
func (x *subject) floors(q *query, now, fault int64) (floors []floor) {
	for i, r := range q.rules {
		if f := x.track(r).floor(now, fault); f.used > 0 && (f.always || !q.counts()) {
			if floors == nil {
				floors = make([]floor, len(q.rules))
			}
			floors[i] = f
		}
	}
	return floors
}

// lost is what is known of a counter that is not there, though its window has not ended.
func (l *Limiter) lost(q *query) recollection {
	s := l.memory.of(q.id)
	s.mu.Lock()
	defer s.mu.Unlock()
	x := s.subjects[q.id]
	if x == nil {
		return recollection{}
	}
	now := l.now()
	return recollection{floors: x.floors(q, now, now)}
}

// always reports whether there is a floor that holds whatever Redis has.
func (known recollection) always() bool {
	for _, f := range known.floors {
		if f.always {
			return true
		}
	}
	return false
}

// short reports whether there is something shorter than take.lua for a query.
func (q *query) short() bool { return len(q.rules) == 1 && q.request == "" }

// counts reports whether a query is counted without a script.
func (q *query) counts() bool { return q.short() && q.until > 0 && (q.cost == 1 || q.always) }

// statuses tells what is remembered of a subject that Redis has denied.
func (x *subject) statuses(q *query, now int64) []Status {
	each := make([]Status, len(q.rules))
	for i, r := range q.rules {
		t := x.track(r)
		reset := time.Duration(max(t.reset-now, 0))
		each[i] = r.status(t.spent(now), reset, 0, false)
		if t.denied(now, q.cost) {
			each[i].Denied, each[i].RetryAfter = true, max(reset, time.Millisecond)
			if r.Algorithm == GCRA {
				each[i].RetryAfter = max(time.Duration(t.deniedUntil-now), time.Millisecond)
			}
		}
	}
	return each
}
