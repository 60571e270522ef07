package load

import (
	"os"
	"sync"
)

// A Journal is what one member was told. It is safe for concurrent use.
type Journal struct {
	mu          sync.Mutex
	Member      string
	Registers   map[string]*Register
	Counters    map[string]*Counter
	Collections map[string]*Elements
	Queues      map[string]*Queue
	Acked       int64            // writes acknowledged, of every kind
	Errors      map[string]int64 // what the app was shown, by text
	Reads       int64            // reads answered
	Stale       int64            // of these, older than this member's own last acknowledged write
	LongestMS   float64          // the longest that one write took

	file *os.File // to which each entry goes as well, or nil
	err  error    // the first of writing to it
}

// A Register is a key that one writer sets to 1, 2, 3 and so on.
type Register struct {
	Acked int64
	Tried int64
}

// A Counter is a key that many writers add one to.
type Counter struct {
	Acked   int64
	Unknown int64 // no answer, or one that leaves it open
}

// Elements are the members of a collection that were acknowledged, and those
// that were left open.
type Elements struct {
	Kind    string // hash, set, zset, list or stream
	Acked   []string
	Unknown []string
}

// A Queue is a list from which elements are taken again.
type Queue struct {
	Pushed      []string
	Unknown     []string
	Popped      []string
	PopsUnknown int64 // pops without an answer: each may have taken one
}

// NewJournal returns the empty journal of a member.
func NewJournal(member string) *Journal {
	return &Journal{
		Member: member, Registers: map[string]*Register{}, Counters: map[string]*Counter{},
		Collections: map[string]*Elements{}, Queues: map[string]*Queue{}, Errors: map[string]int64{},
	}
}

// Count returns how many writes were acknowledged so far.
func (j *Journal) Count() int64 {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.Acked
}

// register returns what is noted of a register.
func (j *Journal) register(key string) Register {
	j.mu.Lock()
	defer j.mu.Unlock()
	if r := j.Registers[key]; r != nil {
		return *r
	}
	return Register{}
}

func entry[V any](m map[string]*V, key string) *V {
	v := m[key]
	if v == nil {
		v = new(V)
		m[key] = v
	}
	return v
}
