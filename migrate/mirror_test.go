package migrate

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/transload/transload/internal/faultproxy"
	"github.com/transload/transload/internal/protocol"
	"github.com/transload/transload/internal/redisproc"
	"github.com/transload/transload/internal/redistest"
)

func TestShardCoalescesAndIsBounded(t *testing.T) {
	s := newShard(3, 100)
	now := time.Now()
	for range 5 {
		s.add("a", now)
	}
	s.add("b", now)
	s.add("c", now)
	if s.add("d", now) {
		t.Error("a fourth key found room for three")
	}
	if !s.add("b", now) {
		t.Error("a key that waits already was refused")
	}
	batch := s.take(10, now)
	if len(batch) != 3 || batch[0].key != "a" || batch[2].key != "c" {
		t.Fatalf("got %+v; want a, b, c", batch)
	}
	if !s.pending("a") || s.len() != 3 {
		t.Error("a key in flight is not pending")
	}
	s.add("a", now) // written again while it is being copied
	if s.reached(1) {
		t.Error("reached before the flight has landed")
	}
	batch[1].due = now.Add(time.Second)
	s.landed([]item{batch[0], batch[1], batch[2]})
	if !s.reached(3) || s.reached(4) {
		t.Errorf("tried is %d; want 3", s.tried)
	}
	batch = s.take(10, now)
	if len(batch) != 2 || batch[0].key != "c" || batch[1].key != "a" || batch[1].seq != 4 {
		t.Fatalf("got %+v; want c, which goes first again, and the later a", batch)
	}
	s.landed(nil)
	if batch = s.take(10, now.Add(2*time.Second)); len(batch) != 1 || batch[0].key != "b" {
		t.Fatalf("got %+v; want b, which is due", batch)
	}
	s.landed(nil)
	if s.len() != 0 || s.used != 0 || !s.oldest().IsZero() {
		t.Errorf("got %d keys, %d bytes; want none", s.len(), s.used)
	}
}

func TestShardBoundsTheBytesOfNames(t *testing.T) {
	s := newShard(100, 10)
	if !s.add("12345678", time.Now()) || s.add("123", time.Now()) {
		t.Error("eleven bytes found room in ten")
	}
}

func TestShardKeepsItsOrderOverManyTurns(t *testing.T) {
	s := newShard(1<<20, 1<<30)
	now, next := time.Now(), 0
	for i := range 20_000 {
		s.add(strconv.Itoa(i), now)
		if i%3 == 0 {
			continue
		}
		for _, it := range s.take(1, now) {
			if it.key != strconv.Itoa(next) {
				t.Fatalf("got %s; want %d", it.key, next)
			}
			next++
		}
		s.landed(nil)
	}
	if cap(s.queue) > 40_000 {
		t.Errorf("the queue has grown to %d for %d keys", cap(s.queue), s.len())
	}
}

// TestDrainEndsUnderLoad: it waits for what was marked before, not for an empty
// queue.
func TestDrainEndsUnderLoad(t *testing.T) {
	r, _, target := twoServers(t)
	proxy := redistest.Proxy(t, target)
	r.begin()
	o := r.options()
	o.Target.Addrs = []string{proxy.Addr()}
	m := r.member(o)
	m.ready(t)
	proxy.SetDelay(2 * time.Millisecond)
	ctx, stop := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	for w := range 4 {
		wg.Go(func() {
			for i := 0; ctx.Err() == nil; i++ {
				_ = m.set(ctx, fmt.Sprintf("sess:%d:%d", w, i), "a")
			}
		})
	}
	redistest.Eventually(t, 5*time.Second, func() error {
		if m.mirror.written.Load() < 500 {
			return errors.New("not enough has been copied")
		}
		return nil
	})
	for range 5 {
		began := time.Now()
		dctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		err := m.mirror.drain(dctx)
		cancel()
		if err != nil {
			t.Fatalf("after %v: %v", time.Since(began), err)
		}
	}
	stop()
	wg.Wait()
}

