package coordinator

import (
	"context"
	"fmt"
	"time"

	"github.com/transload/transload/internal/protocol"
)

// serverGates judge the servers themselves: above all that which is to take over.
func (b *bench) serverGates() {
	l := b.care.Limits
	taker := b.from.Other()
	f := b.facts[taker]
	lag := max(b.facts[protocol.Source].Lag, b.facts[protocol.Target].Lag)
	b.judge("replication lag", lag < l.Lag, Refused, "under "+l.Lag.String(), "wait, or see what slows the replicas down", "%v", lag)
	switch {
	case f.Known > 0:
		b.judge("replicas of the "+taker.String(), f.Replicas >= f.Known, Refused, fmt.Sprintf("all %d", f.Known),
			"bring the missing ones back: a failover now could lose what was just moved", "%d of %d are attached", f.Replicas, f.Known)
	default:
		b.add("replicas of the "+taker.String(), OK, "", "", "%d", f.Replicas)
	}
	if n := b.facts[protocol.Source].Moving + f.Moving; n > 0 {
		b.add("slots", Refused, "none is being moved between nodes", "let the resharding end", "%d are", n)
	} else {
		b.add("slots", OK, "", "", "none is being moved between nodes")
	}
	skew := (b.facts[protocol.Source].Skew - b.facts[protocol.Target].Skew).Abs()
	b.judge("clocks", skew <= l.Skew, Refused, "at most "+l.Skew.String()+" apart", "set both by NTP: expiries would shift by the difference", "%v apart", skew.Round(time.Millisecond))
	b.memoryGate(taker, f)
}

// hasRoom refuses a side that takes no write any more.
func hasRoom(s protocol.Side, f facts) error {
	if !f.Full {
		return nil
	}
	return refuse(memoryOf(s), raiseMemory, "%s of %s are used: it takes no writes", bytes(f.Used), bytes(f.Max))
}

func memoryOf(s protocol.Side) string { return "memory of the " + s.String() }

const raiseMemory = "raise maxmemory"

func (b *bench) memoryGate(taker protocol.Side, f facts) {
	name := memoryOf(taker)
	if f.Max == 0 {
		b.add(name, OK, "", "", "%s used, no bound is set", bytes(f.Used))
		return
	}
	bound := int64(b.care.Limits.Memory * float64(f.Max))
	if f.Used > bound {
		b.add(name, Refused, "at most "+bytes(bound), raiseMemory, "%s of %s are used", bytes(f.Used), bytes(f.Max))
		return
	}
	b.judge(name, f.Policy == "" || f.Policy == "noeviction", Warn, "",
		"set maxmemory-policy noeviction: evicted tasks and sessions are lost", "%s of %s are used; policy %s", bytes(f.Used), bytes(f.Max), f.Policy)
}

func bytes(n int64) string {
	const unit = 1024
	switch {
	case n < unit*unit:
		return fmt.Sprintf("%d KiB", n/unit)
	case n < unit*unit*unit:
		return fmt.Sprintf("%d MiB", n/unit/unit)
	}
	return fmt.Sprintf("%.1f GiB", float64(n)/unit/unit/unit)
}

// finishGates judge the end of a migration: the sides must be equal to the last,
// and the target must have proven itself for long enough.
func (t *term) finishGates(ctx context.Context, req FinishRequest) ([]Gate, error) {
	if err := t.waitPassed(ctx, stuckFor); err != nil {
		return nil, err
	}
	b, err := t.c.look(ctx, t, protocol.Source, nil, req.Care)
	if err != nil {
		return nil, err
	}
	if b.reachable() {
		b.membersGate()
		b.bypassGate()
		b.lossGate()
		b.feedGates()
		b.mirrorGate()
		b.soakGate(req.MinSoak)
	}
	return b.gates, shut(b.gates)
}

func (b *bench) soakGate(min time.Duration) {
	if min < 0 {
		return
	}
	age := time.Since(b.soaked)
	if b.soaked.IsZero() {
		age = 0
	}
	b.judge("time in soak", age >= min, Refused, "at least "+shortly(min), "wait: until then there is a way back; --min-soak sets the time", "%v", age.Round(time.Second))
}
