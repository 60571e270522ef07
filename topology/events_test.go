package topology_test

import (
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/transload/transload/internal/redistest"
	"github.com/transload/transload/topology"
)

// A listener keeps events.
type listener struct {
	mu   sync.Mutex
	list []topology.Event
}

func (h *listener) option() topology.Option {
	return topology.WithEvents(func(e topology.Event) {
		h.mu.Lock()
		defer h.mu.Unlock()
		h.list = append(h.list, e)
	})
}

// after returns the first event of a kind past the first n, and its place.
func (h *listener) after(n int, kind topology.EventKind) (topology.Event, int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for i, e := range h.list[min(n, len(h.list)):] {
		if e.Kind == kind {
			return e, n + i
		}
	}
	return topology.Event{}, -1
}

func (h *listener) kinds() (kinds []topology.EventKind) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, e := range h.list {
		kinds = append(kinds, e.Kind)
	}
	return kinds
}

// inOrder waits until events of these kinds were heard one after the other.
func (h *listener) inOrder(t *testing.T, from int, kinds ...topology.EventKind) (list []topology.Event, next int) {
	t.Helper()
	redistest.Eventually(t, 60*time.Second, func() error {
		list, next = nil, from
		for _, kind := range kinds {
			e, at := h.after(next, kind)
			if at < 0 {
				return fmt.Errorf("got %v; want %v", h.kinds()[from:], kinds)
			}
			list, next = append(list, e), at+1
		}
		return nil
	})
	return list, next
}

// TestEventsOfAFailover: a primary that dies brings these events, in this order,
// and a callback is never called twice at a time.
func TestEventsOfAFailover(t *testing.T) {
	t.Parallel()
	set := redistest.Sentinel(t, redistest.Options{})
	var h listener
	c := open(t, set.Env("REDIS"), []topology.Option{h.option()})
	roundTrip(t, c)
	list, n := h.inOrder(t, 0, topology.Connected, topology.Ready)
	old := set.Primaries(t.Context())[0]
	if list[0].Addr != old.Addr() || list[1].Addr != old.Addr() {
		t.Errorf("got %+v; want both of %s", list, old.Addr())
	}
	status(t, c, topology.Healthy)
	if err := old.Kill(); err != nil {
		t.Fatal(err)
	}
	redistest.Eventually(t, 60*time.Second, func() error { return c.Set(t.Context(), "k", "v", 0).Err() })
	list, _ = h.inOrder(t, n, topology.Reconnecting, topology.FailoverStarted, topology.PrimarySwitched, topology.Ready, topology.FailoverEnded)
	sw, ready, ended := list[2], list[3], list[4]
	if sw.Old != old.Addr() || sw.Addr == old.Addr() || sw.Addr == "" || sw.Duration <= 0 {
		t.Errorf("switched: got %+v; want it from %s, with a duration", sw, old.Addr())
	}
	if ready.Addr != sw.Addr || ended.Addr != sw.Addr || ready.Duration <= 0 || ended.Duration < sw.Duration {
		t.Errorf("got ready %+v, ended %+v; want them of %s, with durations", ready, ended, sw.Addr)
	}
	if !slices.IsSortedFunc(list, func(a, b topology.Event) int { return a.At.Compare(b.At) }) {
		t.Errorf("got %+v; want times that grow", list)
	}
	list, n = h.inOrder(t, n, topology.ReplicaDown)
	if list[0].Addr != old.Addr() {
		t.Errorf("got %+v; want the old primary down", list[0])
	}
	if err := old.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	list, _ = h.inOrder(t, n, topology.ReplicaUp)
	if list[0].Addr != old.Addr() {
		t.Errorf("got %+v; want the old primary up", list[0])
	}
	status(t, c, topology.Healthy)
	all := gather(t, c)
	for name, want := range map[string]float64{"failover_count_total": 1, "failover_duration_seconds": 1} {
		if got := values(all[name])[""]; got != want {
			t.Errorf("%s: got %v; want %v", name, got, want)
		}
	}
	if got := values(all["last_failover_timestamp"])[""]; time.Since(time.UnixMilli(int64(got*1e3))) > 10*time.Minute {
		t.Errorf("last failover: got %v", got)
	}
}

func TestEventsOfStandalone(t *testing.T) {
	t.Parallel()
	s := redistest.Standalone(t, redistest.Options{})
	var h listener
	c := open(t, s.Env("REDIS"), []topology.Option{h.option()})
	roundTrip(t, c)
	_, n := h.inOrder(t, 0, topology.Connected, topology.Ready)
	if err := s.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := c.Set(t.Context(), "k", "v", 0).Err(); err == nil {
		t.Fatal("a dead server answers")
	}
	_, n = h.inOrder(t, n, topology.Failed, topology.Reconnecting)
	if err := s.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	redistest.Eventually(t, 60*time.Second, func() error { return c.Set(t.Context(), "k", "v", 0).Err() })
	list, _ := h.inOrder(t, n, topology.Ready)
	if list[0].Duration <= 0 {
		t.Errorf("got %+v; want how long it was away", list[0])
	}
}

func TestEventsOfAClusterFailover(t *testing.T) {
	t.Parallel()
	set := redistest.Cluster(t, redistest.Options{})
	var h listener
	c := open(t, set.Env("REDIS"), []topology.Option{h.option()})
	roundTrip(t, c)
	status(t, c, topology.Healthy)
	_, n := h.inOrder(t, 0, topology.Connected, topology.Ready)
	old := set.Nodes[0]
	if err := old.Kill(); err != nil {
		t.Fatal(err)
	}
	list, n := h.inOrder(t, n, topology.NodeFailed, topology.Reconnecting, topology.FailoverStarted, topology.PrimarySwitched, topology.FailoverEnded, topology.Ready)
	if sw := list[3]; list[0].Addr != old.Addr() || sw.Old != old.Addr() || sw.Addr == old.Addr() || sw.Duration <= 0 {
		t.Errorf("got %+v; want %s replaced", list, old.Addr())
	}
	status(t, c, topology.Degraded)
	if err := old.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	h.inOrder(t, n, topology.ReplicaUp)
	got := status(t, c, topology.Healthy)
	if f := got.Failover; f.CountTotal != 1 || f.Count24h != 1 || f.LastAt == nil || f.ConfigEpoch != nil {
		t.Errorf("got %+v; want one failover", f)
	}
	if n := values(gather(t, c)["failover_duration_seconds"])[""]; n != 1 {
		t.Errorf("got %v durations; want one", n)
	}
}
