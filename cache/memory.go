package cache

import (
	"hash/maphash"
	"math"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/maypok86/otter/v2"
)

const (
	// stripes is how many counts of changes there are: four megabytes. Keys share them,
	// which errs towards asking Redis, and the database when Redis has come back empty:
	// what is put back puts in doubt what shares its count. With 65,536 these were 7 of
	// 100 entries of 10,000.
	stripes = 1 << 20

	// memoCost is what an entry takes besides its bytes and its key.
	memoCost = 320

	// nothingKept is an era before which nothing may be put back.
	nothingKept = math.MaxUint64
)

// A memory holds entries in this process, and knows which of them may have changed
// since: by the names that servers tell (package internal/feed), and by what this
// process itself invalidates. It is a feed.Sink.
//
// An entry is held together with a mark that was made before Redis was asked for it.
// Every change of a key raises the count of the key's stripe, every gap in what the
// servers tell begins an era. So an entry is as good as on its first day while its
// mark is still that of the moment, in whatever order replies and names come in, and
// while the servers have vouched within the last seconds that there was no more to
// tell.
type memory struct {
	held   *otter.Cache[string, *memo] // nil: nothing is held
	base   time.Time
	age    time.Duration // how long what nobody vouches for is good
	seed   maphash.Seed
	counts []atomic.Uint32
	era    atomic.Uint64
	until  atomic.Int64 // what is of this era is vouched for until then
	follow func(*memo)  // is told of a memo in use whose entry has changed

	mu    sync.Mutex
	whole bool   // the servers tell all there is to tell of this era
	kept  uint64 // the last era that was whole: what it had, or later ones, may be put back
}

// A memo is an entry that is held.
type memo struct {
	entry
	kind *kind
	key  string
	of   []string // tags
	raw  []byte   // as it is in Redis
	mark mark
	at   int64       // when Redis, or the loader, was asked for it
	used atomic.Bool // by a caller, since Redis or the loader was asked for it
}

// A mark is what was known of an entry's keys at a moment.
type mark struct{ era, sum uint64 }

func newMemory(bytes int, age time.Duration) (*memory, error) {
	m := &memory{base: time.Now(), age: age, seed: maphash.MakeSeed(), counts: make([]atomic.Uint32, stripes),
		kept: nothingKept, follow: func(*memo) {}}
	if bytes < 0 {
		return m, nil
	}
	var err error
	m.held, err = otter.New(&otter.Options[string, *memo]{MaximumWeight: uint64(bytes), Weigher: weigh})
	return m, err
}

func weigh(key string, o *memo) uint32 { return uint32(memoCost + len(key) + len(o.raw)) }

// clock is the time of at and until, in ns, which no change of the wall clock moves.
func (m *memory) clock() int64 { return int64(time.Since(m.base)) }

// mark makes a mark of an entry.
func (m *memory) mark(key string, tags []string) mark {
	k := mark{era: m.era.Load(), sum: uint64(m.count(key).Load())}
	for _, tag := range tags {
		k.sum += uint64(m.count(tagKey(tag)).Load())
	}
	return k
}

func (m *memory) count(key string) *atomic.Uint32 {
	return &m.counts[maphash.String(m.seed, key)%stripes]
}

// find returns what is held under a key, or nil.
func (m *memory) find(key string) *memo {
	if m.held == nil {
		return nil
	}
	o, _ := m.held.GetIfPresent(key) // nil if there is none
	return o
}

// keep holds an entry.
func (m *memory) keep(o *memo) {
	if m.held != nil {
		m.held.Set(o.key, o)
	}
}

// fresh reports whether an entry is what Redis has. now is a mark of now.
func (m *memory) fresh(o *memo, now mark) bool {
	if o.mark.sum != now.sum {
		return false
	}
	clock := m.clock()
	return o.mark.era == now.era && clock < m.until.Load() || clock-o.at < int64(m.age)
}

// lost reports whether an entry that Redis does not have is one that it has lost: the
// servers told all changes until the gap in which that must have been, and this was
// none of them.
func (m *memory) lost(o *memo, now mark) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return o.mark.sum == now.sum && m.kept != nothingKept && o.mark.era >= m.kept
}

// Add notes that keys have changed.
func (m *memory) Add(names ...string) {
	for _, name := range names {
		m.count(name).Add(1)
		if !strings.HasPrefix(name, entryPrefix) {
			continue
		}
		if o := m.find(name); o != nil && o.used.Load() {
			m.follow(o)
		}
	}
}

// MarkSlots notes that any key may have changed.
func (m *memory) MarkSlots(uint16, uint16) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.whole {
		m.kept, m.whole = m.era.Load(), false
	}
	m.era.Add(1)
	m.until.Store(0)
}

// forget drops everything: somebody wants it gone from Redis too.
func (m *memory) forget() {
	m.mu.Lock()
	m.kept, m.whole = m.era.Add(1), false
	m.until.Store(0)
	m.mu.Unlock()
	if m.held != nil {
		m.held.InvalidateAll()
	}
}

// vouch notes that the servers have told all changes until a moment, of an era, and
// lets them be believed a while longer.
func (m *memory) vouch(era uint64, until int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.era.Load() == era {
		m.whole = true
		m.until.Store(until)
	}
}

// tracked reports whether servers tell of changes now.
func (m *memory) tracked() bool { return m.clock() < m.until.Load() }

// figures returns how many entries are held, and their bytes.
func (m *memory) figures() (entries int, bytes uint64) {
	if m.held == nil {
		return 0, 0
	}
	return m.held.EstimatedSize(), m.held.WeightedSize()
}
