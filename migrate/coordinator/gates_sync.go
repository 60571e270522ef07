package coordinator

import (
	"fmt"
	"time"

	"github.com/transload/transload/internal/protocol"
)

// nobody is why a gate cannot be judged: only a coordinator has the feeds.
const nobody = "no coordinator runs here; judged when the step is made"

// feedGates want the sync to be complete and unbroken.
func (b *bench) feedGates() {
	if b.t == nil {
		b.add("sync", Unknown, "a pass has ended, and nothing is dirty", "", nobody)
		return
	}
	s := b.t.syncer
	names, slots := s.dirty.Len(), s.slots()
	passed := s.passed()
	b.judge("sync", passed && (slots == 0 || s.full()), Refused, "a pass has ended, no slots are dirty",
		"wait; `migrate status` tells how far it is", "%d names and %d slots are to be compared; passes ended: %v", names, slots, passed)
	for _, side := range protocol.Sides {
		f := s.feeds[side]
		if f == nil {
			b.add("feed of the "+side.String(), Warn, "", "the proof is a full pass in the hold", "this server has no CLIENT TRACKING")
			continue
		}
		since, _, whole := f.Unbroken()
		if whole {
			b.add("feed of the "+side.String(), OK, "", "", "unbroken for %v", time.Since(since).Round(time.Millisecond))
			continue
		}
		b.add("feed of the "+side.String(), Refused, "unbroken", "see that every master of it can be reached", "%v", f.LastGap())
	}
	if err := b.t.mine(); err != nil {
		b.add("lock", Refused, "held on both sides", "see that both sides answer", "%v", err)
	} else {
		b.add("lock", OK, "", "", "held on both sides")
	}
}

// tripsInHold is how many round trips one after another a hold takes, with a
// margin for the slowest member.
const tripsInHold = 25

// compareRate is how many keys a second a hold is taken to compare. Small keys
// are compared ten times as fast.
const compareRate = 5000

// holdGate wants what must be done in the hold to fit it.
func (b *bench) holdGate() {
	trip := max(b.facts[protocol.Source].Trip, b.facts[protocol.Target].Trip)
	hold := b.care.Hold
	need, also := time.Duration(0), ""
	if b.t != nil {
		if usual := b.t.syncer.speed.longest(); usual > 0 {
			trip = min(trip, usual)
		}
		need = b.asking + time.Duration(b.groups+fewNames)*time.Second/compareRate
		v := b.t.syncer.view.Load()
		large, key := b.t.syncer.large.inHold(func(key string) bool { return v.moves(key, b.goal) })
		if need += large; key != "" {
			also = fmt.Sprintf("; large keys that the app keeps writing take %v of it, %s the most", large.Round(time.Millisecond), v.alias(key))
		}
		if b.t.syncer.full() {
			need, hold = b.t.fullPass(), b.care.MaxHold
		}
	}
	need += tripsInHold * trip
	next := fmt.Sprintf("say --hold=%v if writes may be held for so long", roundUp(need))
	if b.t != nil && b.t.syncer.full() {
		next = fmt.Sprintf("say --max-hold=%v if writes may be held for so long, or use servers with CLIENT TRACKING", roundUp(need))
	}
	b.judge("hold", need <= hold, Refused, "at most "+hold.String(), next,
		"about %v expected at the worst: a round trip takes %v, and %d streams with groups are compared in it%s", need.Round(time.Millisecond), trip.Round(time.Microsecond), b.groups, also)
}

// enoughReads is how many commands a p99, or a share of hits, must come from to
// refuse by it: of fewer, it is but chance.
const enoughReads = 500

