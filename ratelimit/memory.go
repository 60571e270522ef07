package ratelimit

import (
	"sync"
	"sync/atomic"
	"time"
)

const (
	// shards keep callers out of each other's way.
	shards = 64
	// idle is how long a subject must have been left alone before another may take
	// its place: so a flood of made-up subjects never drives out those that are in use,
	// and has itself lost its places a minute later.
	idle = int64(time.Minute)
	// lookedAt is how many subjects are looked at for one that may go.
	lookedAt = 8
)

// An id is the hash of a subject.
type id [16]byte

// A memory is what an instance remembers of subjects. It never holds more than its
// bound.
type memory struct {
	perShard int
	shard    [shards]shard
	full     atomic.Int64 // times that there was no room

	mu   sync.Mutex
	owed map[id]struct{} // subjects of which Redis is to be told
	any  atomic.Bool     // whether there are any: most of the time there are none
}

type shard struct {
	mu       sync.Mutex
	subjects map[id]*subject
}

// A subject is one that was limited here.
type subject struct {
	tag     string // of its keys
	touched int64
	tracks  []track
	debt    *debt // what Redis is being told
}

func newMemory(subjects int) *memory {
	m := &memory{perShard: subjects / shards, owed: map[id]struct{}{}}
	for i := range m.shard {
		m.shard[i].subjects = map[id]*subject{}
	}
	return m
}

func (m *memory) of(k id) *shard { return &m.shard[k[0]%shards] }

// find returns a subject, which is made if it is unknown; nil if there is no room.
// The shard's lock is held.
func (m *memory) find(s *shard, q *query, now int64) *subject {
	x := s.subjects[q.id]
	if x == nil {
		if len(s.subjects) >= m.perShard && !s.evict(now) {
			m.full.Add(1)
			return nil
		}
		x = &subject{tag: q.tag, tracks: make([]track, 0, len(q.rules))}
		s.subjects[q.id] = x
	}
	x.touched = now
	return x
}

// evict makes room: it takes a subject of which nothing is left to know, or else one
// that was left alone. Go's maps begin anywhere, so that each gets its turn.
func (s *shard) evict(now int64) bool {
	n := 0
	var idlest id
	longest := idle
	for k, x := range s.subjects {
		if x.over(now) {
			delete(s.subjects, k)
			return true
		}
		if age := now - x.touched; age > longest && !x.owes() {
			idlest, longest = k, age
		}
		if n++; n == lookedAt {
			break
		}
	}
	if longest == idle {
		return false
	}
	delete(s.subjects, idlest)
	return true
}

// over reports whether a subject has everything free again.
func (x *subject) over(now int64) bool {
	for i := range x.tracks {
		if now < x.tracks[i].until() {
			return false
		}
	}
	return true
}

func (x *subject) owes() bool {
	if x.debt != nil {
		return true
	}
	for i := range x.tracks {
		if x.tracks[i].owed > 0 {
			return true
		}
	}
	return false
}

// track returns what is known of one policy.
func (x *subject) track(r *rule) *track {
	for i := range x.tracks {
		if x.tracks[i].rule == r {
			return &x.tracks[i]
		}
	}
	x.tracks = append(x.tracks, track{rule: r})
	return &x.tracks[len(x.tracks)-1]
}

// forget drops what is known of policies: they were reset.
func (m *memory) forget(q *query) {
	m.change(q, func(t *track) { *t = track{rule: t.rule} })
}

// refund forgets that units were used or denied.
func (m *memory) refund(q *query) {
	m.change(q, func(t *track) { t.used, t.deniedUntil = max(t.used-q.cost, 0), 0 })
}

func (m *memory) change(q *query, f func(*track)) {
	s := m.of(q.id)
	s.mu.Lock()
	defer s.mu.Unlock()
	if x := s.subjects[q.id]; x != nil {
		for _, r := range q.rules {
			f(x.track(r))
		}
	}
}

// owes notes that Redis is to be told of a subject. The shard's lock is held.
func (m *memory) owes(k id) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.owed[k] = struct{}{}
	m.any.Store(true)
}

// settled notes that Redis knows all of a subject, unless there is more by now. The
// shard's lock is held.
func (m *memory) settled(k id, x *subject) {
	if x != nil && x.owes() {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.owed, k)
	m.any.Store(len(m.owed) > 0)
}

// debtors returns the subjects of which Redis is to be told.
func (m *memory) debtors() []id {
	m.mu.Lock()
	defer m.mu.Unlock()
	list := make([]id, 0, len(m.owed))
	for k := range m.owed {
		list = append(list, k)
	}
	return list
}

// subjects returns how many are remembered.
func (m *memory) subjects() (n int) {
	for i := range m.shard {
		s := &m.shard[i]
		s.mu.Lock()
		n += len(s.subjects)
		s.mu.Unlock()
	}
	return n
}
