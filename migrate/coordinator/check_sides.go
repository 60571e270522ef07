package coordinator

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/transload/transload/internal/control"
	"github.com/transload/transload/internal/protocol"
	"github.com/transload/transload/topology"
)

// judgeReach says whether a side answers, and is what it was told to be.
func (k *checker) judgeReach(f *sideFacts) {
	name := f.String()
	if mode, ok := errors.AsType[*topology.ModeError](f.err); ok {
		who := mode.Addr
		if who == "" {
			who = "the server"
		}
		k.refuse("mode", name, mode.Next, "%s was told, but %s is %s; nothing else was asked", mode.Told, who, mode.Found)
		return
	}
	if f.err != nil {
		k.refuse("reach", name, nextForReach(f.err), "%v; nothing else was asked", f.err)
		return
	}
	var gone []string
	for _, n := range f.nodes {
		if n.err != nil || n.Down {
			gone = append(gone, fmt.Sprintf("%s %s (%v)", n.Role, n.Addr, n.err))
		}
	}
	switch {
	case len(gone) == 0:
		k.ok("reach", name, "%d of %d nodes answer", len(f.nodes), len(f.nodes))
	case len(f.masters()) < f.countMasters():
		k.refuse("reach", name, "bring them back, or make them reachable from here (REDIS_ADDR_MAP maps announced addresses)", "no answer from %s", some(gone, 4))
	default:
		k.warn("reach", name, "bring them back; while one is away no process can be fenced, for it might be connected there", "no answer from %s", some(gone, 4))
	}
	if f.modeErr != nil {
		k.unknown("mode", name, fmt.Sprintf("see that it is what was told: %s", f.client.Mode()), f.modeErr)
		return
	}
	k.ok("mode", name, "%s, as told", f.client.Mode())
}

func (f *sideFacts) countMasters() (n int) {
	for _, x := range f.nodes {
		if x.Role == topology.Master {
			n++
		}
	}
	return n
}

// nextForReach tells what to do about a side that does not answer, or not well.
func nextForReach(err error) string {
	if next, ok := nextForReply(err); ok {
		return next
	}
	return "see that it runs, and that address, firewall, TLS and password are right"
}

// nextForReply tells what to do about a server that answered with an error, if
// the error says it.
func nextForReply(err error) (next string, ok bool) {
	switch {
	case redis.IsAuthError(err) || redis.HasErrorPrefix(err, "WRONGPASS") || redis.HasErrorPrefix(err, "NOAUTH"):
		next = "set user name and password as the server has them"
	case redis.HasErrorPrefix(err, "CLUSTERDOWN"):
		next = "mend the cluster: it says that slots have no master"
	case redis.HasErrorPrefix(err, "NOPERM"):
		next = "let this user run what a migration needs; docs/check.md lists it"
	case redis.HasErrorPrefix(err, "LOADING"):
		next = "wait until the server has loaded its data"
	case redis.IsOOMError(err):
		next = "raise maxmemory: the server has no room left, not even for what the migration keeps there"
	case redis.HasErrorPrefix(err, "MISCONF"):
		next = "see the server's log: it cannot save its data, and refuses writes"
	case redis.IsNoReplicasError(err):
		next = "bring replicas back, or lower min-replicas-to-write: the server refuses writes"
	case redis.HasErrorPrefix(err, "BUSY "):
		next = "wait until the script that the server runs is over, or end it with SCRIPT KILL"
	}
	return next, next != ""
}

// judgeSame refuses one Redis that was given twice. Run ids tell it; where there
// are none, the addresses, and a counter of the server that both sides show.
func (k *checker) judgeSame() {
	const next = "set REDIS_TARGET_* to the Redis that is to be moved to"
	src, dst := k.sides[protocol.Source], k.sides[protocol.Target]
	told := map[string]string{}
	for _, n := range src.nodes {
		if id := n.info["run_id"]; id != "" {
			told[id] = n.Addr
		}
	}
	known := len(told) > 0
	for _, n := range dst.nodes {
		id := n.info["run_id"]
		if addr, ok := told[id]; ok {
			k.refuse("two sides", "", next, "source and target are the same Redis: %s and %s are one process (run id %s)", addr, n.Addr, id)
			return
		}
		known = known && id != ""
	}
	for _, a := range src.masters() {
		for _, b := range dst.masters() {
			if id := a.info["master_replid"]; id != "" && id == b.info["master_replid"] {
				k.refuse("two sides", "", "have the target replicate nothing, and be empty: this migration copies by itself", "%s and %s have the same replication id: one was the other's replica", a.Addr, b.Addr)
				return
			}
		}
	}
	if known {
		k.ok("two sides", "", "no server belongs to both")
		return
	}
	for _, addr := range src.client.Config().Addrs {
		if slices.Contains(dst.client.Config().Addrs, addr) {
			k.refuse("two sides", "", next, "source and target have the same address, %s", addr)
			return
		}
	}
	if k.twice {
		k.refuse("two sides", "", next, "source and target are the same server: they count their commands together")
		return
	}
	k.ok("two sides", "", "addresses and counters differ; the servers tell no run id")
}

