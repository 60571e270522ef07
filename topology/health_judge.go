package topology

import (
	"fmt"
	"time"
)

// lagWell is the plan's bound of replication lag. What is longer ago is lost in a
// failover.
const lagWell = time.Second

// judge says how a Redis is, and what is wrong with it. It looks at nothing but
// the snapshot.
func judge(s *snapshot, mode Mode) (HealthStatus, []string) {
	writes := primaryFaults(s, mode)
	rest := append(replicaFaults(s, mode), sentinelFaults(s, mode)...)
	switch {
	case len(writes) > 0:
		return Unhealthy, append(writes, rest...)
	case len(rest) > 0:
		return Degraded, rest
	}
	return Healthy, nil
}

// primaryFaults is what is wrong with the servers that take writes.
func primaryFaults(s *snapshot, mode Mode) (faults []string) {
	add := func(format string, v ...any) { faults = append(faults, fmt.Sprintf(format, v...)) }
	if s.primary() == "" {
		add("no primary is known: writes fail")
	}
	for _, n := range s.silent {
		add("the node %s %s", n.Addr, n.silence())
	}
	owned := 0
	for _, n := range s.nodes {
		if n.Role != Master {
			continue
		}
		for _, r := range n.Slots {
			owned += int(r.To) - int(r.From) + 1
		}
		switch {
		case !n.answers():
			add("the primary %s %s", n.Addr, n.silence())
		case n.loading:
			add("the primary %s is reading its data", n.Addr)
		case n.says == Replica:
			add("%s says that it is a replica: writes fail", n.Addr)
		}
	}
	if mode == Cluster && s.primary() != "" && owned < 16384 {
		add("%d of 16384 slots have no primary", 16384-owned)
	}
	return faults
}

// replicaFaults is what is wrong with the servers that stand by. A standalone
// server need have none.
func replicaFaults(s *snapshot, mode Mode) (faults []string) {
	add := func(format string, v ...any) { faults = append(faults, fmt.Sprintf(format, v...)) }
	replicas := s.replicas()
	if mode != Standalone && len(replicas) == 0 && s.primary() != "" {
		add("there is no replica: a primary that dies is not replaced")
	}
	for _, n := range replicas {
		switch {
		case !n.answers():
			add("the replica %s %s", n.Addr, n.silence())
		case n.loading:
			add("the replica %s is reading its data", n.Addr)
		case n.syncing:
			add("the replica %s is being filled by its primary", n.Addr)
		case n.says == Replica && !n.linkUp:
			add("the replica %s is not in touch with its primary %s", n.Addr, n.of)
		case n.lagKnown && n.lag > lagWell:
			add("the replica %s is %.1f s behind", n.Addr, n.lag.Seconds())
		}
	}
	return faults
}

// sentinelFaults is what is wrong with those that would replace the primary.
func sentinelFaults(s *snapshot, mode Mode) (faults []string) {
	if mode != Sentinel {
		return nil
	}
	add := func(format string, v ...any) { faults = append(faults, fmt.Sprintf(format, v...)) }
	for _, x := range s.sentinels {
		switch {
		case !x.answers():
			add("the sentinel %s does not answer: %s", x.addr, why(x.err))
		case x.down:
			add("the sentinel %s holds the primary %s to be down", x.addr, x.master)
		case x.master != s.primary():
			add("the sentinel %s names another primary: %s", x.addr, x.master)
		}
	}
	if q := s.quorum(); !q.ok() {
		add("%d of %d sentinels answer, and %d are needed: a primary that dies is not replaced", q.answer, q.all, q.need)
	}
	return faults
}

// silence says what a server does instead of answering.
func (n nodeState) silence() string {
	if n.err == nil && n.refused != nil {
		return "does not let this client in: " + n.refused.Error()
	}
	return "does not answer: " + why(n.err)
}

func why(err error) string {
	if err == nil {
		return "it was not asked yet"
	}
	return err.Error()
}

// A quorumState says whether the sentinels could replace a primary.
type quorumState struct{ answer, all, need, masters int }

func (q quorumState) ok() bool { return q.answer > 0 && q.answer >= q.need }

// quorum counts sentinels as SENTINEL CKQUORUM does, but those that answer this
// process: the quorum that is set must agree that a primary is down, and a
// majority of all that are known must elect who replaces it.
func (s *snapshot) quorum() quorumState {
	q := quorumState{all: len(s.sentinels)}
	named := map[string]bool{}
	set := 0
	for _, x := range s.sentinels {
		q.all = max(q.all, x.others+1)
		set = max(set, x.quorum)
		if x.answers() {
			q.answer++
			named[x.master] = true
		}
	}
	q.need, q.masters = max(set, q.all/2+1), len(named)
	return q
}