// TestADeadTargetCostsNothing: the target is killed, frozen, or cut off, under
// writes; the app's own writes are as fast as before, the queue is bounded, and
// the process does not spin. Then the target comes back and is caught up with.
func TestADeadTargetCostsNothing(t *testing.T) {
	t.Parallel()
	for name, hurt := range map[string]func(*targetFault) (heal func()){
		"killed": func(f *targetFault) func() {
			f.must(f.server.Kill())
			return func() { f.must(f.server.Restart(f.t.Context())) }
		},
		"frozen": func(f *targetFault) func() {
			f.must(f.server.Freeze())
			return func() { f.must(f.server.Thaw()) }
		},
		"cut off": func(f *targetFault) func() {
			f.proxy.Cut()
			return f.proxy.Heal
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r, _, target := twoServers(t)
			proxy := redistest.Proxy(t, target)
			r.begin()
			o := r.options()
			o.Target.Addrs = []string{proxy.Addr()}
			o.MirrorQueue = 400
			m := r.member(o)
			m.ready(t)
			heal := hurt(&targetFault{t, target, proxy})
			cpu := cpuTime(t)
			began, longest, n := time.Now(), time.Duration(0), 0
			for time.Since(began) < 3*time.Second {
				at := time.Now()
				if err := m.set(t.Context(), fmt.Sprintf("sess:%d", n%1000), "a"); err != nil {
					t.Fatal(err)
				}
				longest = max(longest, time.Since(at))
				n++
				pause(t.Context(), 500*time.Microsecond)
			}
			if longest > 500*time.Millisecond {
				t.Errorf("a write took %v", longest)
			}
			if d := m.mirror.dirty(); d > 400+mirrorShards*mirrorBatch || d < 400-mirrorShards {
				t.Errorf("got %d dirty keys; want the queue's 400", d)
			}
			if m.mirror.dropped.Load() == 0 || m.mirror.recent.Sum() == 0 {
				t.Error("what found no room is not counted")
			}
			if f := m.mirror.failed.Load(); f > 400*30 {
				t.Errorf("%d attempts in 3s: there is no back-off", f)
			}
			t.Logf("%d writes, longest %v, %d failed attempts, %v of CPU (the whole process)", n, longest, m.mirror.failed.Load(), cpuTime(t)-cpu)
			heal()
			redistest.Eventually(t, 40*time.Second, func() error {
				if d := m.mirror.dirty(); d > 0 {
					return fmt.Errorf("%d keys wait, %s", d, m.mirror.trouble())
				}
				return nil
			})
		})
	}
}

// TestAFullMirrorCostsNothing: the target has no memory left. The keys are tried
// a few times and then given up, and others that it takes still pass.
func TestAFullMirrorCostsNothing(t *testing.T) {
	r, source, target := twoServers(t)
	r.begin()
	m := r.member(r.options())
	m.ready(t)
	if err := m.set(t.Context(), "sess:old", "a"); err != nil {
		t.Fatal(err)
	}
	holds(t, target, "sess:old", "a")
	redistest.Do(t, target, "CONFIG", "SET", "maxmemory", "1")
	if err := m.set(t.Context(), "sess:1", "a"); err != nil {
		t.Fatal(err)
	}
	if _, err := m.do(t.Context(), true, "del", "sess:old"); err != nil {
		t.Fatal(err)
	}
	holds(t, target, "sess:old", "") // DEL needs no memory
	redistest.Eventually(t, 20*time.Second, func() error {
		if n := m.mirror.dropped.Load(); n != 1 {
			return fmt.Errorf("%d dropped; want 1", n)
		}
		return nil
	})
	if n := m.mirror.failed.Load(); n != maxTries {
		t.Errorf("got %d failed attempts; want %d", n, maxTries)
	}
	redistest.Do(t, target, "CONFIG", "SET", "maxmemory", "0")
	if err := m.set(t.Context(), "sess:1", "b"); err != nil {
		t.Fatal(err)
	}
	holds(t, target, "sess:1", "b")
	holds(t, source, "sess:1", "b")
}

// TestColdWorkloadsAndOurOwnKeysAreNotMirrored: nor anything after phase off.
func TestColdWorkloadsAndOurOwnKeysAreNotMirrored(t *testing.T) {
	m := idle(t)
	m.mirror.cold, m.plan.cold[5] = true, true
	m.mirror.mark(&view{leased: true}, "cache:1", "transload:{test}:control", "sess:1", "other")
	if n := m.mirror.dirty(); n != 2 || !m.mirror.pending("sess:1") || !m.mirror.pending("other") {
		t.Errorf("got %d keys; want the two that are carried", n)
	}
	m.mirror.mark(&view{}, "sess:2")
	if m.mirror.pending("sess:2") {
		t.Error("a key is mirrored in a phase without a mirror")
	}
}

