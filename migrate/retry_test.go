package migrate

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/transload/transload/internal/protocol"
)

func TestPassing(t *testing.T) {
	for name, tt := range map[string]struct {
		err               error
		passes, neverSent bool
	}{
		"end of file":       {err: io.EOF, passes: true},
		"half a reply":      {err: io.ErrUnexpectedEOF, passes: true},
		"dial":              {err: fmt.Errorf("x: %w", &net.OpError{Op: "dial", Err: syscall.ECONNREFUSED}), passes: true, neverSent: true},
		"read":              {err: &net.OpError{Op: "read", Err: syscall.ECONNRESET}, passes: true},
		"read, timed out":   {err: &net.OpError{Op: "read", Err: os.ErrDeadlineExceeded}, passes: false}, // as context.DeadlineExceeded
		"pool exhausted":    {err: redis.ErrPoolTimeout, passes: true, neverSent: true},
		"pool closed":       {err: redis.ErrClosed, neverSent: true},
		"record changed":    {err: errStale, neverSent: true},
		"cancelled":         {err: context.Canceled},
		"deadline":          {err: context.DeadlineExceeded},
		"no such key":       {err: redis.Nil},
		"cross slot":        {err: redis.ErrCrossSlot},
		"lost race":         {err: redis.TxFailedErr},
		"something of ours": {err: ErrSplitAuthority},
	} {
		t.Run(name, func(t *testing.T) {
			if got := passing(tt.err, false); got != tt.passes {
				t.Errorf("passing: got %v; want %v", got, tt.passes)
			}
			if got := neverSent(tt.err); got != tt.neverSent {
				t.Errorf("never sent: got %v; want %v", got, tt.neverSent)
			}
		})
	}
}

// A fault is a hook on a backend: it fails tries before they are sent, or does
// something after each. It lets pass what has no context of faulty's: the mirror
// uses the same backend.
type fault struct {
	fail  func(try int) error
	after func()
	tries atomic.Int64
}

type faultyKey struct{}

func faulty(ctx context.Context) context.Context { return context.WithValue(ctx, faultyKey{}, true) }

func (f *fault) DialHook(next redis.DialHook) redis.DialHook { return next }

func (f *fault) run(next func() error) error {
	n := f.tries.Add(1)
	if f.fail != nil {
		if err := f.fail(int(n)); err != nil {
			return err
		}
	}
	err := next()
	if f.after != nil {
		f.after()
	}
	return err
}

func (f *fault) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		if cmd.Name() == "hello" || ctx.Value(faultyKey{}) == nil {
			return next(ctx, cmd)
		}
		return f.run(func() error { return next(ctx, cmd) })
	}
}

func (f *fault) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		if name := cmds[0].Name(); name == "client" || ctx.Value(faultyKey{}) == nil {
			return next(ctx, cmds)
		}
		err := f.run(func() error { return next(ctx, cmds) })
		if err != nil {
			for _, cmd := range cmds {
				if cmd.Err() == nil {
					cmd.SetErr(err)
				}
			}
		}
		return err
	}
}

// every are the ways in which a write can be sent.
func every(c *Client) map[string]func(context.Context) error {
	return map[string]func(context.Context) error{
		"single":      func(ctx context.Context) error { return c.Set(ctx, "k", 1, 0).Err() },
		"pipeline":    func(ctx context.Context) error { return pipelined(ctx, c, "set", "k", 1) },
		"two of them": func(ctx context.Context) error { _, err := c.Pipelined(ctx, twice); return err },
		"transaction": func(ctx context.Context) error { _, err := c.TxPipelined(ctx, twice); return err },
		"watch": func(ctx context.Context) error {
			return c.Watch(ctx, func(tx *redis.Tx) error { _, err := tx.TxPipelined(ctx, twice); return err }, "k")
		},
		"script of no key": func(ctx context.Context) error { return c.Eval(ctx, "return 1", nil).Err() },
	}
}

