package load

import (
	"encoding/json"
	"fmt"
	"os"
	"sync"
)

// A Journal is what one member was told. It is safe for concurrent use.
type Journal struct {
	mu          sync.Mutex
	Member      string               `json:"member"`
	Registers   map[string]*Register `json:"registers"`
	Counters    map[string]*Counter  `json:"counters"`
	Collections map[string]*Elements `json:"collections"`
	Queues      map[string]*Queue    `json:"queues"`
	Acked       int64                `json:"acked"`      // writes acknowledged, of every kind
	Errors      map[string]int64     `json:"errors"`     // what the app was shown, by text
	Reads       int64                `json:"reads"`      // reads answered
	Stale       int64                `json:"stale"`      // of these, older than this member's own last acknowledged write
	LongestMS   float64              `json:"longest_ms"` // the longest that one write took
}

// A Register is a key that one writer sets to 1, 2, 3 and so on.
type Register struct {
	Acked int64 `json:"acked"`
	Tried int64 `json:"tried"`
}

// A Counter is a key that many writers add one to.
type Counter struct {
	Acked   int64 `json:"acked"`
	Unknown int64 `json:"unknown"` // no answer, or one that leaves it open
}

// Elements are the members of a collection that were acknowledged, and those
// that were left open.
type Elements struct {
	Kind    string   `json:"kind"` // hash, set, zset, list or stream
	Acked   []string `json:"acked"`
	Unknown []string `json:"unknown,omitempty"`
}

// A Queue is a list from which elements are taken again.
type Queue struct {
	Pushed      []string `json:"pushed"`
	Unknown     []string `json:"unknown,omitempty"`
	Popped      []string `json:"popped"`
	PopsUnknown int64    `json:"pops_unknown"` // pops without an answer: each may have taken one
}

// NewJournal returns the empty journal of a member.
func NewJournal(member string) *Journal {
	return &Journal{
		Member: member, Registers: map[string]*Register{}, Counters: map[string]*Counter{},
		Collections: map[string]*Elements{}, Queues: map[string]*Queue{}, Errors: map[string]int64{},
	}
}

// Save writes the journal to a file.
func (j *Journal) Save(path string) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	b, err := json.Marshal(j)
	if err == nil {
		err = os.WriteFile(path, b, 0o600)
	}
	if err != nil {
		return fmt.Errorf("load: save journal: %w", err)
	}
	return nil
}

// Open reads a journal that Save wrote.
func Open(path string) (*Journal, error) {
	j := NewJournal("")
	b, err := os.ReadFile(path)
	if err == nil {
		err = json.Unmarshal(b, j)
	}
	if err != nil {
		return nil, fmt.Errorf("load: open journal: %w", err)
	}
	return j, nil
}

// with runs f on the journal.
func (j *Journal) with(f func()) {
	j.mu.Lock()
	defer j.mu.Unlock()
	f()
}

// Count returns how many writes were acknowledged so far.
func (j *Journal) Count() int64 {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.Acked
}

func entry[V any](m map[string]*V, key string) *V {
	v := m[key]
	if v == nil {
		v = new(V)
		m[key] = v
	}
	return v
}
