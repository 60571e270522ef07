package migrate

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/transload/transload/internal/control"
	"github.com/transload/transload/internal/protocol"
	"github.com/transload/transload/internal/redistest"
)

// renewed waits for a pool of a new lease.
func (m *member) renewed(t *testing.T, s protocol.Side, was *pool) *pool {
	t.Helper()
	var p *pool
	redistest.Eventually(t, 20*time.Second, func() error {
		if p = m.view.Load().pools[s]; p == nil || p == was {
			return errors.New("no new pool: " + m.waitsFor())
		}
		return nil
	})
	return p
}

// TestALeaseLapsesWhenTheServerIsStopped holds the source with SIGSTOP for longer
// than a lease, with a write and a read under way.
func TestALeaseLapsesWhenTheServerIsStopped(t *testing.T) {
	t.Parallel()
	r, source, target := twoServers(t)
	r.begin()
	o := r.options()
	o.Source.ReadTimeout = time.Minute // nothing but the lapse ends a command
	m := r.member(o)
	m.ready(t)
	if err := m.set(t.Context(), "sess:1", "a"); err != nil {
		t.Fatal(err)
	}
	holds(t, target, "sess:1", "a")
	was := m.view.Load().pools[src]
	units := []unit{m.plan.unit("sess:1")}
	write, err := m.enter(t.Context(), units, true)
	if err != nil {
		t.Fatal(err)
	}
	read, err := m.enter(t.Context(), units, false)
	if err != nil {
		t.Fatal(err)
	}
	if err := source.Freeze(); err != nil {
		t.Fatal(err)
	}
	sent := make(chan error, 1)
	began := time.Now()
	go func() { sent <- write.pool.client.Set(context.WithoutCancel(t.Context()), "sess:1", "b", 0).Err() }()
	err = <-sent
	if d := time.Since(began); d < protocol.LeaseFor-2*time.Second || d > protocol.LeaseFor+2*time.Second {
		t.Errorf("the command was ended after %v; want a lease length", d)
	}
	if err == nil || errors.Is(err, redis.ErrClosed) {
		t.Errorf("got %v; want an error that does not say that nothing was sent", err)
	}
	if was.valid(m.now()) || m.view.Load().pools[src] != nil {
		t.Error("the pool is in use without a lease")
	}
	if m.sides[src].orphans.len() == 0 {
		t.Error("the command that was cut off is no orphan")
	}
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if err := m.set(ctx, "sess:1", "c"); !errors.Is(err, ErrNoSide) {
		t.Errorf("a write without a lease: got %v; want ErrNoSide", err)
	}
	if err := source.Thaw(); err != nil {
		t.Fatal(err)
	}
	is := m.renewed(t, src, was)
	if err := was.client.Ping(t.Context()).Err(); !errors.Is(err, redis.ErrClosed) {
		t.Errorf("the old pool: got %v; want it closed before the new lease", err)
	}
	if is.gen == was.gen {
		t.Errorf("both pools are of lease %d", is.gen)
	}
	// A command that was checked under the old lease has no connection to go by,
	// and its reply does not count although a lease is held again.
	if err := read.pool.client.Get(t.Context(), "sess:1").Err(); !errors.Is(err, redis.ErrClosed) {
		t.Errorf("got %v; want ErrClosed", err)
	}
	if v := m.leave(read, units); v != again {
		t.Errorf("read: got verdict %v; want again", v)
	}
	if v := m.leave(write, units); v != unknown {
		t.Errorf("write: got verdict %v; want unknown", v)
	}
	if err := m.set(t.Context(), "sess:1", "d"); err != nil {
		t.Fatal(err)
	}
	holds(t, source, "sess:1", "d")
}

// TestALeaseLapsesWhenTheControlConnectionHangs: the app's own connection works
// all the time, and is not used beyond the lease.
func TestALeaseLapsesWhenTheControlConnectionHangs(t *testing.T) {
	t.Parallel()
	source := redistest.Standalone(t, redistest.Options{})
	target := redistest.Standalone(t, redistest.Options{})
	proxy := redistest.Proxy(t, source)
	r := newRig(t, config(t, source), config(t, target))
	r.begin()
	o := r.options()
	o.Source.Addrs = []string{proxy.Addr()}
	m := r.member(o)
	m.ready(t)
	if err := m.set(t.Context(), "sess:1", "a"); err != nil {
		t.Fatal(err)
	}
	holds(t, target, "sess:1", "a")
	was := m.view.Load().pools[src]
	own := appLink(t, m, proxy)
	stalled := time.Now()
	proxy.Stall()
	own.Release()
	var last time.Time
	for time.Since(stalled) < protocol.LeaseFor+2*time.Second {
		wctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		if m.set(wctx, "sess:1", "b") == nil {
			last = time.Now()
		}
		cancel()
	}
	// On a busy machine a write may time out, and its connection is lost for good:
	// so only the later bound is certain.
	if d := last.Sub(stalled); last.IsZero() || d > protocol.LeaseFor {
		t.Errorf("the last write was acknowledged %v after the stall; want one, and under a lease length", d)
	}
	proxy.Heal()
	is := m.renewed(t, src, was)
	if err := was.client.Ping(t.Context()).Err(); !errors.Is(err, redis.ErrClosed) {
		t.Errorf("the old pool: got %v; want it closed", err)
	}
	if is.gen == was.gen {
		t.Errorf("both pools are of lease %d", is.gen)
	}
	if err := m.set(t.Context(), "sess:1", "c"); err != nil {
		t.Fatal(err)
	}
}

