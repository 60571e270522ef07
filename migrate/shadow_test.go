package migrate

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/transload/transload/internal/protocol"
	"github.com/transload/transload/internal/redistest"
)

func TestSame(t *testing.T) {
	for name, tt := range map[string]struct {
		a, b  any
		shape shape
		want  bool
	}{
		"texts":                            {"a", "a", single, true},
		"other texts":                      {"a", "b", single, false},
		"a text and none":                  {"", nil, single, false},
		"none":                             {nil, nil, single, true},
		"texts that look like numbers":     {"1.0", "1.00", single, false},
		"a number as text in RESP2":        {"0.10000000000000001", 0.1, single, true},
		"lists":                            {[]any{"a", "b"}, []any{"a", "b"}, ordered, true},
		"lists in another order":           {[]any{"a", "b"}, []any{"b", "a"}, ordered, false},
		"sets in another order":            {[]any{"a", "b"}, []any{"b", "a"}, unordered, true},
		"a map and a list of pairs":        {map[any]any{"f": "1", "g": "2"}, []any{"g", "2", "f", "1"}, pairs, true},
		"pairs with values changed about":  {[]any{"f", "1", "g", "2"}, []any{"f", "2", "g", "1"}, pairs, false},
		"scores in pairs, or in one list":  {[]any{[]any{"m", 1.5}}, []any{"m", "1.5"}, ordered, true},
		"numbers":                          {int64(3), int64(3), ordered, true},
		"a list with one more":             {[]any{"a"}, []any{"a", "b"}, unordered, false},
		"a missing member and one missing": {[]any{nil, "a"}, []any{"a", nil}, ordered, false},
	} {
		t.Run(name, func(t *testing.T) {
			if got := same(tt.a, tt.b, tt.shape); got != tt.want {
				t.Errorf("got %v; want %v", got, tt.want)
			}
		})
	}
}

// shadowed returns a member all of whose reads are repeated.
func (r *rig) shadowed() *member {
	o := r.options()
	o.ShadowReads = 1
	m := r.member(o)
	m.ready(r.t)
	return m
}

// reads carries out a read as the front does.
func (m *member) reads(t *testing.T, args ...any) {
	t.Helper()
	units := []unit{m.plan.unit(args[1].(string))}
	p, err := m.enter(t.Context(), units, false)
	if err != nil {
		t.Fatal(err)
	}
	cmd := redis.NewCmd(t.Context(), args...)
	if err := p.pool.client.Process(t.Context(), cmd); err != nil && !errors.Is(err, redis.Nil) {
		t.Fatal(err)
	}
	if m.leave(p, units) != believed {
		t.Fatal("the read is not believed")
	}
	m.shadow.read(p, cmd, units)
}

func (m *member) counts(workload string) *shadowCounts {
	for i, name := range m.plan.names {
		if name == workload {
			return &m.shadow.by[i]
		}
	}
	return nil
}

func TestShadowReadsCompareBothSides(t *testing.T) {
	r, source, target := twoServers(t)
	r.begin()
	m := r.shadowed()
	for _, s := range []struct{ key, value string }{{"sess:1", "a"}, {"sess:2", "b"}, {"sess:3", "c"}} {
		if err := m.set(t.Context(), s.key, s.value); err != nil {
			t.Fatal(err)
		}
		holds(t, target, s.key, s.value)
	}
	redistest.Do(t, target, "SET", "sess:2", "another")
	redistest.Do(t, source, "SET", "sess:4", "by a foreigner")
	for i := range 5 {
		m.reads(t, "get", fmt.Sprintf("sess:%d", i)) // 0 is nowhere, 2 and 4 differ
	}
	m.reads(t, "ttl", "sess:1") // not compared
	sess := m.counts("sessions")
	redistest.Eventually(t, 10*time.Second, func() error {
		if c, d := sess.compared.Load(), sess.different.Load(); c != 5 || d != 2 {
			return fmt.Errorf("%d compared, %d different; want 5, 2", c, d)
		}
		return nil
	})
	a := m.about()
	if got := a.Shadow["sessions"]; got.Recent != 2 || got.Different != 2 || got.Reads[0] < 5 || got.Hits[0] >= got.Reads[0] || got.Hits[1] >= got.Hits[0] {
		t.Errorf("got %+v; want two differences, and more found on the source", got)
	}
	slices.Sort(a.Differ)
	want := []string{"sessions #" + HashKey("sess:2"), "sessions #" + HashKey("sess:4")}
	if slices.Sort(want); !slices.Equal(a.Differ, want) {
		t.Errorf("got examples %v; want %v, for sess:2 and sess:4", a.Differ, want)
	}
	for i, l := range a.Latency {
		if l.Count < 5 || l.P50MS <= 0 || l.P99MS < l.P50MS {
			t.Errorf("side %d: got latency %+v", i, l)
		}
	}
}

