package app

import (
	"errors"
	"fmt"
	"log/slog"
	"testing"
	"time"
)

// TestFleetForgets: trucks that are silent make room for others, but not before their last
// position was published.
func TestFleetForgets(t *testing.T) {
	f := newFleet(nil, slog.New(slog.DiscardHandler))
	now := time.Now()
	for i := range maxTrucks {
		if err := f.Take(Fix{Plate: fmt.Sprint(i), At: now.UnixMilli()}); err != nil {
			t.Fatal(err)
		}
	}
	other := Fix{Plate: "another", At: now.UnixMilli()}
	if err := f.Take(other); !errors.Is(err, ErrFix) {
		t.Fatalf("one truck more: got %v; want ErrFix", err)
	}
	for range 2 { // two have been published
		x, ok := f.next()
		if !ok {
			t.Fatal("nothing waits")
		}
		f.done(x.Plate, false)
	}
	for plate, x := range f.last { // all have been silent since
		x.At = now.Add(-silentFor - time.Second).UnixMilli()
		f.last[plate] = x
	}
	if known, waiting := f.Trucks(); known != maxTrucks-2 || waiting != maxTrucks-2 {
		t.Errorf("got %d trucks, %d positions that wait; want %d of each", known, waiting, maxTrucks-2)
	}
	if err := f.Take(other); err != nil {
		t.Errorf("where there is room: %v", err)
	}
}
