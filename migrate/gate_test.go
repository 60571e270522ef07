package migrate

import (
	"context"
	"errors"
	"runtime"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/transload/transload/internal/protocol"
	"github.com/transload/transload/topology"
)

// idle returns a member that dials nobody and runs nothing; views are set by hand.
func idle(t *testing.T) *member {
	t.Helper()
	o := Options{
		Name:   "test",
		Source: topology.Config{Mode: topology.Standalone, Addrs: []string{"127.0.0.1:1"}},
		Target: topology.Config{Mode: topology.Standalone, Addrs: []string{"127.0.0.1:2"}},
	}
	o, err := o.withDefaults()
	if err != nil {
		t.Fatal(err)
	}
	m, err := newMember(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		for _, s := range protocol.Sides {
			_ = m.sides[s].ctl.Close()
		}
	})
	return m
}

// leased returns a pool with a lease that began just now.
func (m *member) leased(s protocol.Side) *pool {
	p := &pool{side: s, leased: true}
	p.lease.Store(&protocol.Lease{Sent: m.now(), RunID: "run"})
	return p
}

// show installs a view of some ranges, which all workloads share.
func (m *member) show(pools [3]*pool, ranges ...protocol.Range) *view {
	v := &view{phase: protocol.Cutover, leased: true, pools: pools, copies: pools, changed: make(chan struct{})}
	for range m.plan.names {
		v.ranges = append(v.ranges, ranges)
	}
	v.sum()
	m.mu.Lock()
	defer m.mu.Unlock()
	was := m.view.Swap(v)
	m.old = append(m.old, was)
	close(was.changed)
	return v
}

const (
	src = protocol.Source
	dst = protocol.Target
)

func TestPlace(t *testing.T) {
	m := idle(t)
	all := func(read, write protocol.Side, moving bool) []protocol.Range {
		return []protocol.Range{{Lo: 0, Hi: protocol.Slots, Read: read, Write: write, Moving: moving}}
	}
	half := []protocol.Range{{Lo: 0, Hi: 8192, Read: dst, Write: dst}, {Lo: 8192, Hi: protocol.Slots, Read: src, Write: src}}
	low, high := unit{0, 10}, unit{0, 9000}
	for name, tt := range map[string]struct {
		ranges []protocol.Range
		units  []unit
		write  bool
		side   protocol.Side
		moving bool
		split  bool
	}{
		"one side":                         {all(src, src, false), []unit{low, high}, true, src, false, false},
		"prepared":                         {all(src, src, true), []unit{low}, true, src, true, false},
		"held: a write waits":              {all(src, 0, true), []unit{low}, true, 0, false, false},
		"held: a read does not":            {all(src, 0, true), []unit{low}, false, src, true, false},
		"low half":                         {half, []unit{low}, true, dst, false, false},
		"two sides":                        {half, []unit{low, high}, true, src, false, true},
		"every key, on one side":           {all(src, src, false), nil, true, src, false, false},
		"every key, while prepared":        {all(src, src, true), nil, true, src, true, false},
		"every key, in a hold":             {all(src, 0, true), nil, true, 0, true, false},
		"every key, on two sides":          {half, nil, true, 0, true, true},
		"a whole server, on two sides":     {half, nil, false, src, true, false},
		"nothing is known: a key":          {all(0, 0, false), []unit{low}, false, 0, false, false},
		"nothing is known: a whole server": {all(0, 0, false), nil, false, 0, false, false},
	} {
		t.Run(name, func(t *testing.T) {
			v := m.show([3]*pool{}, tt.ranges...)
			side, moving, split := v.place(tt.units, tt.write)
			if split != tt.split || (!split && (side != tt.side || moving != tt.moving)) {
				t.Errorf("got %v, moving %v, split %v; want %v, %v, %v", side, moving, split, tt.side, tt.moving, tt.split)
			}
		})
	}
}

func TestEnterWaitsForTheNextViewAndNoLonger(t *testing.T) {
	held := []protocol.Range{{Lo: 0, Hi: protocol.Slots, Read: src, Write: protocol.None, Moving: true}}
	open := []protocol.Range{{Lo: 0, Hi: protocol.Slots, Read: dst, Write: dst}}
	synctest.Test(t, func(t *testing.T) {
		m := idle(t)
		pools := [3]*pool{src: m.leased(src), dst: m.leased(dst)}
		m.show(pools, held...)
		got := make(chan protocol.Side)
		go func() {
			p, err := m.enter(t.Context(), []unit{{0, 1}}, true)
			if err != nil {
				t.Error(err)
			}
			m.leave(p, nil)
			got <- p.side
		}()
		synctest.Wait()
		if n := m.parked.Load(); n != 1 {
			t.Fatalf("got %d parked; want 1", n)
		}
		time.Sleep(3 * time.Second)
		m.show(pools, open...)
		if side := <-got; side != dst {
			t.Errorf("got side %v; want the target", side)
		}
		if d := m.gauges.parkedLong.Load(); d != int64(3*time.Second) {
			t.Errorf("got a longest wait of %v; want 3s", time.Duration(d))
		}

		m.show(pools, held...)
		began := time.Now()
		_, err := m.enter(t.Context(), []unit{{0, 1}}, true)
		if !errors.Is(err, ErrNoSide) || time.Since(began) != m.opts.Wait {
			t.Errorf("got %v after %v; want ErrNoSide after %v", err, time.Since(began), m.opts.Wait)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := m.enter(ctx, []unit{{0, 1}}, true); !errors.Is(err, ErrNoSide) || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v; want ErrNoSide for the deadline", err)
		}
		close(m.closing)
		if _, err := m.enter(t.Context(), []unit{{0, 1}}, true); !errors.Is(err, ErrClosed) {
			t.Errorf("got %v; want ErrClosed", err)
		}
	})
}

