package drill

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"time"

	"github.com/transload/transload/topology"
)

// prepare looks at everything that can be in the way, before anything is changed.
func (r *relay) prepare(ctx context.Context) error {
	masters, err := r.client.Masters(ctx)
	if err != nil {
		return err
	}
	r.Old = masters[0].Addr
	if r.old, err = r.client.Node(r.Old); err != nil {
		return err
	}
	if err := is(ctx, r.old, topology.Master); err != nil {
		return &Refusal{"primary", err.Error(), "wait until the failover that is under way is over"}
	}
	if err := r.rights(ctx); err != nil {
		return err
	}
	if err := r.elect(ctx); err != nil {
		return err
	}
	return r.candidates(ctx)
}

// elect finds a sentinel that is in a position to lead, and takes from it how
// long a pause may be.
func (r *relay) elect(ctx context.Context) error {
	cfg := r.client.Config()
	if err := r.mostName(ctx, r.Old); err != nil {
		return &Refusal{"sentinels", err.Error(), "see that most sentinels are up and agree on the primary"}
	}
	var why []error
	for _, addr := range cfg.Addrs {
		s := sentinelClient(r.client, addr)
		m, err := s.Master(ctx, cfg.SentinelMaster).Result()
		if err == nil && m["flags"] != "master" {
			err = fmt.Errorf("says of the primary: %s", m["flags"])
		}
		if err == nil {
			err = s.CkQuorum(ctx, cfg.SentinelMaster).Err()
		}
		if err != nil {
			why = append(why, fmt.Errorf("sentinel %s: %w", addr, err))
			s.Close()
			continue
		}
		r.leader = s
		return r.choosePause(m["down-after-milliseconds"])
	}
	return &Refusal{"sentinels", errors.Join(why...).Error(), "a failover needs sentinels that agree: mend them first"}
}

// choosePause takes three quarters of the time after which sentinels would hold
// the paused primary for dead.
func (r *relay) choosePause(downAfter string) error {
	n, _ := strconv.Atoi(downAfter)
	r.pause = min(time.Duration(n)*time.Millisecond*3/4, longestPause)
	if r.pause < shortestPause {
		return &Refusal{"down-after-milliseconds", fmt.Sprintf("%s leaves writes %v to be held; a promotion may need %v", downAfter, r.pause, shortestPause),
			"raise it for the time being: SENTINEL SET " + r.client.Config().SentinelMaster + " down-after-milliseconds 1000, at every sentinel"}
	}
	return nil
}

// mostName returns nil if more than half of all sentinels name that primary.
func (r *relay) mostName(ctx context.Context, addr string) error {
	cfg := r.client.Config()
	agree := 0
	for _, at := range cfg.Addrs {
		s := sentinelClient(r.client, at)
		got, err := s.GetMasterAddrByName(ctx, cfg.SentinelMaster).Result()
		s.Close()
		if err == nil && len(got) == 2 && net.JoinHostPort(got[0], got[1]) == addr {
			agree++
		}
	}
	if 2*agree <= len(cfg.Addrs) {
		return fmt.Errorf("%d of %d sentinels name %s", agree, len(cfg.Addrs), addr)
	}
	return nil
}

// candidates finds the replicas that the sentinel may choose from. All of them
// must be in step, since it does the choosing; see steer.
func (r *relay) candidates(ctx context.Context) error {
	list, err := r.leader.Replicas(ctx, r.client.Config().SentinelMaster).Result()
	if err != nil {
		return fmt.Errorf("drill: ask for replicas: %w", err)
	}
	for _, m := range list {
		addr := net.JoinHostPort(m["ip"], m["port"])
		if m["slave-priority"] == "0" || m["flags"] != "slave" || r.Promote != "" && addr != r.Promote {
			continue // never chosen: told not to be, or known to be down
		}
		p, err := r.client.Node(addr)
		if err != nil {
			return err
		}
		r.peers[addr] = p
		info, err := replication(ctx, p)
		if err == nil && info["master_link_status"] != "up" {
			err = errors.New("it is not in touch with its primary")
		}
		if err != nil {
			return &Refusal{"replica", fmt.Sprintf("%s: %v", addr, err), "mend it, or say which other one is to be promoted: --promote ADDR"}
		}
	}
	switch {
	case len(r.peers) > 0:
		return nil
	case r.Promote != "":
		return &Refusal{"replica", r.Promote + " is none that the sentinels would promote", "see SENTINEL REPLICAS for those that are up and whose priority is not 0"}
	}
	return &Refusal{"replica", "there is none that the sentinels would promote", "start a replica, or give one a replica-priority other than 0"}
}

