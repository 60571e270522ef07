package coordinator

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/transload/transload/internal/protocol"
	"github.com/transload/transload/topology"
)

// facts are what the masters of one side tell of themselves.
type facts struct {
	Mode     topology.Mode
	Err      error // why nothing is known
	Version  string
	Used     int64 // bytes of memory
	Max      int64 // 0: no bound
	Full     bool  // a master has no room left, and evicts nothing
	Policy   string
	Evicted  int64
	Masters  int
	Replicas int           // that are attached
	Known    int           // that the topology names
	Lag      time.Duration // of the replica that is furthest behind
	Trip     time.Duration // one round trip
	Skew     time.Duration // of its clock to ours
	Moving   int           // slots that are being moved between nodes
}

// factsOf asks every master of a side.
func factsOf(ctx context.Context, sd *side) (f facts) {
	f.Mode = sd.client.Mode()
	var mu sync.Mutex
	f.Err = sd.client.EachMaster(ctx, func(ctx context.Context, addr string, node *redis.Client) error {
		trip, skew, err := ask(ctx, node)
		if err != nil {
			return fmt.Errorf("%s: %w", addr, err)
		}
		info, err := node.Info(ctx).Result()
		if err != nil && !isReply(err) {
			return fmt.Errorf("%s: %w", addr, err)
		}
		mu.Lock()
		defer mu.Unlock()
		f.add(info, trip, skew)
		return nil
	})
	if f.Err == nil && f.Mode != topology.Standalone {
		f.countKnown(ctx, sd.client)
	}
	if f.Err == nil && f.Mode == topology.Cluster {
		f.Moving = movingSlots(ctx, sd.client)
	}
	return f
}

// ask measures the round trip to a node, and how far its clock is off ours: by
// the shortest of some, which waited the least for anything else.
func ask(ctx context.Context, node *redis.Client) (trip, skew time.Duration, err error) {
	for range 5 {
		began := time.Now()
		at, err := node.Time(ctx).Result()
		if err != nil {
			return 0, 0, err
		}
		if took := time.Since(began); trip == 0 || took < trip {
			trip, skew = took, at.Sub(began.Add(took/2))
		}
	}
	return trip, skew, nil
}

// add takes what one master told.
func (f *facts) add(info string, trip, skew time.Duration) {
	m := infoMap(info)
	f.Masters++
	f.Version = m["redis_version"]
	f.Used += number(m["used_memory"])
	f.Max += number(m["maxmemory"])
	f.Policy = m["maxmemory_policy"]
	if most := number(m["maxmemory"]); most > 0 && number(m["used_memory"]) >= most && f.Policy == "noeviction" {
		f.Full = true
	}
	f.Evicted += number(m["evicted_keys"])
	f.Trip = max(f.Trip, trip)
	if skew.Abs() > f.Skew.Abs() {
		f.Skew = skew
	}
	for i := 0; ; i++ {
		line, ok := m["slave"+strconv.Itoa(i)]
		if !ok {
			return
		}
		r := commaMap(line)
		if r["state"] != "online" {
			continue
		}
		f.Replicas++
		if number(m["master_repl_offset"]) > number(r["offset"]) { // else it has everything
			// A replica says once a second how far it is, and INFO counts whole seconds
			// since: 0 and 1 are what a healthy one shows.
			f.Lag = max(f.Lag, time.Duration(number(r["lag"])-1)*time.Second)
		}
	}
}

func (f *facts) countKnown(ctx context.Context, client *topology.Client) {
	nodes, err := client.Nodes(ctx)
	if err != nil {
		return
	}
	for _, n := range nodes {
		if n.Role == topology.Replica {
			f.Known++
		}
	}
}

// movingSlots counts the slots that the nodes of a cluster are moving: each is
// marked in a node's own line of CLUSTER NODES.
func movingSlots(ctx context.Context, client *topology.Client) (n int) {
	var mu sync.Mutex
	_ = client.EachMaster(ctx, func(ctx context.Context, _ string, node *redis.Client) error {
		text, err := node.ClusterNodes(ctx).Result()
		mu.Lock()
		defer mu.Unlock()
		n += strings.Count(text, "->-")
		return err
	})
	return n
}

// bothFacts asks both sides at once.
func bothFacts(ctx context.Context, sides [3]*side) (f [3]facts) {
	var wg sync.WaitGroup
	for _, s := range protocol.Sides {
		wg.Go(func() { f[s] = factsOf(ctx, sides[s]) })
	}
	wg.Wait()
	return f
}

// infoMap reads an INFO reply.
func infoMap(info string) map[string]string {
	m := map[string]string{}
	for line := range strings.Lines(info) {
		if k, v, ok := strings.Cut(line, ":"); ok {
			m[k] = strings.TrimSpace(v)
		}
	}
	return m
}

// commaMap reads a value such as "ip=…,port=…".
func commaMap(line string) map[string]string {
	m := map[string]string{}
	for part := range strings.SplitSeq(line, ",") {
		if k, v, ok := strings.Cut(part, "="); ok {
			m[k] = v
		}
	}
	return m
}

func number(s string) int64 {
	n, _ := strconv.ParseInt(s, 10, 64) // what is not told counts as 0
	return n
}
