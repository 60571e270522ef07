package migrate

import (
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/transload/transload/internal/control"
	"github.com/transload/transload/internal/faultproxy"
	"github.com/transload/transload/internal/protocol"
	"github.com/transload/transload/internal/redistest"
)

// What a member does on real connections, and when: each of these tests is about
// an order between two steps, and holds things up between them.

// TestALeaseCountsFromBeforeItsRefreshWasSent, however late the reply is.
func TestALeaseCountsFromBeforeItsRefreshWasSent(t *testing.T) {
	t.Parallel()
	source, target := redistest.Standalone(t, redistest.Options{}), redistest.Standalone(t, redistest.Options{})
	proxy := redistest.Proxy(t, source)
	r := newRig(t, config(t, source), config(t, target))
	r.begin()
	o := r.options()
	o.Source.Addrs = []string{proxy.Addr()}
	m := r.member(o)
	m.ready(t)
	lease := func() protocol.Lease {
		m.mu.Lock()
		defer m.mu.Unlock()
		return m.proto.Lease(src)
	}
	for _, l := range proxy.Links() {
		l.HoldReplies()
	}
	before := lease()
	redistest.Eventually(t, 10*time.Second, func() error {
		if !slices.ContainsFunc(proxy.Links(), func(l *faultproxy.Link) bool { return l.HeldReplies() > 0 }) {
			return errors.New("no refresh was answered")
		}
		return nil
	})
	released := m.now()
	for _, l := range proxy.Links() {
		l.Release()
	}
	redistest.Eventually(t, 10*time.Second, func() error {
		switch now := lease(); {
		case now == before:
			return errors.New("not refreshed yet")
		case now.Sent.Mono >= released.Mono:
			t.Errorf("the lease counts from %v after its refresh was answered", now.Sent.Since(released))
		}
		return nil
	})
}

// TestARecordIsObeyedOnceEveryReplicaHasIt: until then nothing is acknowledged.
func TestARecordIsObeyedOnceEveryReplicaHasIt(t *testing.T) {
	t.Parallel()
	r, source, _ := twoServers(t)
	replica := redistest.Standalone(t, redistest.Options{})
	host, port, err := net.SplitHostPort(source.Addr())
	if err != nil {
		t.Fatal(err)
	}
	redistest.Do(t, replica, "REPLICAOF", host, port)
	redistest.Eventually(t, 20*time.Second, func() error {
		if list := redistest.Do(t, source, "ROLE").([]any)[2].([]any); len(list) != 1 {
			return errors.New("the replica is not online")
		}
		return nil
	})
	r.begin()
	m := r.member(r.options())
	m.ready(t)
	if err := replica.Freeze(); err != nil {
		t.Fatal(err)
	}
	r.prepare("mv", src, 100, 5*time.Second)
	for began := time.Now(); time.Since(began) < time.Second; pause(t.Context(), 10*time.Millisecond) {
		if mv := m.obeyed(src).Move; mv != nil {
			t.Fatalf("obeyed %+v, which the replica has not got", mv)
		}
	}
	if err := replica.Thaw(); err != nil {
		t.Fatal(err)
	}
	r.acked(src, "mv", protocol.Prepared)
}

// TestACopyUnderWayKeepsAMemberFromAcknowledging a hold.
func TestACopyUnderWayKeepsAMemberFromAcknowledging(t *testing.T) {
	t.Parallel()
	source, target := redistest.Standalone(t, redistest.Options{}), redistest.Standalone(t, redistest.Options{})
	proxy := redistest.Proxy(t, target)
	r := newRig(t, config(t, source), config(t, target))
	r.begin()
	o := r.options()
	o.Target.Addrs, o.Target.DialTimeout, o.Target.ReadTimeout = []string{proxy.Addr()}, time.Minute, time.Minute
	m := r.member(o)
	m.ready(t)
	r.prepare("mv", src, 100, 30*time.Second)
	r.acked(src, "mv", protocol.Prepared)
	links := proxy.Links()
	proxy.Stall()
	if err := m.set(t.Context(), "sess:1", "a"); err != nil {
		t.Fatal(err)
	}
	redistest.Eventually(t, 10*time.Second, func() error { // the first copy asks for a connection of its own
		if !slices.ContainsFunc(proxy.Links(), func(l *faultproxy.Link) bool { return !slices.Contains(links, l) && l.Held() > 0 }) {
			return errors.New("no copy is under way")
		}
		return nil
	})
	r.hold(src)
	redistest.Eventually(t, 10*time.Second, func() error {
		if !m.obeyed(src).At("mv", protocol.Held) {
			return errors.New("the hold is not obeyed yet")
		}
		return nil
	})
	time.Sleep(300 * time.Millisecond)
	roll, err := r.store[src].Roll(t.Context())
	if err != nil || len(roll) != 1 || roll[0].Ack.Stage != protocol.Prepared {
		t.Errorf("got %+v, %v with a copy under way; want the hold not acknowledged", roll, err)
	}
	proxy.Heal()
	r.acked(src, "mv", protocol.Held)
}

