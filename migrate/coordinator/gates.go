package coordinator

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/transload/transload/internal/protocol"
	"github.com/transload/transload/migrate"
)

// A Verdict is what a gate or a check comes to.
type Verdict string

// The verdicts.
const (
	OK      Verdict = "ok"
	Warn    Verdict = "warn"
	Refused Verdict = "refuse"
	Unknown Verdict = "unknown" // cannot be told now
)

// A Gate is one condition of a move.
type Gate struct {
	Name      string  `json:"name"`
	Verdict   Verdict `json:"verdict"`
	Figure    string  `json:"figure"`
	Threshold string  `json:"threshold,omitempty"`
	Next      string  `json:"next,omitempty"` // what to do about it
}

// Limits are the thresholds of the gates. Zero fields mean the default; where
// less than nothing makes no sense, a negative value shuts the gate for good.
type Limits struct {
	P99         time.Duration `json:"p99,omitempty"`          // the target's p99 may always be this; the default is 5ms
	P99Ratio    float64       `json:"p99_ratio,omitempty"`    // or so many times the source's; the default is 1.3
	MirrorFails int64         `json:"mirror_fails,omitempty"` // copies that failed in the last minute; the default is 0
	ReadsDiffer int64         `json:"reads_differ,omitempty"` // shadow reads that differed in the last minute; the default is 0
	HitRate     float64       `json:"hit_rate,omitempty"`     // of the target's caches, or no lower than the source's; the default is 0.95
	Lag         time.Duration `json:"lag,omitempty"`          // of replicas; the default is 1s
	Skew        time.Duration `json:"skew,omitempty"`         // between the clocks of the sides; the default is 500ms
	MinShadow   time.Duration `json:"min_shadow,omitempty"`   // only warns; the default is 168h, less than 0 means none
	Memory      float64       `json:"memory,omitempty"`       // share of the target's memory that may be used; the default is 0.9
}

func (l Limits) withDefaults() Limits {
	or := func(d *time.Duration, def time.Duration) {
		if *d == 0 {
			*d = def
		}
	}
	orf := func(f *float64, def float64) {
		if *f == 0 {
			*f = def
		}
	}
	or(&l.P99, 5*time.Millisecond)
	or(&l.Lag, time.Second)
	or(&l.Skew, 500*time.Millisecond)
	or(&l.MinShadow, 168*time.Hour)
	orf(&l.P99Ratio, 1.3)
	orf(&l.HitRate, 0.95)
	orf(&l.Memory, 0.9)
	return l
}

// A bench is what gates are judged on: everything that was found out, at one
// moment, about both sides and the members.
type bench struct {
	c        *Coordinator
	t        *term // nil: nobody leads here, and what only a coordinator knows is not known
	from     protocol.Side
	goal     map[string]int
	care     Care
	recs     readings
	facts    [3]facts
	roll     map[string][3]protocol.Entry // by member, on both sides
	about    map[string]migrate.About
	census   map[string]migrate.Census
	others   [3][]bypass
	needed   [3]map[string]bool // users that the migration and the servers log in by
	shutOut  []string           // users of the source that are shut out
	hidden   error              // why the connections of some side could not be listed
	began    time.Time          // of shadow
	verified time.Time          // when a coordinator had last compared every key
	soaked   time.Time          // since when the target answers all
	lost     [3]bool            // by side: it came back without its record
	given    [3]time.Time       // by side: when it was given up
	groups   int                // streams with groups among those that move
	asking   time.Duration      // how long it took to ask all that move for their groups
	gates    []Gate
}

// look finds out what the gates of a move need.
func (c *Coordinator) look(ctx context.Context, t *term, from protocol.Side, goal map[string]int, care Care) (*bench, error) {
	sides := c.sides
	if t != nil {
		sides = t.sides
	}
	b := &bench{c: c, t: t, from: from, goal: goal, care: care, about: map[string]migrate.About{},
		roll: map[string][3]protocol.Entry{}, census: map[string]migrate.Census{}}
	b.facts = bothFacts(ctx, sides)
	for _, s := range protocol.Sides {
		if b.facts[s].Err != nil {
			continue
		}
		var err error
		if b.recs[s], err = sides[s].store.Read(ctx, false); err != nil {
			return nil, fmt.Errorf("coordinator: %w", err)
		}
		if err := b.members(ctx, sides[s]); err != nil {
			return nil, fmt.Errorf("coordinator: %w", err)
		}
		if b.others[s], b.needed[s], err = bypasses(ctx, sides[s], c.opts.Name); err != nil {
			b.hidden = fmt.Errorf("%v: %w", s, err)
		}
		b.times(ctx, sides[s])
	}
	if t != nil {
		if err := b.streams(ctx); err != nil {
			return nil, fmt.Errorf("coordinator: %w", err)
		}
	}
	return b, nil
}