// TestACopyReadUnderAnOldViewIsNotSent, but tried again under the new one.
func TestACopyReadUnderAnOldViewIsNotSent(t *testing.T) {
	r, source, target := twoServers(t)
	r.begin()
	m := r.member(r.options())
	m.ready(t)
	redistest.Do(t, source, "SET", "sess:1", "a")
	p, ok := m.enterCopy(m.view.Load(), src, false)
	if !ok {
		t.Fatal("no copy is admitted")
	}
	m.mu.Lock()
	m.install()
	m.mu.Unlock()
	back, err := m.mirror.copyKeys(t.Context(), p, []item{{key: "sess:1"}})
	m.leaveCopy(p)
	if len(back) != 1 || err != nil || m.mirror.failed.Load() != 0 {
		t.Errorf("got %v, %v, %d failures; want the key back, and no trouble", back, err, m.mirror.failed.Load())
	}
	if got := redistest.Do(t, target, "GET", "sess:1"); got != nil {
		t.Errorf("got %v; want nothing sent", got)
	}
	m.mirror.mark(m.view.Load(), "sess:1")
	holds(t, target, "sess:1", "a")
}

// TestAConnectionThatWeRefuseIsNoFailure: it would shut a gate for a minute
// whenever a record changes while a copy asks for a connection.
func TestAConnectionThatWeRefuseIsNoFailure(t *testing.T) {
	r, _, _ := twoServers(t)
	r.begin()
	m := r.member(r.options())
	m.ready(t)
	p, ok := m.enterCopy(m.view.Load(), src, false)
	if !ok {
		t.Fatal("no copy is admitted")
	}
	defer m.leaveCopy(p)
	p.to.stale.Store(true)
	back, err := m.mirror.copyKeys(t.Context(), p, []item{{key: "sess:1"}})
	if len(back) != 1 || !errors.Is(err, errNoCopy) || m.mirror.failed.Load() != 0 {
		t.Errorf("got %v, %v, %d failures; want the key back, and no failure", back, err, m.mirror.failed.Load())
	}
}

// TestCopiesEndWithTheHold: no copy that was read before a hold lands after its
// acknowledgement, with the mirror slow and its every reply late.
func TestCopiesEndWithTheHold(t *testing.T) {
	r, _, target := twoServers(t)
	proxy := redistest.Proxy(t, target)
	r.begin()
	o := r.options()
	o.Target.Addrs = []string{proxy.Addr()}
	m := r.member(o)
	m.ready(t)
	proxy.SetDelay(3 * time.Millisecond)
	ctx, stop := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	for w := range 3 {
		wg.Go(func() {
			for i := 0; ctx.Err() == nil; i++ {
				_ = m.set(ctx, fmt.Sprintf("sess:%d", w), strconv.Itoa(i))
			}
		})
	}
	for i := range 5 {
		id := fmt.Sprint("mv", i)
		r.prepare(id, src, 100, 5*time.Second)
		r.acked(src, id, protocol.Prepared)
		r.hold(src)
		r.acked(src, id, protocol.Held)
		for w := range 3 { // as the coordinator's repair would: from now on nobody writes the target
			redistest.Do(t, target, "SET", fmt.Sprintf("sess:%d", w), "repaired")
		}
		pause(t.Context(), 20*time.Millisecond)
		for w := range 3 {
			if got := redistest.Do(t, target, "GET", fmt.Sprintf("sess:%d", w)); got != "repaired" {
				t.Fatalf("move %d: a copy of %v landed after the acknowledgement", i, got)
			}
		}
		next, err := r.rec[src].Abort(id, r.stamp())
		r.write(src, next, err)
	}
	stop()
	wg.Wait()
}

type targetFault struct {
	t      *testing.T
	server *redisproc.Server
	proxy  *faultproxy.Proxy
}

func (f *targetFault) must(err error) {
	f.t.Helper()
	if err != nil {
		f.t.Fatal(err)
	}
}

// cpuTime is what this process has used so far.
func cpuTime(t *testing.T) time.Duration {
	t.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		t.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
