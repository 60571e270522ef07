package feed

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/transload/transload/internal/command"
)

func ExampleDirty() {
	dirty := NewDirty(nil)
	dirty.Add("cart:7", "cart:8", "cart:7")
	fmt.Println(dirty.Len(), dirty.Clean())
	for _, name := range slices.Sorted(slices.Values(dirty.Take(0, 0))) {
		fmt.Println("compare", name) // a change from here on names it again
	}
	fmt.Println(dirty.Len(), dirty.Clean())
	// Output:
	// 2 false
	// compare cart:7
	// compare cart:8
	// 0 true
}

func TestDirtyAges(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := NewDirty(nil)
		d.Add("old")
		began := time.Now()
		time.Sleep(time.Second)
		d.Add("new", "old")
		if got := d.Oldest(); !got.Equal(began) {
			t.Errorf("oldest: got %v; want %v", got, began)
		}
		if got := d.Take(0, time.Second); !slices.Equal(got, []string{"old"}) {
			t.Errorf("got %v; want [old]", got)
		}
		if got := d.Take(1, 0); !slices.Equal(got, []string{"new"}) {
			t.Errorf("got %v; want [new]", got)
		}
		if !d.Clean() || !d.Oldest().IsZero() {
			t.Errorf("got oldest %v; want a clean set", d.Oldest())
		}
	})
}

// A Take costs what it takes, however much is too young to be taken.
func TestDirtyTakesTheOldest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := NewDirty(nil)
		for i := range 100 {
			d.Add(fmt.Sprint(i), fmt.Sprint(i/2))
			time.Sleep(time.Millisecond)
		}
		for from := range 10 {
			got := d.Take(5, 50*time.Millisecond)
			for i, name := range got {
				if want := fmt.Sprint(5*from + i); name != want {
					t.Fatalf("got %q as the %d. of %v; want %q", name, i, got, want)
				}
			}
		}
		if got := d.Take(0, 50*time.Millisecond); len(got) != 1 || d.Len() != 49 {
			t.Errorf("got %v and %d left; want 1, and 49 that are too young", got, d.Len())
		}
	})
}

func TestDirtyTakesSome(t *testing.T) {
	t.Parallel()
	d := NewDirty(nil)
	for i := range 10 {
		d.Add(fmt.Sprint(i))
	}
	seen := map[string]bool{}
	for _, want := range []int{4, 4, 2, 0} {
		got := d.Take(4, 0)
		for _, name := range got {
			seen[name] = true
		}
		if len(got) != want {
			t.Errorf("got %d names; want %d", len(got), want)
		}
	}
	if len(seen) != 10 {
		t.Errorf("got %d different names; want 10", len(seen))
	}
}

func TestDirtySlots(t *testing.T) {
	t.Parallel()
	d := NewDirty(nil)
	d.MarkSlots(16382, 16383)
	d.MarkSlots(63, 64)
	covered := "foo" // slot 12182
	d.MarkSlots(12182, 12182)
	d.Add(covered, "bar")
	if got := d.Len(); got != 1 {
		t.Errorf("got %d names; want 1: the other is in a dirty slot", got)
	}
	if got, want := d.TakeSlots(), []uint16{63, 64, 12182, 16382, 16383}; !slices.Equal(got, want) {
		t.Errorf("got %v; want %v", got, want)
	}
	d.Add(covered)
	if got := d.Len(); got != 2 || d.SlotLen() != 0 {
		t.Errorf("got %d names, %d slots; want 2 and 0: the slot is being walked", got, d.SlotLen())
	}
	d.MarkAll()
	if got := len(d.TakeSlots()); got != command.Slots {
		t.Errorf("got %d slots; want all", got)
	}
}

func TestDirtyFolds(t *testing.T) {
	t.Parallel()
	d := NewDirty(func(name string) bool { return strings.HasPrefix(name, "transload:") })
	var wg sync.WaitGroup
	for w := range 4 {
		wg.Go(func() {
			for i := range 40_000 {
				d.Add(fmt.Sprintf("%d:%d", w, i), "transload:{x}:control")
			}
		})
	}
	wg.Wait()
	if d.Len() > maxNames || d.SlotLen() == 0 {
		t.Fatalf("got %d names, %d slots; want at most %d names", d.Len(), d.SlotLen(), maxNames)
	}
	if named, folds := d.Counts(); named != 160_000 || folds == 0 {
		t.Errorf("got %d named, %d folds; want 160000 and some", named, folds)
	}
	held := map[uint16]bool{}
	for _, slot := range d.TakeSlots() {
		held[slot] = true
	}
	names := map[string]bool{}
	for _, name := range d.Take(0, 0) {
		names[name] = true
	}
	for w := range 4 {
		for i := range 40_000 {
			if name := fmt.Sprintf("%d:%d", w, i); !names[name] && !held[command.Slot(name)] {
				t.Fatalf("%s is neither named nor in a dirty slot", name)
			}
		}
	}
}
