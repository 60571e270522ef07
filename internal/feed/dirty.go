package feed

import (
	"math/bits"
	"sort"
	"sync"
	"time"

	"github.com/transload/transload/internal/command"
)

// maxNames is how many names a Dirty holds before it folds them into slots:
// some ten megabytes with names of usual length.
const maxNames = 100_000

// A Dirty is the set of keys that must be compared (again), as names and as
// slots all of whose keys must be. It is safe for concurrent use, and never
// makes who adds to it wait for long.
type Dirty struct {
	ignore func(name string) bool

	mu    sync.Mutex
	names map[string]struct{} // those in the queue
	queue []dirtyName         // each name once, in the order in which they were first named
	slots slotSet
	since time.Time // when the first of the slots became dirty
	named uint64
	folds uint64
}

type dirtyName struct {
	name  string
	first time.Time
}

// NewDirty returns an empty set. Names for which ignore returns true are not
// added; it may be nil, and must not block.
func NewDirty(ignore func(name string) bool) *Dirty {
	if ignore == nil {
		ignore = func(string) bool { return false }
	}
	return &Dirty{ignore: ignore, names: make(map[string]struct{})}
}

// Add adds names. A name whose slot is dirty is covered by it.
func (d *Dirty) Add(names ...string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	now := time.Now()
	for _, name := range names {
		if d.ignore(name) {
			continue
		}
		d.named++
		if d.slots.count > 0 && d.slots.has(command.Slot(name)) {
			continue
		}
		d.push(name, now)
	}
	if len(d.queue) > maxNames {
		d.fold(now)
	}
}

func (d *Dirty) push(name string, now time.Time) {
	if _, ok := d.names[name]; !ok {
		d.names[name] = struct{}{}
		d.queue = append(d.queue, dirtyName{name, now})
	}
}

// fold turns all names into slots.
func (d *Dirty) fold(now time.Time) {
	d.folds++
	for _, name := range d.pop(len(d.queue)) {
		d.mark(command.Slot(name), now)
	}
}

func (d *Dirty) mark(slot uint16, now time.Time) {
	if d.slots.count == 0 {
		d.since = now
	}
	d.slots.add(slot)
}

// MarkSlots makes every key of the slots from first to last dirty.
func (d *Dirty) MarkSlots(first, last uint16) {
	d.mu.Lock()
	defer d.mu.Unlock()
	now := time.Now()
	for slot := int(first); slot <= int(last) && slot < command.Slots; slot++ {
		d.mark(uint16(slot), now)
	}
}

// MarkAll makes every key dirty.
func (d *Dirty) MarkAll() { d.MarkSlots(0, command.Slots-1) }

// Take removes up to n names (0 means all) that were first named at least age
// ago, and returns them, the oldest first. The caller compares them afterwards,
// never before: a change during the comparison adds the name again.
func (d *Dirty) Take(n int, age time.Duration) []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	if n <= 0 || n > len(d.queue) {
		n = len(d.queue)
	}
	if age > 0 {
		before := time.Now().Add(-age)
		n = sort.Search(n, func(i int) bool { return d.queue[i].first.After(before) })
	}
	return d.pop(n)
}

// pop takes the n oldest names out.
func (d *Dirty) pop(n int) []string {
	if n == 0 {
		return nil
	}
	taken := make([]string, 0, n)
	for _, q := range d.queue[:n] {
		taken = append(taken, q.name)
		delete(d.names, q.name)
	}
	clear(d.queue[:n])
	d.queue = d.queue[n:]
	return taken
}

// TakeSlots removes the dirty slots and returns them in order. The caller
// then walks them; keys that change meanwhile are named.
func (d *Dirty) TakeSlots() []uint16 {
	d.mu.Lock()
	defer d.mu.Unlock()
	taken := d.slots.list()
	d.slots = slotSet{}
	return taken
}

// Return adds names that were taken and could not be compared. They stay names
// even if their slots have become dirty since, so that it is known what had
// changed should the side that they changed on never come back.
func (d *Dirty) Return(names ...string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	now := time.Now()
	for _, name := range names {
		if !d.ignore(name) {
			d.push(name, now)
		}
	}
	if len(d.queue) > maxNames {
		d.fold(now)
	}
}

// List returns up to n of the names, the oldest, with when each was first named, and takes
// none out.
func (d *Dirty) List(n int) map[string]time.Time {
	d.mu.Lock()
	defer d.mu.Unlock()
	n = min(n, len(d.queue))
	out := make(map[string]time.Time, n)
	for _, q := range d.queue[:n] {
		out[q.name] = q.first
	}
	return out
}

// Len returns how many names the set holds.
func (d *Dirty) Len() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return len(d.queue)
}

// SlotLen returns how many slots are dirty.
func (d *Dirty) SlotLen() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.slots.count
}

// Clean reports whether nothing is dirty.
func (d *Dirty) Clean() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return len(d.queue) == 0 && d.slots.count == 0
}

// Oldest returns when the name or slot that is dirty the longest became so;
// the zero time if nothing is.
func (d *Dirty) Oldest() time.Time {
	d.mu.Lock()
	defer d.mu.Unlock()
	var oldest time.Time
	if d.slots.count > 0 {
		oldest = d.since
	}
	if len(d.queue) > 0 && (oldest.IsZero() || d.queue[0].first.Before(oldest)) {
		oldest = d.queue[0].first
	}
	return oldest
}

// Counts returns how many names were ever added, and how often they were
// folded into slots.
func (d *Dirty) Counts() (named, folds uint64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.named, d.folds
}

// A slotSet is a set of hash slots.
type slotSet struct {
	words [command.Slots / 64]uint64
	count int
}

func (s *slotSet) has(slot uint16) bool { return s.words[slot/64]&(1<<(slot%64)) != 0 }

func (s *slotSet) add(slot uint16) {
	if !s.has(slot) {
		s.words[slot/64] |= 1 << (slot % 64)
		s.count++
	}
}

func (s *slotSet) list() []uint16 {
	slots := make([]uint16, 0, s.count)
	for i, word := range s.words {
		for ; word != 0; word &= word - 1 {
			slots = append(slots, uint16(i*64+bits.TrailingZeros64(word)))
		}
	}
	return slots
}
