package coordinator

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/transload/transload/internal/protocol"
	"github.com/transload/transload/internal/redistest"
)

// TestThrottle feeds a throttle with round trips.
func TestThrottle(t *testing.T) {
	const usual, slow = 500 * time.Microsecond, 60 * time.Millisecond
	probe := func(th *throttle, n int, d time.Duration) {
		for range n {
			why := ""
			if th.took(protocol.Source, d) {
				why = th.strain(protocol.Source)
			}
			th.slow(why)
		}
	}
	var th throttle
	probe(&th, 50, usual)
	if got := th.held(); got != "" {
		t.Errorf("usual: got %q; want nothing", got)
	}
	probe(&th, 1, slow)
	probe(&th, 5, usual)
	if th.delay > 8*time.Millisecond {
		t.Errorf("one slow answer: got %v; want little", th.delay)
	}
	probe(&th, 600, slow) // a minute
	if got := th.held(); th.delay != longestDelay || !strings.Contains(got, "the source answers in 60ms, usually") {
		t.Errorf("a minute of slow answers: got %v, %q", th.delay, got)
	}
	probe(&th, 30, usual)
	if got := th.held(); got != "" {
		t.Errorf("fast again: got %q; want nothing", got)
	}
	probe(&th, habit, slow)
	if got := th.held(); got == "" {
		t.Error("five minutes of it: got nothing; want it held back yet")
	}
	probe(&th, 5*habit, slow)
	if got := th.held(); got != "" {
		t.Errorf("half an hour of it: got %q; want it held for usual", got)
	}
}

// TestRate lets keys go at their rate.
func TestRate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		th := throttle{rate: 1000}
		began := time.Now()
		for range 11 {
			if err := th.wait(t.Context(), 200); err != nil {
				t.Fatal(err)
			}
		}
		if took := time.Since(began); took != 2*time.Second {
			t.Errorf("2,200 keys took %v; want 2s, and the last batch is gone at once", took)
		}
		if got := th.held(); got != "at most 1000 keys a second, by --rate" {
			t.Errorf("got %q", got)
		}
	})
}

// TestBackOff makes a side answer slowly during a pass. Status says that the pass
// is held back, by which side, and it goes on at its own speed afterwards.
func TestBackOff(t *testing.T) {
	t.Parallel()
	s, proxy := slowly(t)
	seed(t, s.source, 2000)
	c := coordinate(t, s, func(o *Options) { o.NoMembers, o.Rate = true, 500 }) // 8,000 keys: sixteen seconds
	other := coordinate(t, s, func(o *Options) { o.NoMembers = true })
	shadowing(t, c)
	status := func(want string) {
		t.Helper()
		redistest.Eventually(t, 60*time.Second, func() error {
			st, err := other.Status(t.Context())
			if err != nil {
				return err
			}
			if !strings.Contains(st.WaitsFor, want) {
				return fmt.Errorf("got %q; want it to hold %q", st.WaitsFor, want)
			}
			return nil
		})
	}
	status("at most 500 keys a second, by --rate")
	eventually(t, func() bool { // what is usual must be known; the first probe dials
		speed := &c.shadower().speed
		speed.mu.Lock()
		defer speed.mu.Unlock()
		usual := speed.sides[protocol.Target].usual
		return usual > 0 && usual < 10*time.Millisecond
	})
	proxy.SetDelay(50 * time.Millisecond)
	status("the target answers in ")
	proxy.SetDelay(0)
	waitShadow(t, c)
	if rep, err := other.Verify(t.Context(), VerifyRequest{}); err != nil || rep.Compared < 8000 {
		t.Errorf("got %+v, %v; want equal sides", rep, err)
	}
}
