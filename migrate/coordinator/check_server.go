package coordinator

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/transload/transload/internal/protocol"
	"github.com/transload/transload/topology"
)

// judgeServer judges how the servers of a side are set up.
func (k *checker) judgeServer(f *sideFacts) {
	if f.mute() {
		k.warn("server", f.String(), "ask whoever runs it: does it keep its data, has it replicas, what is its bound of memory, does it evict",
			"unknown: it tells nothing of itself, as an embedded one")
		return
	}
	k.judgeSlots(f)
	k.judgeReplicas(f)
	k.judgeQuorum(f)
	k.judgePersistence(f)
	k.judgeRestart(f)
	k.judgeMinReplicas(f)
	k.judgeEviction(f)
}

// judgeSlots wants every slot of a cluster to be served, and none on its way.
func (k *checker) judgeSlots(f *sideFacts) {
	if f.client.Mode() != topology.Cluster {
		return
	}
	moving := 0
	var bad []string
	for _, n := range f.masters() {
		moving += n.moving
		assigned, ok := number(n.cluster["cluster_slots_assigned"]), number(n.cluster["cluster_slots_ok"])
		if state := n.cluster["cluster_state"]; state != "ok" || assigned < protocol.Slots || ok < protocol.Slots {
			bad = append(bad, fmt.Sprintf("%s says: state %s, %d slots assigned, %d served", n.Addr, state, assigned, ok))
		}
	}
	slices.Sort(bad)
	switch {
	case len(bad) > 0:
		k.refuse("slots", f.String(), "see CLUSTER NODES; redis-cli --cluster check and fix", "of %d slots some have no master: %s", protocol.Slots, some(bad, 2))
	case moving > 0:
		k.refuse("slots", f.String(), "let the resharding end, or end it: redis-cli --cluster fix", "some are being moved between nodes (%d marks)", moving)
	default:
		k.ok("slots", f.String(), "all %d are served, none is being moved", protocol.Slots)
	}
}

// replicasOf counts the replicas of a master that are attached.
func replicasOf(n *nodeFacts) (online int) {
	for i := 0; ; i++ {
		line, ok := n.info["slave"+strconv.Itoa(i)]
		if !ok {
			return online
		}
		if commaMap(line)["state"] == "online" {
			online++
		}
	}
}

func (k *checker) judgeReplicas(f *sideFacts) {
	if f.client.Mode() == topology.Standalone {
		return
	}
	var alone []string
	known, online := len(f.nodes)-f.countMasters(), 0
	for _, n := range f.masters() {
		have := replicasOf(n)
		online += have
		if have == 0 {
			alone = append(alone, n.Addr)
		}
	}
	switch {
	case len(alone) > 0:
		k.warn("replicas", f.String(), "add a replica to each: when such a master dies, its keys are gone", "none is attached to %s", some(alone, 4))
	case online < known:
		k.warn("replicas", f.String(), "bring the missing ones back: a cutover waits for all", "%d of %d are attached", online, known)
	default:
		k.ok("replicas", f.String(), "%d, all attached", online)
	}
}

func (k *checker) judgeQuorum(f *sideFacts) {
	if f.client.Mode() != topology.Sentinel {
		return
	}
	var bad []string
	agreed := ""
	for _, q := range f.quorum {
		if q.Err != nil {
			bad = append(bad, fmt.Sprintf("%s: %v", q.Addr, q.Err))
		} else {
			agreed = q.Says
		}
	}
	const next = "see SENTINEL SENTINELS and SENTINEL CKQUORUM; bring sentinels back, or lower the quorum"
	switch {
	case agreed == "":
		k.refuse("quorum", f.String(), next, "no sentinel could begin a failover: %s", some(bad, 3))
	case len(bad) > 0:
		k.warn("quorum", f.String(), next, "%s", some(bad, 3))
	case len(f.quorum) < 3:
		k.warn("quorum", f.String(), "name at least three sentinels, on three hosts", "%d sentinels are named; %s", len(f.quorum), agreed)
	default:
		k.ok("quorum", f.String(), "%s", agreed)
	}
}

// kept says how a master keeps its data; known is false if it would not tell.
func (n *nodeFacts) kept() (how string, keeps, known bool) {
	save, told := n.config["save"]
	switch {
	case n.info["aof_enabled"] == "1":
		return "append-only file", true, true
	case told && save != "":
		return "snapshots (" + save + ")", true, true
	}
	return "nothing is kept", false, told && n.info["aof_enabled"] != ""
}

