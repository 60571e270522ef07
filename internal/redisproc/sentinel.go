package redisproc

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"
)

const sentinels = 3

// Sentinel starts a primary, its replicas (two unless told otherwise) and three
// Sentinels with a quorum of two.
func Sentinel(ctx context.Context, o Options) (*Set, error) {
	o, err := o.withDefaults(2)
	if err != nil {
		return nil, err
	}
	return retryPorts(ctx, func() (*Set, error) { return startSentinel(ctx, o) })
}

func startSentinel(ctx context.Context, o Options) (_ *Set, err error) {
	s, err := newSet(o, 1+o.Replicas, sentinels)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.Close())
		}
	}()
	for _, n := range s.Nodes {
		if err := n.configure(ctx, nil); err != nil {
			return nil, err
		}
	}
	if err := each(ctx, s.Nodes, startServer); err != nil {
		return nil, err
	}
	// One after the other: a second replica that asks while the first is being
	// served waits a second for its turn.
	for _, n := range s.Nodes[1:] {
		if err := s.attach(ctx, n); err != nil {
			return nil, err
		}
	}
	if err := poll(ctx, time.Millisecond, func() error { return s.Nodes[0].leads(ctx, o.Replicas) }); err != nil {
		return nil, fmt.Errorf("redisproc: attach replicas: %w", err)
	}
	if err := s.configureSentinels(ctx); err != nil {
		return nil, err
	}
	if err := each(ctx, s.Sentinels, startServer); err != nil {
		return nil, err
	}
	err = each(ctx, s.Sentinels, s.meet)
	if err != nil {
		return nil, fmt.Errorf("redisproc: start Sentinels: %w", err)
	}
	return s, nil
}

// meet waits until a Sentinel knows all. One that another could not reach, since
// it was started a moment later, is tried again after a ping period: so that is
// made short for the time being (a server before 7.0 cannot do it, and takes a
// second longer).
func (s *Set) meet(ctx context.Context, n *Server) error {
	_, _ = n.Do(ctx, "SENTINEL", "DEBUG", "PING-PERIOD", "50")
	err := poll(ctx, 10*time.Millisecond, func() error { return s.knowsAll(ctx, n) })
	if err != nil {
		return err
	}
	periods := []string{"PING-PERIOD", "1000"}
	if s.opts.Hasty {
		// A replica may be promoted if its INFO is younger than five of these, and
		// is asked for it each second while the primary is down.
		periods = []string{"PING-PERIOD", "250", "PUBLISH-PERIOD", "200", "INFO-PERIOD", "500", "ASK-PERIOD", "100"}
	}
	_, err = n.Do(ctx, append([]string{"SENTINEL", "DEBUG"}, periods...)...)
	if _, refused := errors.AsType[ReplyError](err); refused && !s.opts.Hasty {
		return nil
	}
	return err
}

// attach makes n a replica of the first node, in its settings too.
func (s *Set) attach(ctx context.Context, n *Server) error {
	if _, err := n.Do(ctx, "REPLICAOF", "127.0.0.1", fmt.Sprint(s.Nodes[0].port)); err != nil {
		return fmt.Errorf("redisproc: attach a replica: %w", err)
	}
	if _, err := n.Do(ctx, "CONFIG", "REWRITE"); err != nil {
		return fmt.Errorf("redisproc: attach a replica: %w", err)
	}
	err := poll(ctx, time.Millisecond, func() error {
		if err := n.follows(ctx); err != nil {
			return err
		}
		f, err := s.Nodes[0].info(ctx, "INFO", "persistence")
		if err == nil && f["rdb_bgsave_in_progress"] != "0" {
			err = errors.New("the transfer's process still runs")
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("redisproc: attach a replica: %w", err)
	}
	return nil
}

// configureSentinels writes settings in which the Sentinels know the replicas and
// each other already, by the ids that they are given. Left to themselves they
// would find out by messages that they send every two seconds.
func (s *Set) configureSentinels(ctx context.Context) error {
	ids := make([]string, len(s.Sentinels))
	for i := range ids {
		ids[i] = newID()
	}
	name := s.opts.MasterName
	for i, n := range s.Sentinels {
		lines := []string{
			"sentinel myid " + ids[i],
			fmt.Sprintf("sentinel monitor %s 127.0.0.1 %d 2", name, s.Nodes[0].port),
			fmt.Sprintf("sentinel down-after-milliseconds %s %d", name, s.opts.DownAfter.Milliseconds()),
			fmt.Sprintf("sentinel failover-timeout %s %d", name, max(10*time.Second, 3*s.opts.DownAfter).Milliseconds()),
			fmt.Sprintf("sentinel parallel-syncs %s 1", name),
		}
		if s.opts.Password != "" {
			lines = append(lines, "sentinel auth-pass "+name+" "+s.opts.Password)
		}
		if s.opts.SentinelPassword != "" {
			lines = append(lines, "sentinel sentinel-pass "+s.opts.SentinelPassword)
		}
		for _, r := range s.Nodes[1:] {
			lines = append(lines, fmt.Sprintf("sentinel known-replica %s 127.0.0.1 %d", name, r.port))
		}
		for j, other := range s.Sentinels {
			if j != i {
				lines = append(lines, fmt.Sprintf("sentinel known-sentinel %s 127.0.0.1 %d %s", name, other.port, ids[j]))
			}
		}
		if err := n.configure(ctx, lines); err != nil {
			return err
		}
	}
	return nil
}

// knowsAll returns nil once a Sentinel is in touch with the primary, every
// replica and every other Sentinel, and could lead a failover.
func (s *Set) knowsAll(ctx context.Context, n *Server) error {
	name := s.opts.MasterName
	master, err := n.Do(ctx, "SENTINEL", "MASTER", name)
	if err != nil {
		return err
	}
	if f := fields(master); f["flags"] != "master" || f["role-reported"] != "master" {
		return fmt.Errorf("%s: primary is %s", n.Addr(), f["flags"])
	}
	for verb, want := range map[string]int{"REPLICAS": len(s.Nodes) - 1, "SENTINELS": len(s.Sentinels) - 1} {
		v, err := n.Do(ctx, "SENTINEL", verb, name)
		if err != nil {
			return err
		}
		list, _ := v.([]any)
		good := 0
		for _, e := range list {
			f := fields(e)
			up := f["flags"] == "slave" && f["master-link-status"] == "ok" || f["flags"] == "sentinel"
			if up && f["last-ok-ping-reply"] != "" {
				good++
			}
		}
		if good < want {
			return fmt.Errorf("%s: in touch with %d of %d %s", n.Addr(), good, want, strings.ToLower(verb))
		}
	}
	if _, err := n.Do(ctx, "SENTINEL", "CKQUORUM", name); err != nil {
		return fmt.Errorf("%s: %w", n.Addr(), err)
	}
	return nil
}

// fields makes a map of a flat list of names and values.
func fields(v any) map[string]string {
	list, _ := v.([]any)
	m := map[string]string{}
	for i := 0; i+1 < len(list); i += 2 {
		name, _ := list[i].(string)
		m[name], _ = list[i+1].(string)
	}
	return m
}