// streams asks the streams that move for their groups, as it is done in a hold. A
// preview may do so beside a move, which has the connections to itself at times.
func (b *bench) streams(ctx context.Context) error {
	b.t.syncer.batches.RLock()
	defer b.t.syncer.batches.RUnlock()
	began := time.Now()
	groups, err := b.t.syncer.grouped(ctx, b.t.syncer.streamsOf(b.goal))
	b.groups, b.asking = len(groups), time.Since(began)
	return err
}

// members reads roll and census of one side.
func (b *bench) members(ctx context.Context, sd *side) error {
	roll, err := sd.store.Roll(ctx)
	if err != nil {
		return err
	}
	for _, e := range roll {
		lines := b.roll[e.ID]
		lines[sd.Side] = e
		b.roll[e.ID] = lines
		// The line on a side that a member cannot reach any more is old.
		if about, ok := aboutOf(e); ok && e.Beat >= lines[sd.Side.Other()].Beat {
			b.about[e.ID] = about
		}
	}
	census, err := sd.store.Census(ctx)
	if err != nil {
		return err
	}
	for id, text := range census {
		var c migrate.Census
		if json.Unmarshal([]byte(text), &c) == nil {
			b.census[id] = c
		}
	}
	return nil
}

// times finds in the audit when shadow and soak began, and whether it was lost.
func (b *bench) times(ctx context.Context, sd *side) {
	events, err := sd.store.Events(ctx, auditRead)
	if err != nil {
		return // then they are not known
	}
	b.lost[sd.Side] = lostIn(events, sd.Side)
	if sd.Side == protocol.Source {
		b.shutOut = stillOut(events, sd.Side)
	}
	for _, e := range events {
		if e.What == gaveUp(sd.Other()) {
			b.given[sd.Other()] = e.At
		}
	}
	for _, e := range events {
		switch e.What {
		case begun(protocol.Source):
			b.began = e.At
		case "grant on the target", gaveUp(protocol.Source):
			b.soaked = e.At
		}
	}
}

func (b *bench) add(name string, v Verdict, threshold, next, figure string, args ...any) {
	g := Gate{Name: name, Verdict: v, Threshold: threshold, Figure: fmt.Sprintf(figure, args...)}
	if v != OK {
		g.Next = next
	}
	b.gates = append(b.gates, g)
}

// judge is add with the verdict taken from a condition.
func (b *bench) judge(name string, good bool, bad Verdict, threshold, next, figure string, args ...any) {
	v := OK
	if !good {
		v = bad
	}
	b.add(name, v, threshold, next, figure, args...)
}

// gates judges a move, and refuses it at the first gate that is shut.
func (t *term) gates(ctx context.Context, from protocol.Side, goal map[string]int, care Care) ([]Gate, error) {
	b, err := t.c.look(ctx, t, from, goal, care)
	if err != nil {
		return nil, err
	}
	b.all()
	return b.gates, shut(b.gates)
}

// shut returns the refusal of the first gate that is shut.
func shut(gates []Gate) error {
	for _, g := range gates {
		if g.Verdict == Refused {
			return &Refusal{Gate: g.Name, Figure: g.Figure, Next: g.Next}
		}
	}
	return nil
}

// all judges everything, in the order in which people would ask.
func (b *bench) all() {
	if !b.reachable() {
		return
	}
	b.membersGate()
	b.bypassGate()
	b.lossGate()
	b.feedGates()
	b.holdGate()
	if b.from == protocol.Source {
		b.latencyGate()
		b.hitGate()
		b.shadowAge()
	}
	b.mirrorGate()
	b.readsGate()
	b.splitGate()
	b.serverGates()
}

func (b *bench) reachable() bool {
	good := true
	for _, s := range protocol.Sides {
		if err := b.facts[s].Err; err != nil {
			good = false
			b.add(s.String(), Refused, "", "see that it runs and can be reached", "%v", err)
		}
	}
	return good
}

func (b *bench) shadowAge() {
	min := b.care.Limits.MinShadow
	if min < 0 {
		return
	}
	if b.began.IsZero() {
		b.add("time in shadow", Unknown, shortly(min), "see `migrate status --events`", "the audit does not tell when shadow began")
		return
	}
	age := time.Since(b.began)
	b.judge("time in shadow", age >= min, Warn, "at least "+shortly(min), "go on if the load of these hours is what you will have", "%v", age.Round(time.Second))
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

func some(list []string, n int) string {
	if len(list) <= n {
		return strings.Join(list, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(list[:n], ", "), len(list)-n)
}

// shortly writes a duration without the minutes and seconds that it has not.
func shortly(d time.Duration) string {
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}
