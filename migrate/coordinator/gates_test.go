package coordinator

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/transload/transload/internal/protocol"
	"github.com/transload/transload/migrate"
	"github.com/transload/transload/topology"
)

// sound is a bench on which every gate of a cutover to 50 % is open.
func sound() *bench {
	about := migrate.About{
		Workloads: []migrate.Workload{{Name: "w", Prefixes: []string{"w:"}}},
		Latency:   [2]migrate.Latency{{Count: 1000, P99MS: 4}, {Count: 1000, P99MS: 5}},
		Shadow:    map[string]migrate.ShadowRead{"w": {Compared: 10, Reads: [2]int64{1000, 1000}, Hits: [2]int64{900, 900}}},
	}
	entry := func(s protocol.Side) protocol.Entry {
		return protocol.Entry{ID: "m", Epoch: 7, Ready: true, Plan: "p"}
	}
	rec := func(s protocol.Side) protocol.Record {
		return protocol.Record{Format: 1, Side: s, Epoch: 7, Phase: protocol.Shadow, Plan: "p", Cuts: map[string]int{"w": 0, "other": 0}}
	}
	b := &bench{c: &Coordinator{}, from: protocol.Source, goal: map[string]int{"w": protocol.Cut(50), "other": protocol.Cut(50)},
		care:  Care{Hold: 250 * time.Millisecond, MaxHold: 250 * time.Millisecond, Limits: Limits{}.withDefaults()},
		about: map[string]migrate.About{"m": about}, census: map[string]migrate.Census{},
		roll:  map[string][3]protocol.Entry{"m": {protocol.Source: entry(protocol.Source), protocol.Target: entry(protocol.Target)}},
		began: time.Now().Add(-200 * time.Hour), soaked: time.Now().Add(-48 * time.Hour)}
	for _, s := range protocol.Sides {
		b.recs[s].Record = rec(s)
		b.facts[s] = facts{Mode: topology.Sentinel, Masters: 1, Replicas: 2, Known: 2, Trip: time.Millisecond, Used: 1 << 20}
	}
	return b
}

// TestGates shuts each gate by one figure.
func TestGates(t *testing.T) {
	for name, tt := range map[string]struct {
		spoil func(b *bench)
		gate  string
		want  Verdict
	}{
		"side unreachable":       {func(b *bench) { b.facts[protocol.Target].Err = errors.New("gone") }, "target", Refused},
		"no members":             {func(b *bench) { clear(b.roll) }, "members", Refused},
		"member lags":            {func(b *bench) { b.edit(func(e *protocol.Entry) { e.Epoch = 6 }) }, "members", Refused},
		"member without a lease": {func(b *bench) { b.edit(func(e *protocol.Entry) { e.Ready = false }) }, "members", Refused},
		"member of another plan": {func(b *bench) { b.edit(func(e *protocol.Entry) { e.Plan = "q" }) }, "members", Refused},
		"writer":                 {func(b *bench) { b.others[protocol.Source] = []bypass{{Cmd: "set"}} }, "other writers", Refused},
		"writer accepted": {func(b *bench) {
			b.others[protocol.Source], b.care.AcceptBypass = []bypass{{Cmd: "set"}}, true
		}, "other writers", Warn},
		"writer long idle":    {func(b *bench) { b.others[protocol.Source] = []bypass{{Cmd: "set", Idle: time.Hour}} }, "other writers", Warn},
		"round trip too long": {func(b *bench) { b.facts[protocol.Target].Trip = 20 * time.Millisecond }, "hold", Refused},
		"target slow":         {func(b *bench) { b.tell(func(a *migrate.About) { a.Latency[1].P99MS = 5.3 }) }, "latency of the target", Refused},
		"target slow, few commands": {func(b *bench) {
			b.tell(func(a *migrate.About) { a.Latency[1].P99MS, a.Latency[1].Count = 50, 9 })
		}, "latency of the target", Warn},
		"target never used": {func(b *bench) { b.tell(func(a *migrate.About) { a.Latency[1] = migrate.Latency{} }) }, "latency of the target", Unknown},
		"copies fail":       {func(b *bench) { b.tell(func(a *migrate.About) { a.Mirror.Recent = 1 }) }, "copies of the members", Refused},
		"reads differ":      {func(b *bench) { b.tell(func(a *migrate.About) { a.Shadow["w"] = migrate.ShadowRead{Recent: 1} }) }, "shadow reads", Refused},
		"target misses": {func(b *bench) {
			b.tell(func(a *migrate.About) {
				a.Shadow["w"] = migrate.ShadowRead{Reads: [2]int64{1000, 1000}, Hits: [2]int64{900, 800}}
			})
		}, "hits on the target", Refused},
		"target misses, few reads": {func(b *bench) {
			b.tell(func(a *migrate.About) {
				a.Shadow["w"] = migrate.ShadowRead{Reads: [2]int64{5, 5}, Hits: [2]int64{1, 0}}
			})
		}, "hits on the target", Warn},
		"shadow too short":       {func(b *bench) { b.began = time.Now() }, "time in shadow", Warn},
		"shadow of no known age": {func(b *bench) { b.began = time.Time{} }, "time in shadow", Unknown},
		"several keys": {func(b *bench) {
			b.census["m"] = migrate.Census{Whole: map[string]map[string]int64{"w": {"sinterstore": 3}}}
		}, "commands with several keys", Refused},
		"scripts without keys": {func(b *bench) { b.census["m"] = migrate.Census{AnyKey: 2} }, "scripts without keys", Refused},
		"several keys, beside scripts": {func(b *bench) {
			b.census["m"] = migrate.Census{AnyKey: 2, Whole: map[string]map[string]int64{"w": {"sinterstore": 3}}}
		}, "scripts without keys", Refused},
		"source lost":             {func(b *bench) { b.lost[protocol.Source] = true }, "data of the source", Refused},
		"target lost, owns none":  {func(b *bench) { b.lost[protocol.Target] = true }, "data", OK},
		"source lost, going back": {func(b *bench) { b.lost[protocol.Source], b.from = true, protocol.Target }, "data of the source", Warn},
		"copies fail, going back": {func(b *bench) {
			b.from = protocol.Target
			b.tell(func(a *migrate.About) { a.Mirror.Recent = 1 })
		}, "copies of the members", Warn},
		"replicas lag":    {func(b *bench) { b.facts[protocol.Target].Lag = 2 * time.Second }, "replication lag", Refused},
		"replica missing": {func(b *bench) { b.facts[protocol.Target].Replicas = 1 }, "replicas of the target", Refused},
		"slots move":      {func(b *bench) { b.facts[protocol.Target].Moving = 1 }, "slots", Refused},
		"clocks apart":    {func(b *bench) { b.facts[protocol.Target].Skew = time.Second }, "clocks", Refused},
		"target full":     {func(b *bench) { b.facts[protocol.Target].Max = 1 << 20 }, "memory of the target", Refused},
		"target evicts": {func(b *bench) {
			b.facts[protocol.Target].Max, b.facts[protocol.Target].Policy = 1<<30, "allkeys-lru"
		}, "memory of the target", Warn},
	} {
		t.Run(name, func(t *testing.T) {
			b := sound()
			b.all()
			for _, g := range b.gates {
				if g.Verdict == Refused || g.Verdict == Warn {
					t.Fatalf("a sound bench: got %+v; want it open", g)
				}
			}
			b = sound()
			tt.spoil(b)
			b.all()
			for _, g := range b.gates {
				if g.Name == tt.gate {
					if g.Verdict != tt.want || g.Figure == "" || (g.Verdict == Refused && g.Next == "") {
						t.Errorf("got %+v; want %s, with a figure and what to do", g, tt.want)
					}
					if err := shut(b.gates); (err != nil) != (tt.want == Refused) {
						t.Errorf("got %v", err)
					}
					return
				}
			}
			t.Errorf("got no gate %q among %+v", tt.gate, b.gates)
		})
	}
}

