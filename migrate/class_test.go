package migrate

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/transload/transload/internal/command"
	"github.com/transload/transload/internal/protocol"
	"github.com/transload/transload/internal/redistest"
)

// splitPair is a pair at 10 percent with one member, and a key on each side.
func splitPair(t testing.TB, p *pair) (c *Client, onTarget, onSource string) {
	t.Helper()
	c = p.member()
	p.shadow(c)
	p.move(protocol.Source, everything(10), c)
	return c, keyBelow("k", 10, true, 0), keyBelow("k", 10, false, 0)
}

// TestClasses sends a command of every class at a moment at which both sides
// serve keys. {t} and {s} stand for a key on the target and one on the source.
func TestClasses(t *testing.T) {
	p := embeddedPair(t)
	c, onTarget, onSource := splitPair(t, p)
	ctx := t.Context()
	for name, tt := range map[string]struct {
		args []any
		want any
		err  error
	}{
		"write on the target":        {args: []any{"set", "{t}", "1"}, want: "OK"},
		"write on the source":        {args: []any{"set", "{s}", "2"}, want: "OK"},
		"upper case":                 {args: []any{"SET", "{s}", "2"}, want: "OK"},
		"read of nothing":            {args: []any{"get", "none"}, err: redis.Nil},
		"two sides, split":           {args: []any{"mget", "{s}", "none", "{t}", "{s}"}, want: []any{"2", nil, "1", "2"}},
		"two sides, added up":        {args: []any{"exists", "{s}", "{t}", "{t}", "none"}, want: int64(3)},
		"two sides, touched":         {args: []any{"touch", "{s}", "{t}"}, want: int64(2)},
		"two sides, not to be split": {args: []any{"mset", "{s}", "1", "{t}", "1"}, err: ErrSplitAuthority},
		"two sides, a script":        {args: []any{"eval", "return 1", 2, "{s}", "{t}"}, err: ErrSplitAuthority},
		"two sides, rename":          {args: []any{"rename", "{s}", "{t}"}, err: ErrSplitAuthority},
		"script on the target":       {args: []any{"eval", "return redis.call('get', KEYS[1])", 1, "{t}"}, want: "1"},
		"script of any key":          {args: []any{"eval", "return 1", 0}, err: ErrSplitAuthority},
		"script of any key, read":    {args: []any{"eval_ro", "return 1", 0}, want: int64(1)},
		"any side":                   {args: []any{"ping"}, want: "PONG"},
		"any side, echo":             {args: []any{"echo", "x"}, want: "x"},
		"both sides":                 {args: []any{"script", "load", "return 7"}, want: "dbf0b0b0d2b18d1a2f1ea9ce9b1b6a9bfb4b2f5c"},
		"both sides, publish":        {args: []any{"publish", "ch", "m"}, want: int64(0)},
		"flush":                      {args: []any{"flushall"}, err: ErrRefused},
		"flush of scripts":           {args: []any{"script", "flush"}, want: "OK"},
		"denied":                     {args: []any{"select", 1}, err: ErrRefused},
		"denied, the name":           {args: []any{"client", "setname", "x"}, err: ErrRefused},
		"denied, by its arguments":   {args: []any{"copy", "{s}", "{s}x", "db", 1}, err: ErrRefused},
		"denied, raw transaction":    {args: []any{"multi"}, err: ErrRefused},
		"unknown":                    {args: []any{"frobnicate", "{s}"}, err: ErrUnknownCommand},
		"malformed":                  {args: []any{"get"}, err: command.ErrArgs},
	} {
		t.Run(name, func(t *testing.T) {
			c.Set(ctx, onTarget, "1", 0)
			c.Set(ctx, onSource, "2", 0)
			args := append([]any(nil), tt.args...)
			for i := range args {
				switch s, _ := args[i].(string); s {
				case "{t}":
					args[i] = onTarget
				case "{s}":
					args[i] = onSource
				}
			}
			got, err := c.Do(ctx, args...).Result()
			if name == "both sides" {
				got, tt.want = len(fmt.Sprint(got)), 40
			}
			if !errors.Is(err, tt.err) || err == nil && !reflect.DeepEqual(got, tt.want) {
				t.Errorf("%v: got %#v, %v; want %#v, %v", args, got, err, tt.want, tt.err)
			}
			pipe := c.Pipeline()
			cmd := pipe.Do(ctx, args...)
			if _, err := pipe.Exec(ctx); !errors.Is(err, tt.err) || !errors.Is(cmd.Err(), tt.err) {
				t.Errorf("in a pipeline: got %v; want %v", err, tt.err)
			}
		})
	}
	if got := p.get(protocol.Target, onTarget); got != "1" {
		t.Errorf("the target has %q; want 1", got)
	}
}

