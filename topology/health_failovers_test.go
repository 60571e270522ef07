package topology

import (
	"fmt"
	"testing"
	"time"

	dto "github.com/prometheus/client_model/go"
)

func TestFailoversAreCounted(t *testing.T) {
	f := newFailovers("")
	day := time.Date(2025, 11, 15, 0, 0, 0, 0, time.UTC)
	switched := func(at time.Time, old, addr string) {
		f.note(Event{Kind: PrimarySwitched, At: at, Old: old, Addr: addr, Duration: time.Second})
	}
	ended := func(addr string) { f.note(Event{Kind: FailoverEnded, Addr: addr, Duration: 2 * time.Second}) }
	durations := func() uint64 {
		var m dto.Metric
		if err := f.lasted.Write(&m); err != nil {
			t.Fatal(err)
		}
		return m.GetHistogram().GetSampleCount()
	}
	ended("a:1") // it came back by itself
	switched(day, "a:1", "b:1")
	switched(day.Add(time.Hour), "b:1", "c:1") // b never answered
	ended("c:1")
	ended("b:1")
	got := f.count(day.Add(24*time.Hour + time.Minute))
	if got.total != 2 || got.today != 1 || !got.last.Equal(day.Add(time.Hour)) || durations() != 1 {
		t.Errorf("got %+v, %d durations; want two, one of them of the last day, one that ended", got, durations())
	}
	for i := range 2 * failoversKept {
		switched(day.Add(48*time.Hour), fmt.Sprint(i), fmt.Sprint(i+1))
	}
	if got := f.count(day.Add(48 * time.Hour)); got.total != 2+2*failoversKept || got.today != failoversKept || len(f.open) != 1 {
		t.Errorf("got %+v, %d open; want the list to be bounded", got, len(f.open))
	}
}

func TestLag(t *testing.T) {
	at := func(s float64) time.Time { return time.Unix(1000, 0).Add(time.Duration(s * float64(time.Second))) }
	primary := func(s float64, offset int64) nodeState {
		return nodeState{Node: Node{Addr: "p:1", Role: Master}, asked: at(s), answered: at(s), offset: offset}
	}
	replica := func(s float64, offset int64) nodeState {
		return nodeState{Node: Node{Addr: "r:1", Role: Replica}, of: "p:1", asked: at(s), answered: at(s), offset: offset, linkUp: true}
	}
	lag := func(l lags, s float64, nodes ...nodeState) (time.Duration, bool) {
		snap := snapshot{at: at(s), nodes: nodes}
		l.fill(&snap)
		r := snap.nodes[len(nodes)-1]
		return r.lag, r.lagKnown
	}
	l := lags{}
	if d, ok := lag(l, 0, primary(0, 1000), replica(-0.5, 500)); ok {
		t.Errorf("behind the first answer: got %v; want it unknown", d)
	}
	for name, tt := range map[string]struct {
		replica nodeState
		want    time.Duration
		known   bool
	}{
		"has everything":             {replica(2.1, 3000), 0, true},
		"asked before the primary":   {replica(1.5, 2500), 0, true},
		"half a second behind":       {replica(2, 2500), 500 * time.Millisecond, true},
		"two seconds behind":         {replica(2.5, 1500), 2 * time.Second, true},
		"behind all that is known":   {replica(2.5, 10), 2500 * time.Millisecond, true},
		"names its primary by a NAT": {func() nodeState { n := replica(2, 2500); n.of = "10.9.9.9:1"; return n }(), 500 * time.Millisecond, true},
		"being filled":               {func() nodeState { n := replica(2, 2500); n.syncing = true; return n }(), 0, false},
		"out of touch": {func() nodeState {
			n := replica(2, 2500)
			n.linkUp, n.linkLost = false, at(-1)
			return n
		}(), 3 * time.Second, true},
	} {
		l := lags{}
		lag(l, 0, primary(0, 1000), replica(0, 0))
		lag(l, 1, primary(1, 2000), replica(1, 0))
		if got, known := lag(l, 2, primary(2, 3000), tt.replica); known != tt.known || (got-tt.want).Abs() > time.Millisecond {
			t.Errorf("%s: got %v, %v; want %v, %v", name, got, known, tt.want, tt.known)
		}
	}
	lag(l, 3, nodeState{Node: Node{Addr: "q:1", Role: Master}, asked: at(3), offset: 5}, replica(3, 5))
	if l["p:1"] != nil {
		t.Error("the offsets of a primary that was replaced are kept")
	}
}