// judgeRecords says how far the migration is, and who leads it.
func (k *checker) judgeRecords() {
	var recs readings
	for _, s := range protocol.Sides {
		f := k.sides[s]
		if f.recordErr != nil {
			next := "let this user read " + control.Prefix(k.c.opts.Name) + "*"
			if errors.Is(f.recordErr, protocol.ErrDamaged) {
				next = fmt.Sprintf("while a process of the app runs: DEL %s on the %v, and it puts its own back; else see docs/moving.md, What if a control record is damaged?",
					control.KeysOf(k.c.opts.Name).Control, s)
			} else if errors.Is(f.recordErr, protocol.ErrFormat) {
				next = "run the migrate command of the version that wrote it"
			} else if errors.Is(f.recordErr, protocol.ErrOtherSide) {
				next = "give this migration a name of its own, here and in the app: MIGRATE_NAME; or exchange the settings; docs/moving.md, What if I move again?"
			}
			k.refuse("control record", s.String(), next, "it cannot be read: %v", f.recordErr)
			return
		}
		recs[s].Record = f.record
	}
	phase := recs.phase()
	led := "nobody leads it now"
	for _, s := range protocol.Sides {
		if h := k.sides[s].holder; h != "" {
			led = "led by " + h
		}
	}
	if phase == protocol.Done {
		k.warn("control record", "", "`migrate forget` removes what is left; a new migration has another name (MIGRATE_NAME)", "the migration is done")
		return
	}
	k.ok("control record", "", "the migration is %v; %s", phase, led)
}

// judgeTrips compares the round trips of a hold with its bound.
func (k *checker) judgeTrips() {
	var longest time.Duration
	var each []string
	for _, s := range protocol.Sides {
		most := time.Duration(0)
		for _, n := range k.sides[s].masters() {
			most = max(most, n.trip)
		}
		longest = max(longest, most)
		each = append(each, fmt.Sprintf("%v to the %v", most.Round(10*time.Microsecond), s))
	}
	need, hold := tripsInHold*longest, k.c.opts.Hold
	figure := fmt.Sprintf("%s; %d in a hold take %v of %v", strings.Join(each, ", "), tripsInHold, need.Round(10*time.Microsecond), hold)
	switch {
	case need > hold:
		k.refuse("round trip", "", fmt.Sprintf("run migrate nearer to both, or say --hold=%v if writes may be held for so long", roundUp(need)), "%s", figure)
	case 2*need > hold:
		k.warn("round trip", "", "run migrate nearer to both, or give the hold more time (--hold)", "%s", figure)
	default:
		k.ok("round trip", "", "%s", figure)
	}
}

const (
	// skewTold is how far the clocks of the sides may lie apart before it is told.
	skewTold = 100 * time.Millisecond

	// skewOwn is the same for our own clock, which only dates what people read.
	skewOwn = 5 * time.Second
)

// judgeClocks compares the servers' clocks: an expiry is a moment on them.
func (k *checker) judgeClocks() {
	most, own := time.Duration(0), time.Duration(0)
	lo, hi := [3]time.Duration{}, [3]time.Duration{}
	for _, s := range protocol.Sides {
		lo[s], hi[s] = math.MaxInt64, math.MinInt64
		for _, n := range k.sides[s].masters() {
			if n.skewErr != nil {
				k.unknown("clocks", s.String(), "compare the clocks of both sides' hosts", n.skewErr)
				return
			}
			lo[s], hi[s] = min(lo[s], n.skew), max(hi[s], n.skew)
			if n.skew.Abs() > own.Abs() {
				own = n.skew
			}
		}
		if lo[s] > hi[s] {
			return // no master answered, which was told
		}
	}
	src, dst := protocol.Source, protocol.Target
	most = max(hi[src]-lo[dst], hi[dst]-lo[src])
	const next = "set both by NTP: what expires would expire by so much earlier or later on the other side"
	switch figure := most.Round(time.Millisecond); {
	case most > k.c.opts.Limits.Skew:
		k.refuse("clocks", "", next, "source and target are %v apart; at most %v", figure, k.c.opts.Limits.Skew)
	case most > skewTold:
		k.warn("clocks", "", next, "source and target are %v apart", figure)
	case own.Abs() > skewOwn:
		k.warn("clocks", "", "set the clock of this machine: times in events and status would mislead", "source and target agree, but this machine is %v off", own.Round(time.Millisecond))
	default:
		k.ok("clocks", "", "source and target are %v apart", figure)
	}
}

// sameCounter reports whether two servers that tell no run id are one: what
// they say of the commands that they have served grows from one answer to the
// next, whichever of them is asked.
func sameCounter(ctx context.Context, a, b *topology.Client) bool {
	last := int64(-1)
	for range 4 {
		for _, c := range []*topology.Client{a, b} {
			text, err := c.Info(ctx, "stats").Result()
			n := number(infoMap(text)["total_commands_processed"])
			if err != nil || n <= last {
				return false
			}
			last = n
		}
	}
	return true
}
