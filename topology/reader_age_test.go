package topology

import (
	"testing"
	"time"
)

func TestHistory(t *testing.T) {
	var h history
	h.add("a", mark{10, 100})
	h.add("a", mark{20, 200})
	h.add("a", mark{30, 200}) // nothing was written since
	for offset, want := range map[int64]int64{99: 0, 100: 10, 199: 10, 200: 30, 900: 30} {
		if at, known := h.reached("a", offset); at != want || !known {
			t.Errorf("offset %d: got %d, %v; want %d", offset, at, known, want)
		}
	}
	if at, known := h.reached("b", 900); at != 0 || known {
		t.Errorf("another stream: got %d, %v; want that nothing is known", at, known)
	}
	for i := range int64(3 * historyLen) {
		h.add("a", mark{100 + i, 1000 + i})
	}
	if n := len(h.streams["a"]); n != historyLen {
		t.Errorf("%d marks are kept; want %d", n, historyLen)
	}
	if at, known := h.reached("a", 999); at != 0 || !known {
		t.Errorf("older than what is kept: got %d, %v; want no moment", at, known)
	}
	h.add("b", mark{int64(2 * time.Hour), 1})
	if _, known := h.reached("a", 5000); known {
		t.Error("a stream without a primary is kept for ever")
	}
}

func TestOwnWrites(t *testing.T) {
	now := int64(1)
	o := newOwnWrites(100, func() int64 { return now })
	keys := []string{"k"}
	if at, primary := o.wrote(keys); at != 0 || primary {
		t.Errorf("never written: got %d, %v", at, primary)
	}
	o.begin(keys)
	if _, primary := o.wrote(keys); !primary {
		t.Error("under way: want the primary")
	}
	now = 50
	o.end(keys)
	for at, want := range map[int64]bool{50: true, 149: true, 150: false} {
		now = at
		if wrote, primary := o.wrote(keys); wrote != 50 || primary != want {
			t.Errorf("at %d: got %d, %v; want 50, %v", at, wrote, primary, want)
		}
	}
	now = 200
	o.begin(nil)
	o.end(nil)
	if wrote, primary := o.wrote([]string{"any other"}); wrote != 200 || !primary {
		t.Errorf("after FLUSHALL: got %d, %v", wrote, primary)
	}
}
