package cache

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// crowd has n loads ask a guard at once, each to take a while, and returns when those
// that were let in began, and how many were shed.
func crowd(t *testing.T, g *Guard, n int, takes time.Duration) (began []time.Time, shed int) {
	var mu sync.Mutex
	var wg sync.WaitGroup
	for range n {
		wg.Go(func() {
			leave, err := g.enter(t.Context())
			mu.Lock()
			defer mu.Unlock()
			if errors.Is(err, ErrShed) {
				shed++
				return
			}
			if err != nil {
				t.Error(err)
				return
			}
			began = append(began, time.Now())
			time.AfterFunc(takes, leave)
		})
	}
	wg.Wait()
	slices.SortFunc(began, time.Time.Compare)
	return began, shed
}

// most is how many of a list lie within one second.
func most(list []time.Time) (n int) {
	for i, first := range list {
		j := i
		for j < len(list) && list[j].Sub(first) < time.Second {
			j++
		}
		n = max(n, j-i)
	}
	return n
}

func TestGuardIsNeverExceeded(t *testing.T) {
	for name, tt := range map[string]struct {
		limit Limit
		takes time.Duration
		in    int // of 1,000
		burst int // at most in one second
	}{
		"by the second":     {Limit{AtOnce: 1000, PerSecond: 100, Wait: 3500 * time.Millisecond}, time.Millisecond, 400, 100},
		"at once":           {Limit{AtOnce: 5, PerSecond: 1000, Wait: 2950 * time.Millisecond}, 100 * time.Millisecond, 150, 50},
		"nobody waits":      {Limit{AtOnce: 1000, PerSecond: 100, Wait: -1}, time.Millisecond, 100, 100},
		"one after another": {Limit{AtOnce: 1, PerSecond: 1, Wait: -1}, time.Hour, 1, 1},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				began, shed := crowd(t, guardOf(t, tt.limit), 1000, tt.takes)
				if len(began) != tt.in || shed != 1000-tt.in || most(began) > tt.burst {
					t.Errorf("got %d in, %d in one second, %d shed; want %d, at most %d", len(began), most(began), shed, tt.in, tt.burst)
				}
			})
		})
	}
}

func TestGuardRamps(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := guardOf(t, Limit{AtOnce: 1000, PerSecond: 100, Wait: -1, Ramp: 9 * time.Second})
		var per []int
		g.ramp()
		for i := range 12 {
			if i < 3 {
				g.ramp() // of another that shares the guard: within three seconds it is the same outage
			}
			began, _ := crowd(t, g, 200, 0)
			per = append(per, len(began))
			time.Sleep(1001 * time.Millisecond)
		}
		if per[0] != 10 || per[11] != 100 || !slices.IsSorted(per) {
			t.Errorf("got %v a second; want them to rise from 10 to 100", per)
		}
	})
}

func TestGuardLeavesWhoCancels(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := guardOf(t, Limit{AtOnce: 1, Wait: time.Minute})
		leave, err := g.enter(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := g.enter(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v; want the caller's deadline", err)
		}
		if _, ok := g.try(); ok {
			t.Error("got a turn; want none while one load is under way")
		}
		leave()
		if leave, ok := g.try(); !ok {
			t.Error("got none; want a turn")
		} else {
			leave()
		}
	})
}

// TestColdBeginsARamp looks up what is not there.
func TestColdBeginsARamp(t *testing.T) {
	ramps := 0
	o := &outages{ramp: func() { ramps++ }}
	for range 1000 {
		o.looked(1, 0)
	}
	o.looked(500, 400)
	if ramps != 0 {
		t.Error("got a ramp; want none while most is there")
	}
	o = &outages{ramp: func() { ramps++ }}
	o.looked(100, 60)
	if ramps != 1 {
		t.Errorf("got %d ramps; want one", ramps)
	}
}

// TestOutageDoesNotCount is about what comes due.
func TestOutageDoesNotCount(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ramps := 0
		o := &outages{ramp: func() { ramps++ }}
		began := time.Now()
		o.failed(false)
		time.Sleep(blip / 2)
		o.answered()
		if ramps != 0 || o.during(began) != 0 {
			t.Errorf("a slow reply: got %d ramps, %v; want none", ramps, o.during(began))
		}
		o.failed(true)
		o.failed(true)
		if !o.away() || ramps != 1 {
			t.Errorf("got away %v, %d ramps; want true, 1", o.away(), ramps)
		}
		time.Sleep(10 * time.Second)
		middle := time.Now().Add(-4 * time.Second)
		o.answered()
		if o.away() || ramps != 2 || o.during(began) != 10*time.Second || o.during(middle) != 4*time.Second || o.during(time.Now()) != 0 {
			t.Errorf("got %d ramps, %v since before, %v since the middle; want 2, 10s, 4s", ramps, o.during(began), o.during(middle))
		}
	})
}
