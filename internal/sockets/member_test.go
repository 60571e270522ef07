package sockets_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/transload/transload/internal/redistest"
)

// errRefused is what a member's first check answers when the record has changed.
var errRefused = errors.New("refused by the record")

const (
	memberName = "transload:test:member"
	recordKey  = "{control}record"
)

// member returns a client's settings as a migrating client has them: a name in the
// handshake, retries off, and a first check that reads the record through a
// control client with a pool of its own.
func member(control redis.UniversalClient, dial func(ctx context.Context) (net.Conn, error)) *redis.Options {
	o := &redis.Options{
		Addr: "127.0.0.1:0", ClientName: memberName, MaxRetries: -1, DisableIdentity: true, PoolSize: 24,
		OnConnect: func(ctx context.Context, _ *redis.Conn) error { return firstCheck(ctx, control) },
	}
	if dial != nil {
		o.Dialer = func(ctx context.Context, _, _ string) (net.Conn, error) { return dial(ctx) }
	}
	return o
}

func firstCheck(ctx context.Context, control redis.UniversalClient) error {
	v, err := control.Get(ctx, recordKey).Result()
	if err != nil && !errors.Is(err, redis.Nil) {
		return err
	}
	if v == "moved" {
		return errRefused
	}
	return nil
}

func newClient(t *testing.T, o *redis.Options) *redis.Client {
	t.Helper()
	c := redis.NewClient(o)
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// writers are goroutines that increment keys of their own as fast as they can.
type writers struct {
	client redis.UniversalClient
	n      int

	cancel  context.CancelFunc
	wg      sync.WaitGroup
	refused []atomic.Int64
}

func writerKey(i int) string { return fmt.Sprintf("w:{%d}", i) }

// startWriters starts n of them, every third one with pipelines; they end with
// the test, or by stop.
func startWriters(t *testing.T, client redis.UniversalClient, n int) *writers {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	w := &writers{client: client, n: n, cancel: cancel, refused: make([]atomic.Int64, n)}
	for i := range n {
		w.wg.Go(func() {
			for ctx.Err() == nil {
				if errors.Is(w.write(ctx, i), errRefused) {
					w.refused[i].Add(1)
					select {
					case <-ctx.Done():
					case <-time.After(time.Millisecond):
					}
				}
			}
		})
	}
	t.Cleanup(w.stop)
	return w
}

func (w *writers) write(ctx context.Context, i int) error {
	if i%3 != 0 {
		return w.client.Incr(ctx, writerKey(i)).Err()
	}
	_, err := w.client.Pipelined(ctx, func(p redis.Pipeliner) error {
		for range 20 {
			p.Incr(ctx, writerKey(i))
		}
		return nil
	})
	return err
}

func (w *writers) stop() {
	w.cancel()
	w.wg.Wait()
}

// refusedAgain waits until each writer has been refused twice from now on:
// whatever it had under way before is over by then.
func (w *writers) refusedAgain(t *testing.T) {
	t.Helper()
	for i := range w.n {
		want := w.refused[i].Load() + 2
		redistest.Eventually(t, 20*time.Second, func() error {
			if got := w.refused[i].Load(); got < want {
				return fmt.Errorf("writer %d: refused %d times; want %d", i, got, want)
			}
			return nil
		})
	}
}

// counts reads what each writer has written.
func (w *writers) counts(t *testing.T, control redis.UniversalClient) []int64 {
	t.Helper()
	list := make([]int64, w.n)
	for i := range list {
		n, err := control.Get(t.Context(), writerKey(i)).Int64()
		if err != nil && !errors.Is(err, redis.Nil) {
			t.Fatal(err)
		}
		list[i] = n
	}
	return list
}

// underWay waits until each writer has written more than before.
func (w *writers) underWay(t *testing.T, control redis.UniversalClient) {
	t.Helper()
	before := w.counts(t, control)
	redistest.Eventually(t, 20*time.Second, func() error {
		for i, n := range w.counts(t, control) {
			if n <= before[i] {
				return fmt.Errorf("writer %d writes nothing", i)
			}
		}
		return nil
	})
}
