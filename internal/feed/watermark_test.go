package feed

import (
	"context"
	"errors"
	"fmt"
	"net"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/transload/transload/internal/redisproc"
	"github.com/transload/transload/internal/redistest"
	"github.com/transload/transload/topology"
)

// seldom leaves it to a watermark to find out what has become of the masters.
var seldom = WithInterval(time.Minute)

// TestAWatermarkNeedsEveryMaster: there is none while one of three is frozen.
func TestAWatermarkNeedsEveryMaster(t *testing.T) {
	t.Parallel()
	set := redistest.SharedCluster(t)
	f, _, _ := follow(t, open(t, set.Env("REDIS")), seldom)
	for _, m := range append(f.Masters(), f.Masters()...) { // masters are asked in any order
		if err := set.Node(m.Addr).Freeze(); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		if err := f.Watermark(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("with %s frozen: got %v; want a deadline", m.Addr, err)
		}
		cancel()
		if err := set.Node(m.Addr).Thaw(); err != nil {
			t.Fatal(err)
		}
		watermark(t, f)
	}
}

// TestAWatermarkNeedsTheSameMaster: one that was demoted has none to give, and one
// that was promoted again is another.
func TestAWatermarkNeedsTheSameMaster(t *testing.T) {
	t.Parallel()
	for what, hurt := range map[string]func(t *testing.T, c *topology.Client) error{
		"demoted": func(t *testing.T, c *topology.Client) error {
			return c.SlaveOf(t.Context(), "127.0.0.1", "1").Err()
		},
		"demoted and promoted at once": func(t *testing.T, c *topology.Client) error {
			_, err := c.TxPipelined(t.Context(), func(p redis.Pipeliner) error {
				p.Do(t.Context(), "REPLICAOF", "127.0.0.1", "1")
				p.Do(t.Context(), "REPLICAOF", "NO", "ONE")
				return nil
			})
			return err
		},
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			side := open(t, redistest.Standalone(t, redistest.Options{}).Env("REDIS"))
			f, _, _ := follow(t, side, seldom)
			watermark(t, f)
			if err := hurt(t, side); err != nil {
				t.Fatal(err)
			}
			if err := f.Watermark(t.Context()); err == nil {
				t.Error("got a watermark")
			}
		})
	}
}

// A demoted side takes a replica for its master.
type demoted struct {
	*topology.Client
	replica *redisproc.Server
}

func (d demoted) Masters(ctx context.Context) ([]topology.Node, error) {
	nodes, err := d.Client.Masters(ctx)
	nodes[0].Addr = d.replica.Addr()
	return nodes, err
}

// TestAReplicaIsNotFollowed, though the topology may call it a master.
func TestAReplicaIsNotFollowed(t *testing.T) {
	t.Parallel()
	master, replica := redistest.Standalone(t, redistest.Options{}), redistest.Standalone(t, redistest.Options{})
	host, port, err := net.SplitHostPort(master.Addr())
	if err != nil {
		t.Fatal(err)
	}
	redistest.Do(t, replica, "REPLICAOF", host, port)
	f := New(demoted{open(t, master.Env("REDIS")), replica}, NewDirty(nil))
	ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
	defer cancel()
	ended := make(chan error, 1)
	go func() { ended <- f.Run(ctx) }()
	if err := f.Ready(ctx); err == nil {
		t.Error("a replica is followed")
	}
	<-ended
}

// TestAGapIsDirtyWhenItEnds: whoever walked the slots before tracking was on again
// has not seen what was written since.
func TestAGapIsDirtyWhenItEnds(t *testing.T) {
	t.Parallel()
	proxy := redistest.Proxy(t, redistest.Standalone(t, redistest.Options{}))
	f, dirty, _ := follow(t, open(t, map[string]string{"REDIS_URL": "redis://" + proxy.Addr()}))
	_, was, _ := f.Unbroken()
	proxy.Cut()
	redistest.Eventually(t, 10*time.Second, func() error {
		if _, now, ok := f.Unbroken(); ok || now == was {
			return fmt.Errorf("generation %d (was %d), whole: %v", now, was, ok)
		}
		return nil
	})
	dirty.TakeSlots() // somebody walks them
	proxy.Heal()
	generationAfter(t, f, was)
	if n := dirty.SlotLen(); n != 16384 {
		t.Errorf("got %d dirty slots after the gap; want all", n)
	}
}