// TestACopyTriedAgainTakesTheDirectionOfItsNewView: it could not be written, and
// the key has moved and was written there since.
func TestACopyTriedAgainTakesTheDirectionOfItsNewView(t *testing.T) {
	t.Parallel()
	r, source, target := twoServers(t)
	r.begin()
	m := r.member(r.options())
	m.ready(t)
	if err := m.set(t.Context(), "sess:1", "first"); err != nil {
		t.Fatal(err)
	}
	holds(t, target, "sess:1", "first")
	redistest.Do(t, target, "CONFIG", "SET", "maxmemory", "1")
	if err := m.set(t.Context(), "sess:1", "a"); err != nil {
		t.Fatal(err)
	}
	redistest.Eventually(t, 10*time.Second, func() error {
		if n := m.mirror.failed.Load(); n < 4 {
			return fmt.Errorf("%d tries have failed", n)
		}
		return nil
	})
	redistest.Do(t, target, "CONFIG", "SET", "maxmemory", "0") // the next try is in 800 ms
	r.move("mv", src, 100)
	m.reaches(t, protocol.Soak)
	if err := m.set(t.Context(), "sess:1", "b"); err != nil {
		t.Fatal(err)
	}
	holds(t, source, "sess:1", "b")
	redistest.Eventually(t, 10*time.Second, func() error {
		if n := m.mirror.dirty(); n > 0 {
			return fmt.Errorf("%d keys wait to be copied", n)
		}
		return nil
	})
	holds(t, target, "sess:1", "b")
}

// TestARetryIsHeldToo: a write that got no reply is tried again only as a new one
// would be let in.
func TestARetryIsHeldToo(t *testing.T) {
	t.Parallel()
	source, target := redistest.Standalone(t, redistest.Options{}), redistest.Standalone(t, redistest.Options{})
	proxy := redistest.Proxy(t, source)
	p := newPair(t, envConfig(t, source.Env("REDIS")), envConfig(t, target.Env("REDIS")))
	c := p.member(func(o *Options) {
		o.Source.Addrs, o.Source.Retries, o.Retries = []string{proxy.Addr()}, 3, 3
	})
	p.shadow(c)
	mv := p.prepare(src, everything(100))
	mv.acked(protocol.Prepared)
	if err := c.Set(t.Context(), "k", "first", 0).Err(); err != nil {
		t.Fatal(err)
	}
	link := appLink(t, c.m, proxy)
	link.Hold()
	done := make(chan error, 1)
	go func() { done <- c.Set(t.Context(), "k", "again", 0).Err() }()
	redistest.Eventually(t, 10*time.Second, func() error {
		if link.Held() == 0 {
			return errors.New("nothing was sent")
		}
		return nil
	})
	p.change(src, func(rec protocol.Record, st protocol.Stamp) (protocol.Record, error) { return rec.Hold(mv.id, "", st) })
	redistest.Eventually(t, 10*time.Second, func() error {
		if !c.m.obeyed(src).At(mv.id, protocol.Held) {
			return errors.New("the hold is not obeyed yet")
		}
		return nil
	})
	link.Cut()
	mv.acked(protocol.Held)
	waitParked(t, c, 1)
	if got := p.get(src, "k"); got != "first" {
		t.Errorf("got %q in a hold; want first", got)
	}
	mv.flip()
	if err := <-done; err != nil {
		t.Error(err)
	}
	p.mirrored("k", "again")
	if got := redistest.Do(t, source, "GET", "k"); got != "again" {
		t.Errorf("got %v; want the copy of the retry", got)
	}
}

// TestWhatMayTouchAnyKeyIsHeld: a script that declares none, by itself and beside
// commands on keys that stay.
func TestWhatMayTouchAnyKeyIsHeld(t *testing.T) {
	t.Parallel()
	p := embeddedPair(t)
	c := p.member()
	p.shadow(c)
	ctx := t.Context()
	stays, script := keyBelow("k", 10, false, 0), "return redis.call('SET', 'any', ARGV[1])"
	for name, run := range map[string]func() error{
		"alone": func() error { return c.Eval(ctx, script, nil, "alone").Err() },
		"in a transaction": func() error {
			_, err := c.TxPipelined(ctx, func(pipe redis.Pipeliner) error {
				pipe.Set(ctx, stays, 1, 0)
				pipe.Eval(ctx, script, nil, "in a transaction")
				return nil
			})
			return err
		},
		"in a pipeline": func() error {
			_, err := c.Pipelined(ctx, func(pipe redis.Pipeliner) error {
				pipe.Set(ctx, stays, 1, 0)
				pipe.Eval(ctx, script, nil, "in a pipeline")
				return nil
			})
			return err
		},
	} {
		mv := p.prepare(src, everything(10))
		mv.hold()
		done := make(chan error, 1)
		go func() { done <- run() }()
		waitParked(t, c, 1)
		if got := p.get(src, "any"); got == name {
			t.Errorf("%s: it was carried out in a hold", name)
		}
		mv.abort()
		if err := <-done; err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if got := p.get(src, "any"); got != name {
			t.Errorf("%s: got %q afterwards", name, got)
		}
	}
}

