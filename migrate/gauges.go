package migrate

import (
	"slices"
	"sync/atomic"
	"time"

	"github.com/transload/transload/internal/protocol"
)

// gauges count what a member has seen, for the roll and the metrics.
type gauges struct {
	parkedTotal atomic.Int64
	parkedLong  atomic.Int64 // nanoseconds: the longest wait since the last hold began
	holds       atomic.Int64
	holdSum     atomic.Int64 // nanoseconds
	holdLast    atomic.Int64
	holdLong    atomic.Int64
	roundTrip   [3]atomic.Int64 // nanoseconds: the last refresh, by side

	beats   [3]string // the coordinator's, as each side told it last; guarded by the member's mu, as is heardAt
	heardAt time.Time // when a beat was new, or the member began
}

// hearBeat notes that a coordinator lives if it has beaten since the side was asked
// last.
func (g *gauges) hearBeat(s protocol.Side, beat string) {
	if beat != "" && g.beats[s] != "" && g.beats[s] != beat || g.heardAt.IsZero() {
		g.heardAt = time.Now()
	}
	g.beats[s] = beat
}

// silence is how long no coordinator has been heard of.
func (m *member) silence() time.Duration {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.gauges.heardAt.IsZero() {
		return 0
	}
	return time.Since(m.gauges.heardAt)
}

func (g *gauges) park(d time.Duration) {
	g.parkedTotal.Add(1)
	raise(&g.parkedLong, d)
}

func raise(to *atomic.Int64, d time.Duration) {
	for {
		was := to.Load()
		if int64(d) <= was || to.CompareAndSwap(was, int64(d)) {
			return
		}
	}
}

// watchHold measures holds as this member sees them: from the view that parks
// writes for a move to the one that lets them go.
func (g *gauges) watchHold(was, v *view, move bool, now protocol.Instant) {
	began := was.heldSince != protocol.Instant{}
	switch {
	case v.held && !began && !move:
	case v.held && !began:
		g.parkedLong.Store(0)
		v.heldSince = now
	case v.held:
		v.heldSince = was.heldSince
	case began:
		d := now.Since(was.heldSince)
		g.holds.Add(1)
		g.holdSum.Add(int64(d))
		g.holdLast.Store(int64(d))
		raise(&g.holdLong, d)
	}
}

// An About is what a member tells of itself on the roll: what people and gates
// look at, and nothing that the protocol reads. Arrays by side are source, target.
type About struct {
	Version   string     `json:"version,omitempty"`
	Workloads []Workload `json:"workloads"`
	Phase     string     `json:"phase"`
	LeaseMS   [2]int64   `json:"lease_ms"` // left of each lease
	Reach     [2]Reach   `json:"reach"`

	Parked   int64   `json:"parked"`          // operations that wait now
	ParkedMS float64 `json:"longest_wait_ms"` // the longest that one waited since the last hold began
	Holds    Holds   `json:"holds"`
	UnderWay int64   `json:"under_way"` // writes and copies sent and not answered
	OldestMS float64 `json:"oldest_ms"` // since when, at most
	Oldest   string  `json:"oldest,omitempty"`
	Orphans  int     `json:"orphans"` // connections given up that have not been killed yet

	Dirty   int                   `json:"dirty"`             // keys that wait to be copied
	Waiting map[string]Waiting    `json:"waiting,omitempty"` // the same by workload, of the first of them
	Mirror  MirrorAbout           `json:"mirror"`
	Shadow  map[string]ShadowRead `json:"shadow_reads,omitempty"` // by workload
	Differ  []string              `json:"differing,omitempty"`    // workload and HashKey of the last reads that differed
	Latency [2]Latency            `json:"latency"`                // of the last minute
}

// A Reach says whether a member can reach a side.
type Reach struct {
	OK    bool    `json:"ok"`
	MS    float64 `json:"ms"` // the last round trip that was answered
	Error string  `json:"error,omitempty"`
}

// Holds tells how long a member's writes were held.
type Holds struct {
	Count  int64   `json:"count"`
	LastMS float64 `json:"last_ms"`
	LongMS float64 `json:"longest_ms"`
}

// A MirrorAbout counts copies since the member began; Recent is failures and
// drops of the last minute.
type MirrorAbout struct {
	Written int64   `json:"written"`
	Failed  int64   `json:"failed"`
	Dropped int64   `json:"dropped"`
	Recent  int64   `json:"recent"`
	LagMS   float64 `json:"lag_ms"`
	Error   string  `json:"error,omitempty"`
}

// A ShadowRead counts one workload's reads that were repeated on both sides;
// Recent is the differences, and Reads and Hits are those of single values, of the
// last minute.
type ShadowRead struct {
	Compared  int64    `json:"compared"`
	Different int64    `json:"different"`
	Failed    int64    `json:"failed,omitempty"` // the mirror did not answer, or refused
	Recent    int64    `json:"recent"`
	Reads     [2]int64 `json:"reads"`
	Hits      [2]int64 `json:"hits"`
}

// about gathers what the roll tells of this member, less what changes with
// every refresh. It is called once a second, off the path of a refresh.
func (m *member) about() About {
	v, now := m.view.Load(), time.Now()
	a := About{
		Version: m.opts.Version, Workloads: m.opts.Workloads, Phase: v.phase.String(),
		Parked: m.parked.Load(), ParkedMS: ms(m.gauges.parkedLong.Load()),
		Holds: Holds{Count: m.gauges.holds.Load(), LastMS: ms(m.gauges.holdLast.Load()), LongMS: ms(m.gauges.holdLong.Load())},
		Dirty: m.mirror.dirty(), Waiting: m.mirror.waiting(), Differ: m.shadow.names(), Shadow: map[string]ShadowRead{},
		Mirror: MirrorAbout{
			Written: m.mirror.written.Load(), Failed: m.mirror.failed.Load(), Dropped: m.mirror.dropped.Load(),
			Recent: m.mirror.recent.Sum(), LagMS: ms(int64(m.mirror.lag(now))), Error: m.mirror.trouble(),
		},
	}
	for i, s := range protocol.Sides {
		a.Latency[i] = m.shadow.latency.side(s)
		a.Orphans += m.sides[s].orphans.len()
	}
	for w := range m.shadow.by {
		if r := m.shadow.by[w].about(); r != (ShadowRead{}) {
			a.Shadow[m.plan.names[w]] = r
		}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	at := m.now()
	var left rest
	for _, x := range append(slices.Clip(m.old), v) {
		left.add(&x.writes, at)
		left.add(&x.moving, at)
	}
	if a.UnderWay = left.count; left.count > 0 {
		a.OldestMS, a.Oldest = ms(int64(left.oldest)), left.name
	}
	for i, s := range protocol.Sides {
		a.LeaseMS[i] = m.proto.Lease(s).Left(at).Milliseconds()
		a.Reach[i] = Reach{OK: m.sides[s].err == nil && m.proto.Heard(s), MS: ms(m.gauges.roundTrip[s].Load())}
		if err := m.sides[s].err; err != nil {
			a.Reach[i].Error = err.Error()
		}
	}
	return a
}

func (c *shadowCounts) about() ShadowRead {
	r := ShadowRead{Compared: c.compared.Load(), Different: c.different.Load(), Failed: c.failed.Load(), Recent: c.recent.Sum()}
	for i, s := range protocol.Sides {
		r.Reads[i], r.Hits[i] = c.reads[s].Sum(), c.hits[s].Sum()
	}
	return r
}

func ms(ns int64) float64 { return float64(ns/1000) / 1000 }
