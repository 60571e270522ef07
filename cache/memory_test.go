package cache

import (
	"fmt"
	"testing"
	"time"
)

// TestMarks plays the orders in which a reply and what servers tell can come.
func TestMarks(t *testing.T) {
	const key = "cache:{truck:7}"
	whole := func(m *memory) { m.vouch(m.era.Load(), m.clock()+int64(time.Hour)) }
	none := func(*memory) {}
	for name, tt := range map[string]struct {
		before, between, after func(*memory) // the mark, the reply, the look
		tags                   []string
		fresh, lost            bool
	}{
		"nothing happens":                {whole, none, none, nil, true, false},
		"it changes before the reply":    {whole, func(m *memory) { m.Add(key) }, none, nil, false, false},
		"it changes after the reply":     {whole, none, func(m *memory) { m.Add(key) }, nil, false, false},
		"it changes before it is asked":  {func(m *memory) { m.Add(key); whole(m) }, none, none, nil, true, false},
		"a tag changes":                  {whole, none, func(m *memory) { m.Add(tagKey("b")) }, []string{"a", "b"}, false, false},
		"another key changes":            {whole, none, func(m *memory) { m.Add(other(m, key)) }, nil, true, false},
		"a gap after the reply":          {whole, none, func(m *memory) { m.MarkSlots(0, 1) }, nil, false, true},
		"a gap before the reply":         {whole, func(m *memory) { m.MarkSlots(0, 1); whole(m) }, none, nil, false, true},
		"two gaps":                       {whole, none, func(m *memory) { m.MarkSlots(0, 1); whole(m); m.MarkSlots(0, 1) }, nil, false, false},
		"a gap that is noticed twice":    {whole, none, func(m *memory) { m.MarkSlots(0, 1); m.MarkSlots(0, 1); whole(m) }, nil, false, true},
		"it changes in a gap":            {whole, none, func(m *memory) { m.MarkSlots(0, 1); m.Add(key) }, nil, false, false},
		"asked in a gap":                 {func(m *memory) { whole(m); m.MarkSlots(0, 1) }, none, whole, nil, true, true},
		"asked in a gap that ends later": {func(m *memory) { whole(m); m.MarkSlots(0, 1) }, none, func(m *memory) { m.MarkSlots(0, 1); whole(m) }, nil, false, true},
		"all is dropped":                 {whole, none, func(m *memory) { m.MarkSlots(0, 1); m.forget() }, nil, false, false},
		"nobody tells":                   {none, none, none, nil, false, false},
	} {
		t.Run(name, func(t *testing.T) {
			m, err := newMemory(1<<20, 0)
			if err != nil {
				t.Fatal(err)
			}
			tt.before(m)
			o := &memo{key: key, of: tt.tags, mark: m.mark(key, tt.tags), at: m.clock()}
			tt.between(m)
			m.keep(o)
			tt.after(m)
			now := m.mark(key, tt.tags)
			if fresh, lost := m.fresh(o, now), m.lost(o, now); fresh != tt.fresh || lost != tt.lost {
				t.Errorf("got fresh %v, may be put back %v; want %v, %v", fresh, lost, tt.fresh, tt.lost)
			}
		})
	}
}

// other returns a key that shares nothing with another.
func other(m *memory, key string) string {
	for i := 8; ; i++ {
		if k := fmt.Sprint("cache:{truck:", i, "}"); m.count(k) != m.count(key) {
			return k
		}
	}
}

// TestAge believes for a while what nobody vouches for.
func TestAge(t *testing.T) {
	m, err := newMemory(1<<20, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	o := &memo{key: "k", mark: m.mark("k", nil), at: m.clock()}
	if !m.fresh(o, m.mark("k", nil)) {
		t.Error("got that it is not fresh; want that it is, for an hour")
	}
	o.at -= int64(time.Hour)
	if m.fresh(o, m.mark("k", nil)) {
		t.Error("got that it is fresh; want that the hour is over")
	}
}