// TestNothingIsSentBeforeTheFirstCheck of a connection is over.
func TestNothingIsSentBeforeTheFirstCheck(t *testing.T) {
	t.Parallel()
	r, source, _ := twoServers(t)
	r.begin()
	m := r.member(r.options())
	m.ready(t)
	client := m.view.Load().pools[src].client // it has no connection yet
	ours := func() (n int) {
		for line := range strings.Lines(redistest.Do(t, source, "CLIENT", "LIST").(string)) {
			if control.ClientFields(line)["name"] == m.clientName() {
				n++
			}
		}
		return n
	}
	m.mu.Lock() // what is obeyed cannot be told, so the check waits
	before := ours()
	done := make(chan error, 1)
	go func() { done <- client.Set(t.Context(), "sess:1", "a", 0).Err() }()
	redistest.Eventually(t, 10*time.Second, func() error {
		if ours() <= before {
			return errors.New("there is no new connection")
		}
		return nil
	})
	time.Sleep(200 * time.Millisecond)
	if got := redistest.Do(t, source, "GET", "sess:1"); got != nil {
		t.Errorf("got %v; want nothing written before the check", got)
	}
	m.mu.Unlock()
	if err := <-done; err != nil {
		t.Error(err)
	}
	holds(t, source, "sess:1", "a")
}

// TestAnOldCommandHasNoConnection: a lease lapsed after it was let in. Its pool is
// closed, with the connections that lie idle in it, and only then is there a new
// lease.
func TestAnOldCommandHasNoConnection(t *testing.T) {
	t.Parallel()
	r, source, _ := twoServers(t)
	r.begin()
	m := r.member(r.options())
	m.ready(t)
	if err := m.set(t.Context(), "sess:1", "a"); err != nil { // its connection lies idle now
		t.Fatal(err)
	}
	units := []unit{m.plan.unit("sess:1")}
	old, err := m.enter(t.Context(), units, true)
	if err != nil {
		t.Fatal(err)
	}
	orphans := m.sides[src].orphans
	orphans.mu.Lock() // so that the pool's closing hangs: each connection of a lapsed lease is noted
	unlock := sync.OnceFunc(orphans.mu.Unlock)
	defer unlock()
	m.loses(src)
	redistest.Eventually(t, 10*time.Second, func() error {
		if m.view.Load().pools[src] == old.pool {
			return errors.New("the lease has not lapsed")
		}
		return nil
	})
	for began := time.Now(); time.Since(began) < 500*time.Millisecond; pause(t.Context(), 5*time.Millisecond) {
		if m.view.Load().pools[src] != nil {
			t.Error("a new lease was given before the old pool was closed")
			break
		}
	}
	unlock()
	m.renewed(t, src, old.pool)
	if err := old.pool.client.Set(t.Context(), "sess:1", "late", 0).Err(); !errors.Is(err, redis.ErrClosed) {
		t.Errorf("got %v; want ErrClosed", err)
	}
	if v := m.leave(old, units); v != unknown {
		t.Errorf("got verdict %v; want unknown", v)
	}
	if got := redistest.Do(t, source, "GET", "sess:1"); got != "a" {
		t.Errorf("got %v; want a: an old command was carried out", got)
	}
}

// TestTheClockTellsBothTimes: the monotonic one counts from the process's start,
// the wall clock is the machine's.
func TestTheClockTellsBothTimes(t *testing.T) {
	began := time.Now().Add(-time.Hour)
	before := time.Now()
	at := clock{began}.now()
	after := time.Now()
	if at.Wall < time.Duration(before.UnixNano()) || at.Wall > time.Duration(after.UnixNano()) {
		t.Errorf("wall: got %v; want between %v and %v", at.Wall, before.UnixNano(), after.UnixNano())
	}
	if at.Mono < before.Sub(began) || at.Mono > after.Sub(began) {
		t.Errorf("monotonic: got %v; want %v to %v", at.Mono, before.Sub(began), after.Sub(began))
	}
}
