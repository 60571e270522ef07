package coordinator

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/transload/transload/internal/protocol"
	"github.com/transload/transload/internal/redisproc"
	"github.com/transload/transload/internal/redistest"
	"github.com/transload/transload/topology"
)

// withReplicas starts a server with n replicas, all online.
func withReplicas(t *testing.T, n int) (master *redisproc.Server, replicas []*redisproc.Server) {
	t.Helper()
	master = redistest.Standalone(t, redistest.Options{})
	for i := range n {
		r := redistest.Standalone(t, redistest.Options{})
		attach(t, r, master, i+1)
		replicas = append(replicas, r)
	}
	return master, replicas
}

// attach makes a server a replica, and waits until the master has n online.
func attach(t *testing.T, r, master *redisproc.Server, n int) {
	t.Helper()
	host, port, err := net.SplitHostPort(master.Addr())
	if err != nil {
		t.Fatal(err)
	}
	redistest.Do(t, r, "REPLICAOF", host, port)
	redistest.Eventually(t, 20*time.Second, func() error {
		if list := redistest.Do(t, master, "ROLE").([]any)[2].([]any); len(list) != n {
			return fmt.Errorf("%d replicas are online; want %d", len(list), n)
		}
		return nil
	})
}

// TestEveryReplicaHasTheMarker: the marker is waited for by every replica, and with
// others of the pool idle, for which WAIT would answer at once.
func TestEveryReplicaHasTheMarker(t *testing.T) {
	t.Parallel()
	dst, replicas := withReplicas(t, 2)
	_, tm, err := coordinate(t, sides{config(t, redistest.Standalone(t, redistest.Options{})), config(t, dst)}).lead(t.Context(), "cutover")
	if err != nil {
		t.Fatal(err)
	}
	defer tm.quit(t.Context())
	pool := tm.sides[protocol.Target].client
	if err := tm.markers.learn(t.Context(), pool); err != nil {
		t.Fatal(err)
	}
	node, err := pool.MasterFor(t.Context(), "k")
	if err != nil {
		t.Fatal(err)
	}
	var idle [3]*redis.Conn
	for i := range idle {
		idle[i] = node.Conn()
		if err := idle[i].Ping(t.Context()).Err(); err != nil {
			t.Fatal(err)
		}
	}
	for _, conn := range idle { // what they last asked is answered by every replica
		_ = conn.Close()
	}
	settles := func() error { return tm.settleReplicas(t.Context(), protocol.Target) }
	redistest.Eventually(t, 10*time.Second, settles)
	if err := replicas[1].Freeze(); err != nil {
		t.Fatal(err)
	}
	if err := settles(); err == nil {
		t.Error("got nil with a replica that hangs; want it missed")
	}
	if err := replicas[1].Thaw(); err != nil {
		t.Fatal(err)
	}
	redistest.Eventually(t, 10*time.Second, settles)
}

// TestANewReplicaDoesNotStandForAnother has a replica come online between the look
// at the list and WAIT, which counts it in place of one that hangs.
func TestANewReplicaDoesNotStandForAnother(t *testing.T) {
	t.Parallel()
	dst, replicas := withReplicas(t, 1)
	one := redistest.Standalone(t, redistest.Options{})
	h := &beforeWait{act: sync.OnceFunc(func() { attach(t, one, dst, 2) })}
	_, tm, err := coordinate(t, sides{config(t, redistest.Standalone(t, redistest.Options{})), config(t, dst)}, func(o *Options) {
		o.extra = []topology.Option{topology.WithHook(h)}
	}).lead(t.Context(), "cutover")
	if err != nil {
		t.Fatal(err)
	}
	defer tm.quit(t.Context())
	if err := tm.markers.learn(t.Context(), tm.sides[protocol.Target].client); err != nil {
		t.Fatal(err)
	}
	if err := replicas[0].Freeze(); err != nil {
		t.Fatal(err)
	}
	h.armed.Store(true)
	if err := tm.settleReplicas(t.Context(), protocol.Target); err == nil || !strings.Contains(err.Error(), "1 of 2") {
		t.Errorf("got %v; want the one that hangs missed", err)
	}
}

// beforeWait acts before each WAIT that goes out, once it is armed.
type beforeWait struct {
	armed atomic.Bool
	act   func()
}

func (h *beforeWait) DialHook(next redis.DialHook) redis.DialHook          { return next }
func (h *beforeWait) ProcessHook(next redis.ProcessHook) redis.ProcessHook { return next }
func (h *beforeWait) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		if h.armed.Load() && slices.ContainsFunc(cmds, func(c redis.Cmder) bool { return c.Name() == "wait" }) {
			h.act()
		}
		return next(ctx, cmds)
	}
}

// TestAMoveNeedsEveryReplica: a hold that a replica of the giver may not have is
// no hold, and the move is aborted.
func TestAMoveNeedsEveryReplica(t *testing.T) {
	t.Parallel()
	src, replicas := withReplicas(t, 2)
	s := sides{config(t, src), config(t, redistest.Standalone(t, redistest.Options{}))}
	alone := func(o *Options) { o.NoMembers = true }
	first := coordinate(t, s, alone)
	stop := shadowing(t, first)
	waitShadow(t, first)
	stop()
	k := &killer{stage: protocol.Prepared, act: func() {
		if err := replicas[0].Freeze(); err != nil {
			t.Error(err)
		}
	}}
	c := coordinate(t, s, alone, func(o *Options) { o.extra = []topology.Option{topology.WithHook(k)} })
	ctx, tm, err := c.lead(t.Context(), "cutover")
	if err != nil {
		t.Fatal(err)
	}
	defer tm.quit(t.Context())
	if err := tm.readyToMove(ctx); err != nil {
		t.Fatal(err)
	}
	report, err := tm.syncer.move(ctx, protocol.Source, tm.goal(nil, protocol.Cut(50)), 5*time.Second)
	if !errors.Is(err, ErrAborted) || !strings.Contains(report.Reason, "replica of the source") {
		t.Errorf("got %+v, %v; want it aborted for the replica", report, err)
	}
}