// TestOneHangingControlConnectionCostsNothing: the next refresh takes another.
func TestOneHangingControlConnectionCostsNothing(t *testing.T) {
	t.Parallel()
	source := redistest.Standalone(t, redistest.Options{})
	target := redistest.Standalone(t, redistest.Options{})
	proxy := redistest.Proxy(t, source)
	r := newRig(t, config(t, source), config(t, target))
	r.begin()
	o := r.options()
	o.Source.Addrs = []string{proxy.Addr()}
	m := r.member(o)
	m.ready(t)
	if err := m.set(t.Context(), "sess:1", "a"); err != nil {
		t.Fatal(err)
	}
	was := m.view.Load().pools[src]
	for line := range strings.Lines(redistest.Do(t, source, "CLIENT", "LIST").(string)) {
		if f := control.ClientFields(line); f["cmd"] == "role" { // what a refresh ends with
			for _, l := range proxy.Links() {
				if l.ServerAddr() == f["addr"] {
					l.HoldReplies()
				}
			}
		}
	}
	stalled := m.now()
	redistest.Eventually(t, 10*time.Second, func() error {
		if err := m.set(t.Context(), "sess:1", "b"); err != nil {
			t.Fatal(err)
		}
		m.mu.Lock()
		defer m.mu.Unlock()
		if m.proto.Lease(src).Sent.Since(stalled) < time.Second {
			return errors.New("the lease has not been refreshed")
		}
		return nil
	})
	if m.view.Load().pools[src] != was {
		t.Error("the lease lapsed")
	}
}

// TestAHangingReplicaCostsNoLease: a change of the record that the replica does
// not confirm is aborted, and the app goes on all the while.
func TestAHangingReplicaCostsNoLease(t *testing.T) {
	t.Parallel()
	set := redistest.Sentinel(t, redistest.Options{Replicas: 1})
	target := redistest.Standalone(t, redistest.Options{})
	r := newRig(t, config(t, set), config(t, target))
	r.begin()
	m := r.member(r.options())
	m.ready(t)
	was := m.view.Load().pools[src]
	if err := set.Nodes[1].Freeze(); err != nil {
		t.Fatal(err)
	}
	r.prepare("mv", src, 100, time.Second)
	next, err := r.rec[src].Abort("mv", r.stamp())
	r.write(src, next, err)
	for began := time.Now(); time.Since(began) < protocol.LeaseFor+2*time.Second; {
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		err := m.set(ctx, "sess:1", "a") // the first needs a new connection
		cancel()
		if err != nil {
			t.Fatalf("%v after the record was changed: %v", time.Since(began), err)
		}
		pause(t.Context(), 10*time.Millisecond)
	}
	if m.view.Load().pools[src] != was {
		t.Error("the lease lapsed")
	}
}

// TestAPlainPoolIsNotCarriedIntoShadow: what was admitted in phase off has no new
// connection afterwards, and no connection at all once a move is prepared.
func TestAPlainPoolIsNotCarriedIntoShadow(t *testing.T) {
	r, _, _ := twoServers(t)
	m := r.member(r.options())
	m.reaches(t, protocol.Off)
	units := []unit{m.plan.unit("sess:1")}
	cold, err := m.enter(t.Context(), units, true)
	if err != nil {
		t.Fatal(err)
	}
	if cold.view.leased || cold.pool.leased {
		t.Fatal("phase off has a leased pool")
	}
	r.begin()
	m.reaches(t, protocol.Shadow)
	m.ready(t)
	if err := cold.pool.client.Set(t.Context(), "sess:1", "late", 0).Err(); !errors.Is(err, errStale) {
		t.Errorf("got %v; want errStale", err)
	}
	m.leave(cold, units)
	r.prepare("mv", src, 100, 5*time.Second)
	r.acked(src, "mv", protocol.Prepared)
	if err := cold.pool.client.Set(t.Context(), "sess:1", "late", 0).Err(); !errors.Is(err, redis.ErrClosed) {
		t.Errorf("got %v; want ErrClosed", err)
	}
}

// TestAnOldOperationKeepsAMemberFromAcknowledging: whatever view let it in.
func TestAnOldOperationKeepsAMemberFromAcknowledging(t *testing.T) {
	t.Parallel()
	r, _, _ := twoServers(t)
	m := r.member(r.options())
	m.reaches(t, protocol.Off)
	units := []unit{m.plan.unit("sess:1")}
	old, err := m.enter(t.Context(), units, true)
	if err != nil {
		t.Fatal(err)
	}
	name := "set"
	old.is(&name)
	r.begin()
	m.reaches(t, protocol.Shadow)
	m.ready(t)
	r.prepare("mv", src, 100, 5*time.Second)
	redistest.Eventually(t, 10*time.Second, func() error {
		roll, err := r.store[src].Roll(t.Context())
		if err != nil || len(roll) != 1 {
			t.Fatalf("got %v, %v", roll, err)
		}
		if roll[0].Ack.Move != "" {
			t.Fatalf("acknowledged %+v with a write under way", roll[0].Ack)
		}
		if roll[0].Note == "" {
			return errors.New("no note yet")
		}
		if want := "1 writes are still under way, the oldest (set) for up to "; !strings.HasPrefix(roll[0].Note, want) {
			t.Fatalf("got note %q; want %q", roll[0].Note, want)
		}
		return nil
	})
	m.leave(old, units)
	r.acked(src, "mv", protocol.Prepared)
}