func TestVerdicts(t *testing.T) {
	m := idle(t)
	units := []unit{{0, 1}}
	at := func(s protocol.Side) []protocol.Range {
		return []protocol.Range{{Lo: 0, Hi: protocol.Slots, Read: s, Write: s}}
	}
	for name, tt := range map[string]struct {
		write   bool
		between func(pools [3]*pool)
		want    verdict
	}{
		"a write":                   {true, func([3]*pool) {}, believed},
		"a write, then a new view":  {true, func(p [3]*pool) { m.show(p, at(src)...) }, believed},
		"a write whose lease ended": {true, func(p [3]*pool) { p[src].lapse() }, unknown},
		"a write whose lease ended, and another was given": {true, func(p [3]*pool) {
			p[src].lapse()
			m.show([3]*pool{src: m.leased(src), dst: p[dst]}, at(src)...)
		}, unknown},
		"a read":                         {false, func([3]*pool) {}, believed},
		"a read, then a view like it":    {false, func(p [3]*pool) { m.show(p, at(src)...) }, believed},
		"a read whose keys have moved":   {false, func(p [3]*pool) { m.show(p, at(dst)...) }, again},
		"a read whose lease ended":       {false, func(p [3]*pool) { p[src].lapse() }, again},
		"a read whose lease was renewed": {false, func(p [3]*pool) { m.show([3]*pool{src: m.leased(src), dst: p[dst]}, at(src)...) }, again},
	} {
		t.Run(name, func(t *testing.T) {
			pools := [3]*pool{src: m.leased(src), dst: m.leased(dst)}
			m.show(pools, at(src)...)
			p, err := m.enter(t.Context(), units, tt.write)
			if err != nil {
				t.Fatal(err)
			}
			tt.between(pools)
			if got := m.leave(p, units); got != tt.want {
				t.Errorf("got %v; want %v", got, tt.want)
			}
		})
	}
}

// TestCountThenCheck changes views under many writers: once a view is replaced
// and its counters are zero, nobody is let in under it any more.
func TestCountThenCheck(t *testing.T) {
	m := idle(t)
	ranges := []protocol.Range{{Lo: 0, Hi: protocol.Slots, Read: src, Write: src, Moving: true}}
	pools := [3]*pool{src: m.leased(src), dst: m.leased(dst)}
	m.show(pools, ranges...)
	// Threads that the system stops where it likes find what goroutines do not.
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(16))
	var drained sync.Map // the views that are over
	ctx, stop := context.WithTimeout(t.Context(), 2*time.Second)
	defer stop()
	var wg sync.WaitGroup
	for range 16 {
		wg.Go(func() {
			for ctx.Err() == nil {
				p, err := m.enter(ctx, []unit{{0, 1}}, true)
				if err != nil {
					return
				}
				if _, over := drained.Load(p.view); over {
					t.Error("a write was let in under a view that was drained")
					stop()
				}
				m.leave(p, nil)
			}
		})
	}
	for ctx.Err() == nil {
		was := m.view.Load()
		m.show(pools, ranges...)
		for !was.moving.zero() {
			runtime.Gosched()
		}
		drained.Store(was, true)
		if was.writes.sum() != 0 {
			t.Error("a write to a moving key was counted with those that stay")
		}
		m.mu.Lock()
		m.prune()
		m.mu.Unlock()
	}
	wg.Wait()
}

func TestACopyIsDroppedWhenTheViewMoves(t *testing.T) {
	m := idle(t)
	ranges := []protocol.Range{{Lo: 0, Hi: protocol.Slots, Read: src, Write: src}}
	pools := [3]*pool{src: m.leased(src), dst: m.leased(dst)}
	v := m.show(pools, ranges...)
	p, ok := m.enterCopy(v, src, false)
	if !ok || p.from != pools[src] || p.to != pools[dst] {
		t.Fatalf("got %+v, %v; want a pass from the source to the target", p, ok)
	}
	if v.writes.sum() != 1 {
		t.Error("a copy is not counted as a write is")
	}
	m.show(pools, ranges...)
	if err := m.mayCopy(p); !errors.Is(err, errCopyMoved) {
		t.Errorf("got %v; want errCopyMoved", err)
	}
	m.leaveCopy(p)
	if !v.writes.zero() {
		t.Error("the copy is still counted")
	}
	if _, ok := m.enterCopy(v, src, false); ok {
		t.Error("a copy was admitted under a view that is over")
	}
	v = m.show([3]*pool{src: pools[src]}, ranges...)
	if _, ok := m.enterCopy(v, src, false); ok {
		t.Error("a copy was admitted without a lease on the mirror")
	}
	pools[dst] = m.leased(dst)
	v = m.show(pools, ranges...)
	p, _ = m.enterCopy(v, src, false)
	pools[dst].lapse()
	if err := m.mayCopy(p); !errors.Is(err, errCopyMoved) {
		t.Errorf("got %v after a lapse; want errCopyMoved", err)
	}
	m.leaveCopy(p)
}
