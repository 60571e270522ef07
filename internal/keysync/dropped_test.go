package keysync

import (
	"errors"
	"fmt"
	"testing"
)

var errNotNow = errors.New("not now")

// TestDropped: a key that differs and is not written because Check says no has
// an error. One that is equal has none, and is known to be.
func TestDropped(t *testing.T) {
	b := benches["dump"](t)
	for _, c := range []string{"equal", "changed", "missing"} {
		do(t, b.ca, "SET", c, "value")
	}
	do(t, b.cb, "SET", "equal", "value")
	do(t, b.cb, "SET", "changed", "other")
	do(t, b.cb, "SET", "extra", "value")
	keys := []string{"equal", "changed", "missing", "extra"}
	results, err := Sync(t.Context(), b.a, b.b, keys, Options{Check: func() error { return errNotNow }})
	if !errors.Is(err, errNotNow) || !errors.Is(err, ErrDropped) {
		t.Errorf("got %v; want it dropped", err)
	}
	for _, r := range results {
		if dropped := errors.Is(r.Err, ErrDropped); dropped != (r.Key != "equal") {
			t.Errorf("got %+v", r)
		}
	}
}

// TestLargeDropped ends the copy and the repair of large keys in the middle. They
// have errors, even those that were not found to differ so far, and the next call
// makes them equal.
func TestLargeDropped(t *testing.T) {
	for _, kind := range []string{"hash", "set", "zset", "log", "string", "stream"} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			b := benches["dump"](t)
			do(t, b.ca, "EVAL", fmt.Sprintf(largeKeys[kind].make, 20_000), 1, "k")
			dropped := func() {
				t.Helper()
				left := 5
				opts := Options{Large: 64 << 10, Check: func() error {
					if left--; left < 0 {
						return errNotNow
					}
					return nil
				}}
				results, err := Sync(t.Context(), b.a, b.b, []string{"k"}, opts)
				if !errors.Is(err, errNotNow) || !errors.Is(results[0].Err, ErrDropped) {
					t.Errorf("got %+v, %v; want it dropped", results[0], err)
				}
				if left != -1 && left != -2 { // it may try to tidy up
					t.Errorf("Check was asked %d times after it had said no", -1-left)
				}
			}
			whole := func(action Action) {
				t.Helper()
				results, err := Sync(t.Context(), b.a, b.b, []string{"k"}, Options{Large: 64 << 10})
				if err != nil || results[0].Action != action || results[0].Took == 0 {
					t.Errorf("got %+v, %v; want %v", results[0], err, action)
				}
				if got := b.compare(t, "k", Options{}); got != Equal {
					t.Errorf("got %v; want equal", got)
				}
			}
			dropped()
			whole(Copied)
			dropped() // though nothing has changed
			do(t, b.ca, "EVAL", largeKeys[kind].change, 1, "k")
			dropped()
			whole(Repaired)
		})
	}
}
