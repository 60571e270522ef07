package coordinator

import (
	"cmp"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/transload/transload/internal/protocol"
	"github.com/transload/transload/topology"
)

// errUntoldFact is why something is unknown that a server does not tell.
var errUntoldFact = errors.New("the server does not tell")

// orRefused is the error of a question, or that its answer did not tell.
func orRefused(err error) error { return cmp.Or(err, errUntoldFact) }

// judgeVersions compares what the sides run: payloads of DUMP go up only.
func (k *checker) judgeVersions() {
	if k.sides[protocol.Source].mute() || k.sides[protocol.Target].mute() {
		return // it was told that they tell nothing
	}
	var v [3]string
	for _, s := range protocol.Sides {
		for _, n := range k.sides[s].masters() {
			if own := n.info["redis_version"]; v[s] == "" || newer(v[s], own) == (s == protocol.Target) {
				v[s] = own // the newest of the source, the oldest of the target
			}
		}
		if v[s] == "" {
			k.unknown("versions", "", "compare the versions: from a newer to an older one keys are copied by type, which is slower", fmt.Errorf("the %v does not tell its version", s))
			return
		}
	}
	from, to := v[protocol.Source], v[protocol.Target]
	switch {
	case newer(from, to):
		k.warn("versions", "", "move to the same version or a newer one: else keys are copied by type, which is slower, and the expiry of hash fields is lost",
			"the source has %s, the target only %s, which refuses the source's payloads", from, to)
	case newer(to, from):
		k.warn("versions", "", "mind it for the way back: after a rollback keys are copied by type, which is slower", "%s to %s: the source will refuse the target's payloads", from, to)
	default:
		k.ok("versions", "", "%s to %s", from, to)
	}
}

// newer reports whether version a writes payloads that b may not read: first and
// second number count.
func newer(a, b string) bool {
	x, y := versionOf(a), versionOf(b)
	return x[0] > y[0] || x[0] == y[0] && x[1] > y[1]
}

func versionOf(text string) (v [2]int) {
	for i, part := range strings.SplitN(text, ".", 3) {
		if i < len(v) {
			v[i], _ = strconv.Atoi(part)
		}
	}
	return v
}

// judgeMemory wants the source's data to fit into the target.
func (k *checker) judgeMemory() {
	src, dst := k.sides[protocol.Source], k.sides[protocol.Target]
	if src.mute() || dst.mute() {
		return // it was told that they tell nothing
	}
	data, used, room, bounded := int64(0), int64(0), int64(0), true
	for _, n := range src.masters() {
		data += max(number(n.info["used_memory_dataset"]), number(n.info["used_memory"])-number(n.info["used_memory_startup"]))
	}
	for _, n := range dst.masters() {
		used += number(n.info["used_memory"])
		most := number(n.info["maxmemory"])
		if most == 0 {
			most, bounded = number(n.info["total_system_memory"]), false
		}
		room += most
	}
	if dst.record.Phase.Leased() {
		data = max(0, data-used) // a copy is there already
	}
	figure := fmt.Sprintf("the source's data take %s; the target uses %s of %s", bytes(data), bytes(used), bytes(room))
	if !bounded {
		figure += " (its machine's: maxmemory is not set)"
	}
	const next = "give the target more memory: a full one refuses writes, or evicts"
	need := float64(used) + 1.1*float64(data) // the copy is laid out anew, and temporary keys come on top
	switch {
	case room == 0:
		k.unknown("memory", "", "compare the source's used_memory with what the target may use", errUntoldFact)
	case need > float64(room) && bounded:
		k.refuse("memory", "", next, "%s", figure)
	case need > 0.8*float64(room):
		k.warn("memory", "", next, "%s", figure)
	default:
		k.ok("memory", "", "%s", figure)
	}
}

const (
	// ownConns is how many connections a member, or the coordinator, has to each
	// node beside its pool: records, nudges, first checks, copies, feeds.
	ownConns = 8
)

// judgeConnections wants every member's pool to fit beside what is connected now.
func (k *checker) judgeConnections(f *sideFacts) {
	members := max(1, len(k.members()))
	pool := f.client.Config().PoolSize
	for _, n := range f.masters() {
		most := number(cmp.Or(n.info["maxclients"], n.config["maxclients"]))
		now := number(n.info["connected_clients"])
		if most == 0 {
			if !f.mute() {
				k.unknown("connections", f.String(), fmt.Sprintf("compare maxclients with %d processes of up to %d connections each", members+1, pool+ownConns), orRefused(n.configErr))
			}
			return
		}
		least, full := now+int64((members+1)*ownConns), now+int64((members+1)*(pool+ownConns))
		figure := fmt.Sprintf("%s: %d of %d are in use; %d members and a coordinator open up to %d more", n.Addr, now, most, members, full-now)
		const next = "raise maxclients (and the limit of open files), or lower POOL_SIZE"
		switch {
		case least > most:
			k.refuse("connections", f.String(), next, "%s", figure)
		case full > most:
			k.warn("connections", f.String(), next, "%s", figure)
		default:
			continue
		}
		return
	}
	if len(f.masters()) > 0 {
		k.ok("connections", f.String(), "%d members and a coordinator with up to %d each fit", members, pool+ownConns)
	}
}

// judgeDatabases finds keys in databases other than the one that is migrated.
func (k *checker) judgeDatabases(f *sideFacts) {
	if f.mute() || f.client.Mode() == topology.Cluster {
		return
	}
	mine := fmt.Sprintf("db%d", f.client.Config().DB)
	var others []string
	for _, n := range f.masters() {
		for _, name := range sortedKeys(n.info) {
			if index, ok := strings.CutPrefix(name, "db"); ok && name != mine {
				if _, err := strconv.Atoi(index); err == nil {
					others = append(others, fmt.Sprintf("%s (%s keys)", name, commaMap(n.info[name])["keys"]))
				}
			}
		}
	}
	if len(others) == 0 {
		k.ok("databases", f.String(), "only %s is in use", mine)
		return
	}
	next := "if the app uses them, have it use one database, or migrate each by itself; SELECT leads past the migration"
	if f.Side == protocol.Target {
		next = "see whose they are: they share memory and connections with what is moved here"
	}
	k.warn("databases", f.String(), next, "only %s is migrated; there are also %s", mine, some(others, 6))
}