func TestSplitErrorNamesTheStep(t *testing.T) {
	p := embeddedPair(t)
	c := p.member()
	p.shadow(c)
	p.move(protocol.Source, map[string]int{"low": 100}, c)
	err := c.MSet(t.Context(), "low:a", 1, "high:b", 1).Err()
	if !errors.Is(err, ErrSplitAuthority) {
		t.Fatalf("got %v; want ErrSplitAuthority", err)
	}
	const want = "migrate: keys of one command lie on two sides: mset on keys of low and high: move them whole (migrate cutover --only low,high --to 100, or migrate rollback)"
	if err.Error() != want {
		t.Errorf("got  %v\nwant %v", err, want)
	}
}

// Typed methods whose reply is put together here.
func TestSplitTyped(t *testing.T) {
	p := embeddedPair(t)
	c, a, b := splitPair(t, p)
	ctx := t.Context()
	c.Set(ctx, a, "1", 0)
	c.Set(ctx, b, "2", 0)
	if got, err := c.MGet(ctx, a, b).Result(); err != nil || !reflect.DeepEqual(got, []any{"1", "2"}) {
		t.Errorf("mget: got %v, %v", got, err)
	}
	if got, err := c.Del(ctx, a, b, "none").Result(); err != nil || got != 2 {
		t.Errorf("del: got %v, %v; want 2", got, err)
	}
	for _, s := range protocol.Sides {
		redistest.Eventually(t, 5*time.Second, func() error {
			if keys := p.keys(s); len(keys) > 0 {
				return fmt.Errorf("the %v still has %v", s, keys)
			}
			return nil
		})
	}
}

func TestFlushOutsideMigration(t *testing.T) {
	p := embeddedPair(t)
	c := p.member()
	ctx := t.Context()
	c.Set(ctx, "k", "v", 0)
	if err := c.FlushAll(ctx).Err(); err != nil {
		t.Errorf("in phase off: %v", err)
	}
	if p.get(protocol.Source, "k") != "" {
		t.Error("the key is still there")
	}
}

func TestUnknownCommandWhenDone(t *testing.T) {
	p := embeddedPair(t)
	c := p.member()
	p.shadow(c)
	p.move(protocol.Source, everything(100), c)
	p.finish(c)
	ctx := t.Context()
	for _, err := range []error{c.Do(ctx, "frobnicate").Err(), pipelined(ctx, c, "frobnicate")} {
		if err == nil || errors.Is(err, ErrUnknownCommand) {
			t.Errorf("got %v; want the server's error", err)
		}
	}
}

func pipelined(ctx context.Context, c redis.UniversalClient, args ...any) error {
	_, err := c.Pipelined(ctx, func(pipe redis.Pipeliner) error { pipe.Do(ctx, args...); return nil })
	return err
}

// A member that has read no record yet makes commands wait, not guess.
func TestWaitsForTheFirstRecord(t *testing.T) {
	p := embeddedPair(t)
	dead := p.cfg[protocol.Source]
	dead.Addrs = []string{"127.0.0.1:1"}
	c, err := Open(t.Context(), Options{Name: "test", Source: dead, Target: p.cfg[protocol.Target]})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for name, run := range map[string]func(context.Context) error{
		"get":      func(ctx context.Context) error { return c.Get(ctx, "k").Err() },
		"set":      func(ctx context.Context) error { return c.Set(ctx, "k", "v", 0).Err() },
		"blpop":    func(ctx context.Context) error { return c.BLPop(ctx, 0, "k").Err() },
		"scan":     func(ctx context.Context) error { return c.Scan(ctx, 0, "", 0).Err() },
		"flush":    func(ctx context.Context) error { return c.FlushAll(ctx).Err() },
		"publish":  func(ctx context.Context) error { return c.Publish(ctx, "c", "m").Err() },
		"pipeline": func(ctx context.Context) error { return pipelined(ctx, c, "get", "k") },
		"watch":    func(ctx context.Context) error { return c.Watch(ctx, func(*redis.Tx) error { return nil }, "k") },
		"ready":    c.Ready,
		"tx": func(ctx context.Context) error {
			_, err := c.TxPipelined(ctx, func(pipe redis.Pipeliner) error { pipe.Get(ctx, "k"); return nil })
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), 30*time.Millisecond)
			defer cancel()
			if err := run(ctx); !errors.Is(err, ErrNoSide) || !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("got %v; want ErrNoSide and the deadline", err)
			}
		})
	}
}
