package coordinator

import (
	"fmt"
	"syscall"
	"testing"
	"time"

	"github.com/transload/transload/internal/redistest"
)

// mostMemory bounds a process, whatever the number of keys.
func mostMemory() int64 {
	if raceOn { // the detector keeps shadows of its own
		return 256 << 20
	}
	return 200 << 20
}

// TestMemory measures a coordinator that copies keys, and a member whose mirror is
// frozen while it writes as many. With LONG=1 there are a million.
func TestMemory(t *testing.T) {
	n := 30_000
	switch {
	case long():
		n = 1_000_000
	case raceOn:
		n = 10_000
	}
	if !long() {
		t.Parallel()
	}
	t.Run("coordinator", func(t *testing.T) {
		t.Parallel()
		s, env := pairEnv(t)
		fill(t, s, n)
		began := time.Now()
		p := startProcess(t, "shadow", env)
		rep := untilEqual(t, coordinate(t, s, func(o *Options) { o.NoMembers = true }), 15*time.Minute)
		t.Logf("%d keys equal after %v; the coordinator's peak is %d MiB", rep.Compared/2, time.Since(began).Round(100*time.Millisecond), p.peak(t)>>20)
		if got := p.peak(t); got > mostMemory() {
			t.Errorf("peak of %d bytes; want at most %d", got, mostMemory())
		}
	})
	t.Run("member", func(t *testing.T) {
		t.Parallel()
		src, dst := redistest.Standalone(t, redistest.Options{}), redistest.Standalone(t, redistest.Options{})
		env := redistest.Merge(src.Env("REDIS"), dst.Env("REDIS_TARGET"))
		p := startProcess(t, "writer", env, map[string]string{"TEST_KEYS": fmt.Sprint(n)})
		p.says(t, "begun")
		startProcess(t, "shadow", env) // it may end for want of the target
		p.says(t, "shadow")
		if err := dst.Freeze(); err != nil {
			t.Fatal(err)
		}
		if _, err := fmt.Fprintln(p.in, "write"); err != nil {
			t.Fatal(err)
		}
		p.says(t, "written")
		t.Logf("%d writes, none of them mirrored; the member's peak is %d MiB", n, p.peak(t)>>20)
		if got := p.peak(t); got > mostMemory() {
			t.Errorf("peak of %d bytes; want at most %d", got, mostMemory())
		}
	})
}

// TestFrozenCoordinator freezes a coordinator's process for minutes while an app
// writes 5,000 times a second. What the source keeps for it stays within the
// limit that it has for subscribers. The process wakes and makes the sides equal.
func TestFrozenCoordinator(t *testing.T) {
	if !long() {
		t.Skip("takes minutes: LONG=1 runs it; internal/feed has a short form")
	}
	s, env := pairEnv(t)
	fill(t, s, 10_000)
	p := startProcess(t, "shadow", env)
	c := coordinate(t, s, func(o *Options) { o.NoMembers = true })
	untilEqual(t, c, time.Minute)
	src := client(t, s.source)
	used := func() int64 {
		n, err := serverInt(t, src, "used_memory")
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	before := used()
	p.signal(t, syscall.SIGSTOP)
	began, most, kept := time.Now(), int64(0), int64(0)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for i, there := 0, true; there; i += 100 {
		<-tick.C
		pipe := src.Pipeline()
		for j := range 100 {
			pipe.Set(t.Context(), fmt.Sprintf("sess:{%d}:of some usual length", (i+j)%200_000), i, 0)
		}
		if _, err := pipe.Exec(t.Context()); err != nil {
			t.Fatal(err)
		}
		if i%5000 == 0 {
			var now int64
			if now, there = subscribers(t, src); there {
				kept = max(kept, now)
			}
			most = max(most, used()-before)
		}
		if time.Since(began) > 5*time.Minute {
			t.Fatalf("after five minutes the source keeps %d bytes for a frozen coordinator", kept)
		}
	}
	t.Logf("cut off after %v; the source kept up to %d MiB for the coordinator (limit 32 MiB), and used %d MiB more in all",
		time.Since(began).Round(time.Second), kept>>20, most>>20)
	if kept > 33<<20 {
		t.Errorf("kept %d bytes; want the server's limit to bound it", kept)
	}
	p.signal(t, syscall.SIGCONT)
	untilEqual(t, c, 2*time.Minute)
}