func (k *checker) judgePersistence(f *sideFacts) {
	var failing, none []string
	how := ""
	for _, n := range f.masters() {
		text, keeps, known := n.kept()
		how = text
		switch {
		case n.info["rdb_last_bgsave_status"] == "err" || n.info["aof_last_write_status"] == "err" || n.info["aof_last_bgrewrite_status"] == "err":
			failing = append(failing, n.Addr)
		case !known && !keeps:
			k.unknown("persistence", f.String(), "see whether the service keeps data: snapshots, append-only file", orRefused(n.configErr))
			return
		case !keeps:
			none = append(none, n.Addr)
		}
	}
	const what = "set appendonly yes, or save points: a restart loses everything, the migration's record too"
	switch {
	case len(failing) > 0:
		k.refuse("persistence", f.String(), "see the server's log: disk full, rights, or too little memory to fork. It may soon refuse writes (MISCONF)", "the last save failed on %s", some(failing, 4))
	case len(none) > 0:
		k.warn("persistence", f.String(), what, "nothing is kept on disk by %s", some(none, 4))
	default:
		k.ok("persistence", f.String(), "%s", how)
	}
}

// judgeRestart finds primaries that would come back empty before anybody has
// noticed that they were gone, and whose replicas would then copy the emptiness.
func (k *checker) judgeRestart(f *sideFacts) {
	var risky []string
	for _, n := range f.masters() {
		if _, keeps, known := n.kept(); !keeps && known && replicasOf(n) > 0 {
			by := n.info["process_supervised"]
			if by == "" || by == "no" {
				by = "nothing that it tells of"
			}
			risky = append(risky, fmt.Sprintf("%s (%d replicas, restarted by %s)", n.Addr, replicasOf(n), by))
		}
	}
	if len(risky) > 0 {
		k.warn("restart", f.String(), "set appendonly yes, or see that nothing restarts it by itself: it would come back empty, and its replicas would copy that",
			"primaries that keep nothing, with replicas: %s", some(risky, 4))
		return
	}
	k.ok("restart", f.String(), "no primary would come back empty to its replicas")
}

func (k *checker) judgeMinReplicas(f *sideFacts) {
	var short []string
	asked := int64(-1)
	for _, n := range f.masters() {
		text, told := n.config["min-replicas-to-write"]
		if !told {
			k.unknown("min-replicas-to-write", f.String(), "see CONFIG GET min-replicas-to-write, or the service's settings", orRefused(n.configErr))
			return
		}
		asked = max(asked, number(text))
		if have := number(n.info["min_slaves_good_slaves"]); number(text) > 0 && have < number(text) {
			short = append(short, fmt.Sprintf("%s has %d of %s", n.Addr, have, text))
		}
	}
	switch {
	case len(short) > 0:
		k.refuse("min-replicas-to-write", f.String(), "bring replicas back, or lower it: the server refuses writes", "%s", some(short, 4))
	case asked == 0 && f.client.Mode() == topology.Sentinel:
		k.warn("min-replicas-to-write", f.String(), "CONFIG SET min-replicas-to-write 1: else a primary that was cut off goes on taking writes, which the failover throws away", "0")
	case asked >= 0:
		k.ok("min-replicas-to-write", f.String(), "%d", asked)
	}
}

// judgeEviction wants no server to throw keys away that are no cache.
func (k *checker) judgeEviction(f *sideFacts) {
	policy, bounded, evicted := "", false, int64(0)
	for _, n := range f.masters() {
		policy = n.info["maxmemory_policy"]
		bounded = bounded || number(n.info["maxmemory"]) > 0
		evicted += number(n.info["evicted_keys"])
	}
	figure := fmt.Sprintf("maxmemory-policy %s, %d keys evicted since the start", policy, evicted)
	const next = "CONFIG SET maxmemory-policy noeviction, or keep the caches in a Redis of their own: evicted tasks and sessions are lost"
	kept := k.notCaches()
	switch {
	case policy == "":
		k.unknown("eviction", f.String(), "see maxmemory-policy in the service's settings", orRefused(nil))
	case !bounded || policy == "noeviction":
		k.ok("eviction", f.String(), "%s", figure)
	case strings.HasPrefix(policy, "allkeys") && len(kept) > 0 && f.Side == protocol.Target:
		k.refuse("eviction", f.String(), next, "%s; the app keeps %s", figure, some(kept, 4))
	default:
		k.warn("eviction", f.String(), next, "%s", figure)
	}
}

// notCaches names the workloads, seen in the sample of the source, whose keys are
// not there to be thrown away.
func (k *checker) notCaches() (out []string) {
	s := k.sides[protocol.Source].sample
	if s == nil {
		return nil
	}
	for _, w := range k.plan.workloads {
		if n := s.workloads[w.Name]; n > 0 && !w.Cold && w.Name != "cache" {
			out = append(out, fmt.Sprintf("%s (%d keys seen)", w.Name, n))
		}
	}
	return out
}
