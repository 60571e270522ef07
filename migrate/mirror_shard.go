package migrate

import (
	"context"
	"sync"
	"time"
)

// An item is one key that waits to be copied.
type item struct {
	key   string
	seq   uint64 // the shard's number of its first try: see drain
	at    time.Time
	due   time.Time // not before; zero for at once
	tries uint8     // that the mirror refused this very key
}

// A shard is the queue of one worker: first come, first served, each key once.
type shard struct {
	room  int // keys
	bytes int // of names

	wake chan struct{} // 1: something to do, or hurry

	mu      sync.Mutex
	keys    map[string]struct{} // what waits
	used    int                 // bytes of names that wait
	queue   []item              // from head on
	head    int
	later   []item // refused, and to be tried again when they are due
	flight  []item // being copied
	seq     uint64
	tried   uint64 // every item up to this number has been tried once
	hurried bool   // a drain waits: no lingering, no back-off
}

func newShard(room, bytes int) *shard {
	return &shard{room: room, bytes: bytes, wake: make(chan struct{}, 1), keys: map[string]struct{}{}}
}

// add queues a key, and reports false if there is no room for it.
func (s *shard) add(key string, now time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, waits := s.keys[key]; waits {
		return true
	}
	if len(s.keys) >= s.room || s.used+len(key) > s.bytes {
		return false
	}
	s.seq++
	s.push(item{key: key, seq: s.seq, at: now})
	if len(s.queue)-s.head == 1 {
		s.signal()
	}
	return true
}

// list returns up to n keys that wait or are being copied, those that have waited
// longest first as far as the queue tells.
func (s *shard) list(n int) []item {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []item
	for _, part := range [][]item{s.flight, s.later, s.queue[s.head:]} {
		out = append(out, part[:min(len(part), n-len(out))]...)
	}
	return out
}

// push is mu held.
func (s *shard) push(it item) {
	if s.head > 1024 && s.head*2 > len(s.queue) { // most of it is behind the head
		n := copy(s.queue, s.queue[s.head:])
		clear(s.queue[n:])
		s.queue, s.head = s.queue[:n], 0
	}
	s.queue = append(s.queue, it)
	s.keys[it.key] = struct{}{}
	s.used += len(it.key)
}

func (s *shard) signal() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// take moves up to n keys that are due from the queue into flight.
func (s *shard) take(n int, now time.Time) []item {
	s.mu.Lock()
	defer s.mu.Unlock()
	kept := s.later[:0]
	for _, it := range s.later {
		if len(s.flight) < n && !it.due.After(now) {
			s.lift(it)
		} else {
			kept = append(kept, it)
		}
	}
	clear(s.later[len(kept):])
	s.later = kept
	for len(s.flight) < n && s.head < len(s.queue) {
		it := s.queue[s.head]
		s.queue[s.head] = item{}
		s.head++
		s.lift(it)
	}
	if s.head == len(s.queue) {
		s.queue, s.head = s.queue[:0], 0
	}
	return s.flight
}

func (s *shard) lift(it item) {
	delete(s.keys, it.key)
	s.used -= len(it.key)
	s.flight = append(s.flight, it)
}

// landed ends a flight. Items of back are queued again, unless they were marked
// anew meanwhile: those with a due time for then, the others for at once. It
// returns how many found no room.
func (s *shard) landed(back []item) (lost int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, it := range s.flight {
		s.tried = max(s.tried, it.seq)
	}
	s.flight = nil
	var first []item
	for _, it := range back {
		if _, waits := s.keys[it.key]; waits {
			continue
		}
		if len(s.keys) >= s.room || s.used+len(it.key) > s.bytes {
			lost++
			continue
		}
		s.keys[it.key] = struct{}{}
		s.used += len(it.key)
		if it.due.IsZero() {
			first = append(first, it)
		} else {
			s.later = append(s.later, it)
		}
	}
	if len(first) > 0 {
		s.queue = append(first, s.queue[s.head:]...)
		s.head = 0
	}
	return lost
}

// clear forgets everything: nothing is mirrored any more.
func (s *shard) clear() {
	s.mu.Lock()
	defer s.mu.Unlock()
	clear(s.keys)
	s.queue, s.head, s.later, s.flight, s.used = nil, 0, nil, nil, 0
	s.tried = s.seq
}

func (s *shard) pending(key string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, waits := s.keys[key]; waits {
		return true
	}
	for i := range s.flight {
		if s.flight[i].key == key {
			return true
		}
	}
	return false
}

func (s *shard) len() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.keys) + len(s.flight)
}

func (s *shard) oldest() (at time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	older := func(t time.Time) {
		if at.IsZero() || t.Before(at) {
			at = t
		}
	}
	if s.head < len(s.queue) {
		older(s.queue[s.head].at)
	}
	for i := range s.flight {
		older(s.flight[i].at)
	}
	for i := range s.later {
		older(s.later[i].at)
	}
	return at
}

// hurry ends lingering and back-off, and returns the number of the last key.
func (s *shard) hurry() uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.hurried = true
	s.signal()
	return s.seq
}

func (s *shard) reached(seq uint64) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.tried >= seq
}

// await waits until something is due, and a little longer if it is little. It
// reports false when ctx is done.
func (s *shard) await(ctx context.Context, lingering bool) bool {
	for {
		n, due := s.ready(time.Now())
		switch {
		case n > 0 && (n >= mirrorBatch/2 || !lingering || s.takeHurry()):
			return ctx.Err() == nil
		case n > 0:
			return pause(ctx, linger)
		}
		var timer <-chan time.Time
		if !due.IsZero() {
			timer = time.After(time.Until(due))
		}
		select {
		case <-ctx.Done():
			return false
		case <-s.wake:
		case <-timer:
		}
	}
}

// ready counts what can be taken, and tells when the next of the others is due.
func (s *shard) ready(now time.Time) (n int, due time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	n = len(s.queue) - s.head
	for i := range s.later {
		switch {
		case !s.later[i].due.After(now):
			n++
		case due.IsZero() || s.later[i].due.Before(due):
			due = s.later[i].due
		}
	}
	return n, due
}

func (s *shard) takeHurry() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	was := s.hurried
	s.hurried = false
	return was
}

// backOff waits for d, or until a drain asks for one more try.
func (s *shard) backOff(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
			return
		case <-s.wake:
			if s.takeHurry() {
				return
			}
		}
	}
}
