package sockets_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/transload/transload/internal/redisproc"
	"github.com/transload/transload/internal/redistest"
)

const fences = 2

// A fence at full load needs two listings, one that shows whom to kill and one
// that shows nobody; a few more are no harm, hundreds would be.
const mostListings = 5

// TestFirstCheckClosesTheGap fences a pool that redials as fast as it is killed.
// After the fence not one command of it is executed, the backlog included.
func TestFirstCheckClosesTheGap(t *testing.T) {
	t.Parallel()
	t.Run("standalone", func(t *testing.T) {
		ways(t, redistest.Options{}, func(t *testing.T, w way) {
			control := redistest.Client(t, w.server)
			client := newClient(t, member(control, w.dial))
			fenceUnderLoad(t, client, control, []*redisproc.Server{w.server})
		})
	})
	t.Run("cluster", func(t *testing.T) {
		s := redistest.Cluster(t, redistest.Options{})
		control := redis.NewClusterClient(&redis.ClusterOptions{Addrs: []string{s.Nodes[0].Addr()}})
		defer control.Close()
		client := redis.NewClusterClient(&redis.ClusterOptions{
			Addrs: []string{s.Nodes[0].Addr()}, ClientName: memberName, MaxRedirects: -1, MaxRetries: -1, DisableIdentity: true,
			OnConnect: func(ctx context.Context, _ *redis.Conn) error { return firstCheck(ctx, control) },
		})
		defer client.Close()
		fenceUnderLoad(t, client, control, s.Primaries(t.Context()))
	})
}

func fenceUnderLoad(t *testing.T, client, control redis.UniversalClient, masters []*redisproc.Server) {
	w := startWriters(t, client, 9)
	defer w.stop()
	for i := range fences {
		if err := control.Set(t.Context(), recordKey, "here", 0).Err(); err != nil {
			t.Fatal(err)
		}
		w.underWay(t, control)
		if err := control.Set(t.Context(), recordKey, "moved", 0).Err(); err != nil {
			t.Fatal(err)
		}
		for _, s := range masters {
			listings, err := fence(t.Context(), s, memberName)
			if err != nil {
				t.Fatal(err)
			}
			if listings > mostListings {
				t.Errorf("fence %d: got %d listings of %s; want %d at most", i, listings, s.Addr(), mostListings)
			}
		}
		atFence := w.counts(t, control)
		w.refusedAgain(t)
		if later := w.counts(t, control); !slices.Equal(later, atFence) {
			t.Errorf("fence %d: got %v at the fence and %v later; want nothing executed after it", i, atFence, later)
		}
	}
}

// TestRefusalComesOutAsItWentIn: each way to use a client runs the first check,
// and its error comes out as it went in, so that a caller can know it. An error
// that wraps another does not: all but a subscription return what it wraps. It is
// not tried again, and leaves no connection behind.
func TestRefusalComesOutAsItWentIn(t *testing.T) {
	t.Parallel()
	s := redistest.Standalone(t, redistest.Options{})
	ctl := redistest.Conn(t, s)
	uses := map[string]func(ctx context.Context, c *redis.Client) error{
		"command":  func(ctx context.Context, c *redis.Client) error { return c.Incr(ctx, "k").Err() },
		"pipeline": pipelineOf((*redis.Client).Pipelined),
		"MULTI":    pipelineOf((*redis.Client).TxPipelined),
		"WATCH": func(ctx context.Context, c *redis.Client) error {
			return c.Watch(ctx, func(*redis.Tx) error { return c.Incr(ctx, "k").Err() }, "k")
		},
		"own connection": func(ctx context.Context, c *redis.Client) error {
			cn := c.Conn()
			defer cn.Close()
			return cn.Incr(ctx, "k").Err()
		},
		"subscription": func(ctx context.Context, c *redis.Client) error {
			ps := c.Subscribe(ctx, "k")
			defer ps.Close()
			_, err := ps.Receive(ctx)
			return err
		},
	}
	for name, use := range uses {
		for _, wrapped := range []bool{false, true} {
			for _, retries := range []int{-1, 3} {
				t.Run(fmt.Sprintf("%s, wrapped %v, retries %d", name, wrapped, retries), func(t *testing.T) {
					checks := atomic.Int64{}
					c := newClient(t, &redis.Options{
						Network: "unix", Addr: s.Socket(), ClientName: memberName, MaxRetries: retries, DisableIdentity: true,
						OnConnect: func(context.Context, *redis.Conn) error {
							checks.Add(1)
							if wrapped {
								return fmt.Errorf("wrapped: %w", errRefused)
							}
							return errRefused
						},
					})
					err := use(t.Context(), c)
					if bare := err == errRefused; !errors.Is(err, errRefused) || bare == (wrapped && name == "subscription") {
						t.Errorf("got %v; want the error of the check, bare", err)
					}
					// A pipeline tries its own pool and then the common one, and a
					// subscription subscribes and then receives: twice at most.
					if n := checks.Load(); n < 1 || n > 2 {
						t.Errorf("got %d checks; want one, or two", n)
					}
					redistest.Eventually(t, 10*time.Second, func() error { return unlisted(t, ctl, memberName) })
				})
			}
		}
	}
	if got := get(t, ctl, "k"); got != "" {
		t.Errorf("got %q; want that nothing was executed", got)
	}
}

func pipelineOf(run func(*redis.Client, context.Context, func(redis.Pipeliner) error) ([]redis.Cmder, error)) func(context.Context, *redis.Client) error {
	return func(ctx context.Context, c *redis.Client) error {
		_, err := run(c, ctx, func(p redis.Pipeliner) error { return p.Incr(ctx, "k").Err() })
		return err
	}
}

// unlisted returns nil if no connection has that name.
func unlisted(t *testing.T, ctl *redisproc.Conn, name string) error {
	for id, f := range clients(t, ctl) {
		if f["name"] == name {
			return fmt.Errorf("connection %d is still there", id)
		}
	}
	return nil
}

// TestCheckOnTheSameConnectionFailsOnAClusterNode: a node that does not own the
// record's slot answers MOVED, and that becomes the user's error. So the check
// needs a control client.
func TestCheckOnTheSameConnectionFailsOnAClusterNode(t *testing.T) {
	t.Parallel()
	s := redistest.SharedCluster(t)
	c := redis.NewClusterClient(&redis.ClusterOptions{
		Addrs: []string{s.Nodes[0].Addr()}, MaxRedirects: -1, MaxRetries: -1,
		OnConnect: func(ctx context.Context, cn *redis.Conn) error {
			_, err := cn.Get(ctx, recordKey).Result()
			if errors.Is(err, redis.Nil) {
				return nil
			}
			return err
		},
	})
	defer c.Close()
	moved := 0
	for i := range 30 {
		if err := c.Incr(t.Context(), writerKey(i)).Err(); err != nil {
			if !strings.HasPrefix(err.Error(), "MOVED ") {
				t.Fatalf("got %v; want MOVED or success", err)
			}
			moved++
		}
	}
	if moved == 0 {
		t.Error("got no error; want MOVED for the keys of two nodes in three")
	}
}
