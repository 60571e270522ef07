package drill

import (
	"context"
	"net"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/transload/transload/topology"
)

// probe asks one server for its role, again and again until ctx is done.
func (w *Watch) probe(ctx context.Context, addr string) error {
	rdb, err := w.client.Node(addr)
	if err != nil {
		return err
	}
	w.wg.Go(func() {
		defer rdb.Close()
		tick := time.NewTicker(probeEvery)
		defer tick.Stop()
		for ctx.Err() == nil {
			began := time.Now()
			role, err := askRole(ctx, rdb)
			if ctx.Err() != nil {
				return
			}
			w.heard(addr, began, role, err)
			w.askCluster(ctx, rdb, err)
			select {
			case <-ctx.Done():
			case <-tick.C:
			}
		}
	})
	return nil
}

// askRole asks for a server's role, with a bound of its own. The role is empty
// where the server does not tell: managed services hide it.
func askRole(ctx context.Context, rdb *redis.Client) (topology.Role, error) {
	ctx, cancel := context.WithTimeout(ctx, probeLimit)
	defer cancel()
	reply, err := rdb.Do(ctx, "ROLE").Slice()
	if redis.HasErrorPrefix(err, "unknown command") || redis.HasErrorPrefix(err, "NOPERM") {
		return "", nil // it answers, but does not tell
	}
	if err != nil {
		return "", err
	}
	if len(reply) > 0 {
		switch reply[0] {
		case "master":
			return topology.Master, nil
		case "slave":
			return topology.Replica, nil
		}
	}
	return "", errNoAnswer
}

// heard takes in what a probe brought.
func (w *Watch) heard(addr string, began time.Time, role topology.Role, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	n := w.nodes[addr]
	if err != nil {
		if n.lostAt.IsZero() {
			n.lostAt = began
		}
		if !n.reported && time.Since(n.lostAt) >= lostAfter {
			n.reported = true
			w.moments = append(w.moments, Moment{PingLost, n.lostAt, addr, kindOf(err)})
		}
		return
	}
	if n.reported {
		w.moments = append(w.moments, Moment{PingAgain, time.Now(), addr, ""})
	}
	n.lostAt, n.reported = time.Time{}, false
	if role == "" {
		return
	}
	if n.role != "" && n.role != role {
		name := Promoted
		if role == topology.Replica {
			name = Demoted
		}
		w.moments = append(w.moments, Moment{name, time.Now(), addr, ""})
	}
	n.role = role
}

// askCluster has a node of a cluster that answers tell of those that do not:
// when a majority holds one for dead is what sentinels call objectively down.
func (w *Watch) askCluster(ctx context.Context, rdb *redis.Client, err error) {
	if err != nil || w.client.Mode() != topology.Cluster {
		return
	}
	lost := w.unheld()
	if len(lost) == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, probeLimit)
	defer cancel()
	text, err := rdb.ClusterNodes(ctx).Result()
	if err != nil {
		return
	}
	for line := range strings.Lines(text) {
		f := strings.Fields(line)
		if len(f) < 3 || !failed(f[2]) {
			continue
		}
		addr, _, _ := strings.Cut(f[1], "@")
		for _, n := range lost {
			if sameAddr(n, addr) {
				w.heldForDead(n, f[0])
			}
		}
	}
}

// unheld returns the servers that are lost and not yet known to be held for dead.
func (w *Watch) unheld() (list []string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, n := range w.nodes {
		if !n.lostAt.IsZero() && time.Since(n.lostAt) >= lostAfter && !w.told(ObjectivelyDown, n.addr, n.lostAt) {
			list = append(list, n.addr)
		}
	}
	return list
}

// heldForDead notes once that the cluster holds a server for dead.
func (w *Watch) heldForDead(addr, id string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if n := w.nodes[addr]; !n.lostAt.IsZero() && !w.told(ObjectivelyDown, addr, n.lostAt) {
		w.moments = append(w.moments, Moment{ObjectivelyDown, time.Now(), addr, id})
	}
}

// told reports whether there is such a moment since t. mu is held.
func (w *Watch) told(name, addr string, t time.Time) bool {
	for _, m := range w.moments {
		if m.Name == name && m.Addr == addr && !m.At.Before(t) {
			return true
		}
	}
	return false
}

// failed reports whether the flags of CLUSTER NODES say that a majority holds the
// node for dead ("fail?" is one node's own opinion).
func failed(flags string) bool {
	for flag := range strings.SplitSeq(flags, ",") {
		if flag == "fail" {
			return true
		}
	}
	return false
}

// sameAddr compares two addresses by host and port.
func sameAddr(a, b string) bool {
	h1, p1, err1 := net.SplitHostPort(a)
	h2, p2, err2 := net.SplitHostPort(b)
	return err1 == nil && err2 == nil && p1 == p2 && h1 == h2
}