func (b *bench) edit(f func(*protocol.Entry)) {
	lines := b.roll["m"]
	f(&lines[protocol.Target])
	b.roll["m"] = lines
}

func (b *bench) tell(f func(*migrate.About)) {
	a := b.about["m"]
	f(&a)
	b.about["m"] = a
}

// TestSplitGate tells which steps a command with several keys allows.
func TestSplitGate(t *testing.T) {
	const all = protocol.Slots
	for name, tt := range map[string]struct {
		joined string
		cuts   map[string]int
		goal   map[string]int
		want   bool
	}{
		"all at once":          {"w", map[string]int{"w": 0}, map[string]int{"w": all}, true},
		"in part":              {"w", map[string]int{"w": 0}, map[string]int{"w": all / 2}, false},
		"another in part":      {"w", map[string]int{"w": 0, "x": 0}, map[string]int{"x": all / 2}, true},
		"two, both at once":    {"w+x", map[string]int{"w": 0, "x": 0}, map[string]int{"w": all, "x": all}, true},
		"two, one after other": {"w+x", map[string]int{"w": 0, "x": 0}, map[string]int{"w": all}, false},
	} {
		t.Run(name, func(t *testing.T) {
			b := sound()
			b.recs[protocol.Source].Record.Cuts, b.goal = tt.cuts, tt.goal
			b.census["m"] = migrate.Census{Whole: map[string]map[string]int64{tt.joined: {"rename": 1}}}
			b.splitGate()
			if got := shut(b.gates) == nil; got != tt.want {
				t.Errorf("got open %v; want %v: %+v", got, tt.want, b.gates)
			}
			if !tt.want && !strings.Contains(b.gates[0].Next, "--only w") {
				t.Errorf("got next step %q; want the one that works", b.gates[0].Next)
			}
		})
	}
}

// TestSplitStep wants one step that both gates of what is split let through.
func TestSplitStep(t *testing.T) {
	for name, tt := range map[string]struct {
		scripts int64
		want    string
	}{
		"commands alone": {0, "move these at once: --only w --to 100"},
		"and scripts":    {2, "move everything in one step: --to 100"},
	} {
		t.Run(name, func(t *testing.T) {
			b := sound()
			b.census["m"] = migrate.Census{AnyKey: tt.scripts, Whole: map[string]map[string]int64{"w": {"sinterstore": 3}}}
			b.splitGate()
			if len(b.gates) != 2 || b.gates[0].Next != tt.want {
				t.Errorf("got %+v; want two gates, and %q", b.gates, tt.want)
			}
		})
	}
}