func twice(pipe redis.Pipeliner) error {
	pipe.Set(context.TODO(), "k", 1, 0)
	pipe.Set(context.TODO(), "k", 1, 0)
	return nil
}

func TestRetries(t *testing.T) {
	p := embeddedPair(t)
	c := p.member()
	f := &fault{}
	c.m.view.Load().pools[protocol.Source].client.AddHook(f)
	set := every(c)["single"]
	ctx := faulty(t.Context())
	for name, tt := range map[string]struct {
		err   error
		fails int
		want  error
		tries int64
	}{
		"passes in time":     {io.EOF, 3, nil, 4},
		"does not pass":      {io.EOF, 9, io.EOF, 4},
		"is not to be tried": {errors.New("odd"), 9, nil, 1},
		"was never sent":     {errStale, 9, nil, 10},
	} {
		t.Run(name, func(t *testing.T) {
			f.tries.Store(0)
			f.fail = func(try int) error {
				if try <= tt.fails {
					return tt.err
				}
				return nil
			}
			if tt.want == nil && tt.tries == 1 {
				tt.want = tt.err
			}
			if err := set(ctx); !errors.Is(err, tt.want) || f.tries.Load() != tt.tries {
				t.Errorf("got %v after %d tries; want %v after %d", err, f.tries.Load(), tt.want, tt.tries)
			}
		})
	}
	f.fail = func(int) error { return errStale }
	c.m.opts.Wait = 50 * time.Millisecond
	if err := set(ctx); !errors.Is(err, errStale) {
		t.Errorf("for ever: got %v; want it to end", err)
	}
}

// A write whose lease ended before its reply has an unknown outcome; one that was
// never sent is tried again; a read is run again.
func TestLeaseEndsUnderWay(t *testing.T) {
	t.Parallel()
	p := embeddedPair(t)
	c := p.member()
	p.shadow(c)
	ctx := faulty(t.Context())
	pool := c.m.view.Load().pools[protocol.Source]
	f := &fault{}
	pool.client.AddHook(f)
	lease := pool.lease.Load()
	lapse := func() {
		pool.lease.Store(nil)
		time.AfterFunc(5*time.Millisecond, func() {
			pool.lease.Store(lease)
			c.m.mu.Lock()
			defer c.m.mu.Unlock()
			c.m.install()
		})
	}
	for name, run := range every(c) {
		if name == "watch" {
			continue // this hook runs around its guard, and not inside
		}
		f.after = lapse
		if err := run(ctx); !errors.Is(err, ErrUnknownOutcome) {
			t.Errorf("%s: got %v; want ErrUnknownOutcome", name, err)
		}
		awaitLease(t, c)
	}
	f.after = nil
	for name, run := range every(c) {
		f.tries.Store(0)
		f.fail = func(try int) error {
			if try > 1 {
				return nil
			}
			lapse()
			return redis.ErrClosed
		}
		if err := run(ctx); err != nil {
			t.Errorf("%s, never sent: got %v", name, err)
		}
		awaitLease(t, c)
	}
	f.fail = nil
	f.tries.Store(0)
	f.after = func() {
		if f.tries.Load() == 1 {
			lapse()
		}
	}
	if got, err := c.Get(ctx, "k").Result(); err != nil || got != "1" || f.tries.Load() != 2 {
		t.Errorf("a read: got %q, %v after %d tries; want 1 after 2", got, err, f.tries.Load())
	}
	awaitLease(t, c)
}

func awaitLease(t *testing.T, c *Client) {
	t.Helper()
	for deadline := time.Now().Add(5 * time.Second); ; time.Sleep(time.Millisecond) {
		pool := c.m.view.Load().pools[protocol.Source]
		if pool != nil && pool.valid(c.m.now()) {
			return
		}
		if time.Now().After(deadline) {
			t.Fatal("no lease")
		}
	}
}
