package redisproc

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"
)

const (
	primaries = 3
	slots     = 16384
)

// Cluster starts three primaries, which share the slots evenly, with their
// replicas (one each unless told otherwise).
//
// The nodes find each other written in their own files, so there is nothing to
// introduce. A primary refuses commands for its first two seconds, though, and a
// node that is told that it is a replica does not: so the first replica of each
// shard and its primary are born with their roles exchanged in the primary's
// view, and the primary takes over before the replica is started. If anything
// comes between, the two seconds are waited out like anybody else's.
func Cluster(ctx context.Context, o Options) (*Set, error) {
	o, err := o.withDefaults(1)
	if err != nil {
		return nil, err
	}
	return retryPorts(ctx, func() (*Set, error) { return startCluster(ctx, o) })
}

func startCluster(ctx context.Context, o Options) (_ *Set, err error) {
	s, err := newSet(o, primaries*(1+o.Replicas), 0)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.Close())
		}
	}()
	if err := s.configureNodes(ctx); err != nil {
		return nil, err
	}
	first, rest := s.Nodes[:primaries], s.Nodes[primaries:]
	if err := each(ctx, first, startServer); err != nil {
		return nil, err
	}
	if len(rest) > 0 {
		if err := takeOver(ctx, first); err != nil {
			return nil, fmt.Errorf("redisproc: start Cluster: %w", err)
		}
	}
	if err := each(ctx, rest, startServer); err != nil {
		return nil, err
	}
	err = each(ctx, s.Nodes, func(ctx context.Context, n *Server) error {
		return poll(ctx, 10*time.Millisecond, func() error { return s.isWhole(ctx, n) })
	})
	if err != nil {
		return nil, fmt.Errorf("redisproc: start Cluster: %w", err)
	}
	return s, nil
}

// takeOver makes primaries of the nodes that were born as replicas, and returns
// when each knows of all the others that they did the same: a node that hears of
// it from a replica first would miss the slots for a moment, and then refuse
// commands for two seconds.
func takeOver(ctx context.Context, nodes []*Server) error {
	err := each(ctx, nodes, func(ctx context.Context, n *Server) error {
		_, err := n.Do(ctx, "CLUSTER", "FAILOVER", "TAKEOVER")
		return err
	})
	if err != nil {
		return err
	}
	return each(ctx, nodes, func(ctx context.Context, n *Server) error {
		return poll(ctx, 2*time.Millisecond, func() error {
			v, err := n.Do(ctx, "CLUSTER", "NODES")
			if err != nil {
				return err
			}
			text, _ := v.(string)
			for _, other := range nodes {
				if !owns(text, other) {
					return fmt.Errorf("%s: does not know that %s took over", n.Addr(), other.Addr())
				}
			}
			return nil
		})
	})
}

// owns reports whether a CLUSTER NODES reply says that n is a primary with slots.
func owns(nodes string, n *Server) bool {
	for line := range strings.Lines(nodes) {
		f := strings.Fields(line)
		if len(f) > 8 && strings.HasPrefix(f[1], n.Addr()+"@") {
			return strings.Contains(f[2], "master")
		}
	}
	return false
}

func (s *Set) configureNodes(ctx context.Context) error {
	ids := make([]string, len(s.Nodes))
	for i := range ids {
		ids[i] = newID()
	}
	settings := []string{
		"cluster-enabled yes", "cluster-config-file nodes.conf",
		fmt.Sprintf("cluster-node-timeout %d", s.opts.NodeTimeout.Milliseconds()),
		"cluster-allow-replica-migration no", "cluster-replica-validity-factor 0",
	}
	if s.certs != nil {
		settings = append(settings, "tls-cluster yes")
	}
	for i, n := range s.Nodes {
		if err := n.configure(ctx, settings); err != nil {
			return err
		}
		conf := filepath.Join(n.dir, "nodes.conf")
		if err := os.WriteFile(conf, []byte(s.nodesConf(ids, i)), 0o600); err != nil {
			return fmt.Errorf("redisproc: write settings: %w", err)
		}
	}
	return nil
}

// nodesConf is what node self is to believe at its start. Node i belongs to shard
// i modulo primaries.
func (s *Set) nodesConf(ids []string, self int) string {
	var b strings.Builder
	for i, n := range s.Nodes {
		shard := i % primaries
		owner := shard
		if self < primaries && len(s.Nodes) > primaries {
			owner = shard + primaries // exchanged: see Cluster
		}
		flags, of := "master", "-"
		if i != owner {
			flags, of = "slave", ids[owner]
		}
		if i == self {
			flags = "myself," + flags
		}
		fmt.Fprintf(&b, "%s 127.0.0.1:%d@%d %s %s 0 0 %d connected", ids[i], n.port, n.port+busOffset, flags, of, shard+1)
		if i == owner {
			fmt.Fprintf(&b, " %d-%d", shard*slots/primaries, (shard+1)*slots/primaries-1)
		}
		b.WriteString("\n")
	}
	// Epochs far apart: primaries that take over at once must not choose the same.
	fmt.Fprintf(&b, "vars currentEpoch %d lastVoteEpoch 0\n", 10*(self%primaries+1))
	return b.String()
}

// isWhole returns nil once n takes commands, sees all nodes in their roles, and
// is attached to its primary or has its replicas attached.
func (s *Set) isWhole(ctx context.Context, n *Server) error {
	f, err := n.info(ctx, "CLUSTER", "INFO")
	if err != nil {
		return err
	}
	if f["cluster_state"] != "ok" {
		return fmt.Errorf("%s: cluster_state:%s", n.Addr(), f["cluster_state"])
	}
	v, err := n.Do(ctx, "CLUSTER", "NODES")
	if err != nil {
		return err
	}
	text, _ := v.(string)
	for i, other := range s.Nodes {
		if owns(text, other) != (i < primaries) {
			return fmt.Errorf("%s: mistakes the role of %s", n.Addr(), other.Addr())
		}
	}
	if strings.Contains(text, "disconnected") || strings.Contains(text, "fail") || strings.Contains(text, "handshake") {
		return fmt.Errorf("%s: not in touch with all nodes", n.Addr())
	}
	if role, err := n.role(ctx); err != nil || role != "master" {
		return errors.Join(err, n.follows(ctx))
	}
	return n.leads(ctx, s.opts.Replicas)
}