func TestJudge(t *testing.T) {
	now := time.Now()
	good := func(addr string, role Role) nodeState {
		return nodeState{Node: Node{Addr: addr, Role: role, Slots: allSlots}, says: role, answered: now, linkUp: true}
	}
	with := func(n nodeState, f func(*nodeState)) nodeState { f(&n); return n }
	saying := func(addr string, f func(*sentinelState)) sentinelState {
		x := sentinelState{addr: addr, answered: now, master: "p:1", quorum: 2, others: 2}
		f(&x)
		return x
	}
	fine := func(*sentinelState) {}
	away := func(x *sentinelState) { x.err = ErrNoPrimary }
	set := func(nodes []nodeState, sentinels ...sentinelState) *snapshot {
		return &snapshot{nodes: nodes, sentinels: sentinels}
	}
	p, r := good("p:1", Master), good("r:1", Replica)
	s1, s2, s3 := saying("s:1", fine), saying("s:2", fine), saying("s:3", fine)
	for name, tt := range map[string]struct {
		mode  Mode
		s     *snapshot
		want  HealthStatus
		count int
	}{
		"all well":             {Sentinel, set([]nodeState{p, r}, s1, s2, s3), Healthy, 0},
		"nothing known":        {Sentinel, set(nil), Unhealthy, 2},
		"standalone alone":     {Standalone, set([]nodeState{p}), Healthy, 0},
		"no replica":           {Sentinel, set([]nodeState{p}, s1, s2, s3), Degraded, 1},
		"primary loading":      {Sentinel, set([]nodeState{with(p, func(n *nodeState) { n.loading = true }), r}, s1, s2, s3), Unhealthy, 1},
		"primary demoted":      {Sentinel, set([]nodeState{with(p, func(n *nodeState) { n.says = Replica }), r}, s1, s2, s3), Unhealthy, 1},
		"replica lags":         {Sentinel, set([]nodeState{p, with(r, func(n *nodeState) { n.lag, n.lagKnown = 2*time.Second, true })}, s1, s2, s3), Degraded, 1},
		"replica out of touch": {Sentinel, set([]nodeState{p, with(r, func(n *nodeState) { n.linkUp = false })}, s1, s2, s3), Degraded, 1},
		"a sentinel away":      {Sentinel, set([]nodeState{p, r}, s1, s2, saying("s:3", away)), Degraded, 1},
		"two sentinels away":   {Sentinel, set([]nodeState{p, r}, s1, saying("s:2", away), saying("s:3", away)), Degraded, 3},
		"a sentinel unknown":   {Sentinel, set([]nodeState{p, r}, s1), Degraded, 1},
		"they disagree":        {Sentinel, set([]nodeState{p, r}, s1, s2, saying("s:3", func(x *sentinelState) { x.master = "r:1" })), Degraded, 1},
		"slots without a primary": {Cluster, set([]nodeState{
			with(p, func(n *nodeState) { n.Slots = []SlotRange{{0, 100}} }), r}), Unhealthy, 1},
	} {
		if got, why := judge(tt.s, tt.mode); got != tt.want || len(why) != tt.count {
			t.Errorf("%s: got %s %q; want %s with %d reasons", name, got, why, tt.want, tt.count)
		}
	}
	if q := set(nil, s1, s2, saying("s:3", func(x *sentinelState) { x.master = "r:1" })).quorum(); q.masters != 2 || !q.ok() {
		t.Errorf("got %+v; want two masters named", q)
	}
}