// rights tries, where the server can tell, whether the user may do what a planned
// failover does.
func (r *relay) rights(ctx context.Context) error {
	user, err := r.old.Do(ctx, "ACL", "WHOAMI").Text()
	if err != nil {
		return nil // before 6.0, or not for this user to ask: it will be seen
	}
	for _, cmd := range [][]any{
		{"CLIENT", "PAUSE", "1", "WRITE"}, {"CLIENT", "UNPAUSE"}, {"CLIENT", "KILL", "TYPE", "normal"},
		{"REPLICAOF", "NO", "ONE"}, {"INFO", "replication"}, {"ROLE"},
	} {
		said, err := r.old.Do(ctx, append([]any{"ACL", "DRYRUN", user}, cmd...)...).Text()
		if err != nil {
			return nil // before 7.0
		}
		if said != "OK" {
			return &Refusal{"rights", said, "give the user +client|pause +client|unpause +client|kill +replicaof +info +role, or run it as one that has them"}
		}
	}
	return nil
}

// steerLimit bounds the wait until a sentinel knows of a new priority: it asks a
// replica for INFO each ten seconds.
const steerLimit = 25 * time.Second

// steer has the sentinel choose the replica that was asked for, by giving it the
// best priority, and returns what undoes that.
func (r *relay) steer(ctx context.Context) (undo func(context.Context) error, err error) {
	nothing := func(context.Context) error { return nil }
	if r.Promote == "" {
		return nothing, nil
	}
	p := r.peers[r.Promote]
	was, err := p.ConfigGet(ctx, "replica-priority").Result()
	if err != nil {
		return nil, &Refusal{"rights", "CONFIG GET replica-priority: " + err.Error(), "give the user +config|get +config|set, or leave --promote out"}
	}
	undo = func(ctx context.Context) error {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), cleanLimit)
		defer cancel()
		if err := p.ConfigSet(ctx, "replica-priority", was["replica-priority"]).Err(); err != nil {
			r.left = fmt.Errorf("drill: put replica-priority back to %s at %s: %w", was["replica-priority"], r.Promote, err)
			return r.left
		}
		return nil
	}
	if err := p.ConfigSet(context.WithoutCancel(ctx), "replica-priority", "1").Err(); err != nil {
		return nil, &Refusal{"rights", "CONFIG SET replica-priority: " + err.Error(), "give the user +config|set, or leave --promote out"}
	}
	if err := poll(ctx, steerLimit, 10*probeEvery, func() error { return r.isFirst(ctx) }); err != nil {
		return nil, errors.Join(&Refusal{"replica", err.Error(), "give the others a replica-priority above 1"}, undo(ctx))
	}
	return undo, nil
}

// isFirst returns nil once the sentinel holds the chosen replica's priority for
// better than all others'.
func (r *relay) isFirst(ctx context.Context) error {
	list, err := r.leader.Replicas(ctx, r.client.Config().SentinelMaster).Result()
	if err != nil {
		return err
	}
	for _, m := range list {
		addr := net.JoinHostPort(m["ip"], m["port"])
		n, _ := strconv.Atoi(m["slave-priority"])
		if addr == r.Promote && n != 1 || addr != r.Promote && n == 1 {
			return fmt.Errorf("to the sentinel %s has priority %d", addr, n)
		}
	}
	return nil
}

// infoFields reads the lines of INFO.
func infoFields(text string) map[string]string {
	m := map[string]string{}
	for line := range strings.Lines(text) {
		if name, value, ok := strings.Cut(strings.TrimSpace(line), ":"); ok {
			m[name] = value
		}
	}
	return m
}
