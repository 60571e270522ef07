package keysync

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
)

// TestFill fills a side that lacks most keys, and writes nothing over without a
// look at it.
func TestFill(t *testing.T) {
	for name, newBench := range benches {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			both := func(key string, value ...any) {
				for _, c := range []redis.UniversalClient{b.ca, b.cb} {
					do(t, c, append([]any{"RPUSH", key}, value...)...)
				}
			}
			do(t, b.ca, "HSET", "missing", "f", "v")
			do(t, b.ca, "SET", "expires", "v", "PX", 500_000)
			both("equal", "a", "b")
			both("differs", "a", "b")
			do(t, b.ca, "RPUSH", "differs", "c")
			do(t, b.cb, "SET", "extra", "v")
			do(t, b.ca, "EVAL", fmt.Sprintf(largeKeys["zset"].make, 6000), 1, "large")
			keys := []string{"missing", "expires", "equal", "differs", "extra", "neither", "large"}
			results, err := Fill(t.Context(), b.a, b.b, keys, b.options())
			if err != nil {
				t.Fatal(err)
			}
			want := map[string]string{"missing": "missing copied", "expires": "missing copied", "equal": "equal none", "differs": "value copied",
				"extra": "extra deleted", "neither": "equal none", "large": "missing copied"}
			for _, r := range results {
				if got := r.Diff.String() + " " + r.Action.String(); got != want[r.Key] {
					t.Errorf("%s: got %s; want %s", r.Key, got, want[r.Key])
				}
				if got := b.compare(t, r.Key, b.options()); got != Equal {
					t.Errorf("%s: %v afterwards; want equal", r.Key, got)
				}
			}
		})
	}
}

// TestRenewedBetween changes the expiry of a key between the commands that read
// it: the reading is not of one moment, and is made again in one step.
func TestRenewedBetween(t *testing.T) {
	for name, behind := range map[string]int{"before the value": 0, "after the value": 1} {
		t.Run(name, func(t *testing.T) {
			b := benches["dump"](t)
			do(t, b.ca, "SET", "k", "old", "PX", 400_000)
			var at int64
			b.ca.AddHook(between{behind, func(ctx context.Context) {
				if at == 0 {
					at = time.Now().Add(time.Hour).UnixMilli()
					admin := redis.NewClient(b.ca.(*redis.Client).Options())
					defer admin.Close()
					do(t, admin, "SET", "k", "new", "PXAT", at)
				}
			}})
			if _, err := Copy(t.Context(), b.a, b.b, []string{"k"}, Options{}); err != nil {
				t.Fatal(err)
			}
			if got, expires := do(t, b.cb, "GET", "k"), do(t, b.cb, "PEXPIRETIME", "k"); got != "new" || expires != at {
				t.Errorf("got %v until %v; want new until %d", got, expires, at)
			}
		})
	}
}

// between splits a pipeline at its DUMP, or right behind it, and has something done
// there.
type between struct {
	behind int // 1: behind
	act    func(ctx context.Context)
}

func (between) DialHook(next redis.DialHook) redis.DialHook          { return next }
func (between) ProcessHook(next redis.ProcessHook) redis.ProcessHook { return next }
func (h between) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		for i, cmd := range cmds {
			if at := i + h.behind; cmd.Name() == "dump" && at > 0 && at < len(cmds) {
				err := next(ctx, cmds[:at])
				h.act(ctx)
				return errors.Join(err, next(ctx, cmds[at:]))
			}
		}
		return next(ctx, cmds)
	}
}
