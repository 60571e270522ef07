package pubsub

import (
	"slices"
	"sync"
	"time"
)

// maxEarly bounds the messages that wait for those before them. What is dropped is
// loaded.
const maxEarly = 1024

// A topic is what this process knows of a topic that somebody here follows.
type topic struct {
	name   string
	key    string // in Redis
	policy *Topic
	part   *partition
	refs   int // guarded by part.mu

	mu      sync.Mutex
	line    []span // the present one is the last; none before the topic was loaded
	seq     int64  // of the last message that was taken
	fresh   bool   // nothing may have been missed, as far as is known
	loaded  chan struct{}
	ring    ring             // not for Latest
	latest  *latest          // for Latest
	early   []*message       // came before those before them
	follows map[*follow]bool // who is to be told
	queued  bool             // to be loaded
	loading bool             // what is missing is on its way
	late    *time.Timer      // loads it if what is missing does not come
}

func newTopic(name, key string, policy *Topic, part *partition) *topic {
	t := &topic{name: name, key: key, policy: policy, part: part, loaded: make(chan struct{}), follows: map[*follow]bool{},
		ring: ring{most: policy.History, limit: policy.Bytes}}
	if policy.Delivery == Latest {
		t.latest = newLatest()
	}
	return t
}

func (t *topic) epoch() string {
	if len(t.line) == 0 {
		return ""
	}
	return t.line[len(t.line)-1].epoch
}

// A fate is what became of a message that arrived.
type fate uint8

const (
	taken   fate = iota
	repeat       // it was there before: another side, another subscription
	stale        // of a line that has ended: a server that does not know it yet
	tooSoon      // something before it is missing
	fates
)

var fateNames = [fates]string{"taken", "repeated", "stale", "early"}

// arrive takes a message that was heard. What is too soon waits for what is missing.
func (t *topic) arrive(m *message) fate {
	t.mu.Lock()
	defer t.mu.Unlock()
	f := t.judge(m)
	switch f {
	case taken:
		t.take(m)
		t.takeEarly()
		t.tell()
	case tooSoon:
		if len(t.early) == maxEarly {
			t.early = slices.Delete(t.early, 0, maxEarly/2)
		}
		t.early = append(t.early, m)
	}
	return f
}

func (t *topic) judge(m *message) fate {
	switch i := find(t.line, m.epoch); {
	case i < 0:
		return tooSoon // of a line that this process has not heard of
	case i < len(t.line)-1:
		return stale
	case m.seq <= t.seq:
		return repeat
	case m.seq == t.seq+1:
		return taken
	}
	return tooSoon
}

func (t *topic) take(m *message) {
	t.seq = m.seq
	if t.latest != nil {
		t.latest.add(m)
	} else {
		t.ring.add(m)
	}
}

// takeEarly takes what has waited and is next, and forgets what is of no use.
func (t *topic) takeEarly() {
	if len(t.early) == 0 {
		return
	}
	slices.SortStableFunc(t.early, func(a, b *message) int { return int(a.seq - b.seq) })
	t.early = slices.DeleteFunc(t.early, func(m *message) bool {
		f := t.judge(m)
		if f == taken {
			t.take(m)
		}
		return f != tooSoon
	})
}

// tell wakes those who have something to fetch. mu is held.
func (t *topic) tell() {
	for f := range t.follows {
		if !f.awake {
			f.awake = true
			f.to.wake(f)
		}
	}
}

// isLoaded reports whether the topic has been loaded once.
func (t *topic) isLoaded() bool {
	select {
	case <-t.loaded:
		return true
	default:
		return false
	}
}

// doubt says that something may have been missed.
func (t *topic) doubt() {
	t.mu.Lock()
	t.fresh = false
	t.mu.Unlock()
}
