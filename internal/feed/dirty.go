package feed

import (
	"math/bits"
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
	names map[string]time.Time // when each was first named
	slots slotSet
	since time.Time // when the first of the slots became dirty
	named uint64
	folds uint64
}

// NewDirty returns an empty set. Names for which ignore returns true are not
// added; it may be nil, and must not block.
func NewDirty(ignore func(name string) bool) *Dirty {
	if ignore == nil {
		ignore = func(string) bool { return false }
	}
	return &Dirty{ignore: ignore, names: make(map[string]time.Time)}
}

// Add adds names. A name whose slot is dirty is covered by it.
func (d *Dirty) Add(names ...string) {
	now := time.Now()
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, name := range names {
		if d.ignore(name) {
			continue
		}
		d.named++
		if d.slots.count > 0 && d.slots.has(command.Slot(name)) {
			continue
		}
		if _, ok := d.names[name]; !ok {
			d.names[name] = now
		}
	}
	if len(d.names) > maxNames {
		d.fold(now)
	}
}

// fold turns all names into slots.
func (d *Dirty) fold(now time.Time) {
	d.folds++
	for name := range d.names {
		d.mark(command.Slot(name), now)
	}
	d.names = make(map[string]time.Time)
}

func (d *Dirty) mark(slot uint16, now time.Time) {
	if d.slots.count == 0 {
		d.since = now
	}
	d.slots.add(slot)
}

// MarkSlots makes every key of the slots from first to last dirty.
func (d *Dirty) MarkSlots(first, last uint16) {
	now := time.Now()
	d.mu.Lock()
	defer d.mu.Unlock()
	for slot := int(first); slot <= int(last) && slot < command.Slots; slot++ {
		d.mark(uint16(slot), now)
	}
}

// MarkAll makes every key dirty.
func (d *Dirty) MarkAll() { d.MarkSlots(0, command.Slots-1) }

// Take removes up to n names (0 means all) that were first named at least age
// ago, and returns them. The caller compares them afterwards, never before:
// a change during the comparison adds the name again.
func (d *Dirty) Take(n int, age time.Duration) []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	if age <= 0 && (n <= 0 || n >= len(d.names)) {
		return d.takeAll()
	}
	before := time.Now().Add(-age)
	var taken []string
	for name, first := range d.names {
		if n > 0 && len(taken) == n {
			break
		}
		if !first.After(before) {
			taken = append(taken, name)
			delete(d.names, name)
		}
	}
	return taken
}

func (d *Dirty) takeAll() []string {
	taken := make([]string, 0, len(d.names))
	for name := range d.names {
		taken = append(taken, name)
	}
	d.names = make(map[string]time.Time)
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
	now := time.Now()
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, name := range names {
		if _, ok := d.names[name]; !ok && !d.ignore(name) {
			d.names[name] = now
		}
	}
	if len(d.names) > maxNames {
		d.fold(now)
	}
}

// List returns up to n of the names, with when each was first named, and takes
// none out.
func (d *Dirty) List(n int) map[string]time.Time {
	d.mu.Lock()
	defer d.mu.Unlock()
	out := make(map[string]time.Time, min(n, len(d.names)))
	for name, first := range d.names {
		if len(out) == n {
			break
		}
		out[name] = first
	}
	return out
}

// Len returns how many names the set holds.
func (d *Dirty) Len() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return len(d.names)
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
	return len(d.names) == 0 && d.slots.count == 0
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
	for _, first := range d.names {
		if oldest.IsZero() || first.Before(oldest) {
			oldest = first
		}
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