// latencyGate compares what the members measured on both sides.
func (b *bench) latencyGate() {
	var p99 [2]float64
	var count [2]int64
	for _, a := range b.about {
		for i, l := range a.Latency {
			p99[i] = max(p99[i], l.P99MS)
			count[i] += l.Count
		}
	}
	l := b.care.Limits
	bound := max(ms(l.P99), l.P99Ratio*p99[0])
	switch {
	case count[1] == 0:
		b.add("latency of the target", Unknown, fmt.Sprintf("p99 at most %.1f ms", bound),
			"see that ShadowReads is on, unless the app does not read", "no read was run on both sides in the last minute")
	case count[1] < enoughReads:
		b.judge("latency of the target", p99[1] <= bound, Warn, fmt.Sprintf("p99 at most %.1f ms", bound),
			"wait for more, or give the members more ShadowReads", "p99 %.1f ms of only %d commands in the last minute; the source's is %.1f ms", p99[1], count[1], p99[0])
	default:
		b.judge("latency of the target", p99[1] <= bound, Refused, fmt.Sprintf("p99 at most %.1f ms", bound),
			"find out what slows it down; --max-p99 sets the bound", "p99 %.1f ms; the source's is %.1f ms", p99[1], p99[0])
	}
}

// mirrorGate wants that copies arrive. A rollback is only warned: the proof finds
// what did not arrive, and who goes back must not be kept from it.
func (b *bench) mirrorGate() {
	recent, trouble := int64(0), ""
	for _, a := range b.about {
		recent += a.Mirror.Recent
		if a.Mirror.Error != "" {
			trouble = ": " + a.Mirror.Error
		}
	}
	limit, bad := b.care.Limits.MirrorFails, Refused
	if b.from == protocol.Target {
		bad = Warn
	}
	b.judge("copies of the members", recent <= limit, bad, fmt.Sprintf("at most %d failed in the last minute", limit),
		"see that members reach both sides, and wait a minute", "%d failed in the last minute%s", recent, trouble)
}

// readsGate wants reads to show the same on both sides.
func (b *bench) readsGate() {
	recent, compared := int64(0), int64(0)
	var keys []string
	for _, a := range b.about {
		for _, r := range a.Shadow {
			recent += r.Recent
			compared += r.Compared
		}
		keys = append(keys, a.Differ...)
	}
	such := ""
	if len(keys) > 0 {
		such = fmt.Sprintf(", such as %s", some(keys, 3))
	}
	limit := b.care.Limits.ReadsDiffer
	b.judge("shadow reads", recent <= limit, Refused, fmt.Sprintf("at most %d differ in the last minute", limit),
		"`migrate verify` tells more; wait a minute after it is clean", "%d differed in the last minute, of %d compared so far%s", recent, compared, such)
}

// hitGate wants the target's caches to be warm.
func (b *bench) hitGate() {
	var reads, hits [2]int64
	for _, a := range b.about {
		for w, r := range a.Shadow {
			if b.cold(w) {
				continue
			}
			for i := range reads {
				reads[i] += r.Reads[i]
				hits[i] += r.Hits[i]
			}
		}
	}
	if reads[0] == 0 || reads[1] == 0 {
		b.add("hits on the target", Unknown, fmt.Sprintf("at least %.1f %% of reads, or the source's share", 100*b.care.Limits.HitRate),
			"see that ShadowReads is on, unless the app does not read", "no read was run on both sides in the last minute")
		return
	}
	bad, few := Refused, ""
	if min(reads[0], reads[1]) < enoughReads {
		bad, few = Warn, fmt.Sprintf(", of only %d reads", reads[1])
	}
	rate := func(i int) float64 { return float64(hits[i]) / float64(reads[i]) }
	bound := min(b.care.Limits.HitRate, rate(0))
	b.judge("hits on the target", rate(1) >= bound, bad, fmt.Sprintf("at least %.1f %%", 100*bound),
		"wait until the sync has caught up, or mark the workload cold", "%.1f %%; on the source %.1f %%%s", 100*rate(1), 100*rate(0), few)
}

func (b *bench) cold(workload string) bool {
	for _, a := range b.about {
		for _, w := range a.Workloads {
			if w.Name == workload {
				return w.Cold
			}
		}
	}
	return false
}