// TestAKeyOnItsWayIsNoDifference: the mirror is slow, and writes go on.
func TestAKeyOnItsWayIsNoDifference(t *testing.T) {
	t.Parallel()
	r, _, target := twoServers(t)
	proxy := redistest.Proxy(t, target)
	r.begin()
	o := r.options()
	o.ShadowReads = 1
	o.Target.Addrs = []string{proxy.Addr()}
	m := r.member(o)
	m.ready(t)
	proxy.SetDelay(20 * time.Millisecond)
	for i := range 200 {
		if err := m.set(t.Context(), "sess:1", fmt.Sprint(i)); err != nil {
			t.Fatal(err)
		}
		m.reads(t, "get", "sess:1")
		pause(t.Context(), 5*time.Millisecond)
	}
	sess := m.counts("sessions")
	redistest.Eventually(t, 10*time.Second, func() error {
		if len(m.shadow.queue)+len(m.shadow.again) > 0 {
			return errors.New("reads wait")
		}
		return nil
	})
	if n := sess.different.Load(); n != 0 {
		t.Errorf("%d of %d reads differ (%d skipped); want none", n, sess.compared.Load(), sess.skipped.Load())
	}
}

// TestShadowReadsNeverWait: the mirror is frozen; the queue is bounded, and what
// finds no room is skipped.
func TestShadowReadsNeverWait(t *testing.T) {
	r, _, target := twoServers(t)
	r.begin()
	m := r.shadowed()
	if err := m.set(t.Context(), "sess:1", "a"); err != nil {
		t.Fatal(err)
	}
	holds(t, target, "sess:1", "a")
	if err := target.Freeze(); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	for range 2 * shadowRoom {
		m.reads(t, "get", "sess:1")
	}
	if d := time.Since(began); d > 3*time.Second {
		t.Errorf("reads took %v with a frozen mirror", d)
	}
	if n := m.counts("sessions").skipped.Load(); n < shadowRoom/2 {
		t.Errorf("got %d skipped; want about %d", n, shadowRoom)
	}
	if err := target.Thaw(); err != nil {
		t.Fatal(err)
	}
}

func TestTheRollTellsWhatPeopleLookAt(t *testing.T) {
	t.Parallel()
	r, _, target := twoServers(t)
	r.begin()
	m := r.member(r.options())
	m.ready(t)
	if err := m.set(t.Context(), "sess:1", "a"); err != nil {
		t.Fatal(err)
	}
	holds(t, target, "sess:1", "a")
	r.prepare("mv", src, 100, time.Second)
	r.acked(src, "mv", protocol.Prepared)
	r.hold(src)
	r.acked(src, "mv", protocol.Held)
	next, err := r.rec[src].Abort("mv", r.stamp())
	r.write(src, next, err)
	redistest.Eventually(t, 10*time.Second, func() error {
		if a := aboutOf(t, r); a.Holds.Count != 1 || a.Holds.LastMS <= 0 || a.Mirror.Written != 1 || !a.Reach[0].OK || !a.Reach[1].OK || a.LeaseMS[1] < 10_000 {
			return fmt.Errorf("got %+v", a)
		}
		return nil
	})
	if err := target.Kill(); err != nil {
		t.Fatal(err)
	}
	redistest.Eventually(t, 10*time.Second, func() error {
		if a := aboutOf(t, r); a.Reach[1].OK || a.Reach[1].Error == "" || !a.Reach[0].OK {
			return fmt.Errorf("got %+v; want the target out of reach, in words", a.Reach)
		}
		return nil
	})
}

func aboutOf(t *testing.T, r *rig) (a About) {
	t.Helper()
	roll, err := r.store[src].Roll(t.Context())
	if err != nil || len(roll) != 1 {
		t.Fatalf("got %v, %v", roll, err)
	}
	if err := json.Unmarshal(roll[0].About, &a); err != nil {
		t.Fatal(err)
	}
	return a
}

func TestLatency(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLatencies(2)
		for i := range 100 {
			l.by[src][i%2].Record(time.Duration(i+1) * time.Millisecond)
		}
		l.by[dst][0].Record(time.Hour)
		if got := l.side(src); got.Count != 100 || got.P50MS < 49 || got.P50MS > 52 || got.P99MS < 97 || got.P99MS > 101 {
			t.Errorf("got %+v; want 50 and 99 ms", got)
		}
		if got := l.side(dst); got.Count != 1 || got.P99MS < 59_000 {
			t.Errorf("got %+v; want a minute", got)
		}
		time.Sleep(71 * time.Second)
		if got := l.side(src); got.Count != 0 || got.P99MS != 0 {
			t.Errorf("got %+v; want nothing left of the last minute", got)
		}
		if n, sum := l.by[src][0].Totals(); n != 50 || sum != 2500*time.Millisecond {
			t.Errorf("got totals %d, %v; want 50, 2.5s", n, sum)
		}
	})
}
