package keysync

import (
	"context"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
)

// A swapHook swaps a key's value and expiry after each thing that is asked.
type swapHook struct {
	redis.Hook
	swap func()
}

func (h swapHook) DialHook(next redis.DialHook) redis.DialHook { return next }

func (h swapHook) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		defer h.swap()
		return next(ctx, cmd)
	}
}

func (h swapHook) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		defer h.swap()
		return next(ctx, cmds)
	}
}

// TestValueAndExpiryAreOfOneMoment: of a key that is "short" and expires, and then
// "long" and does not, and so on, the copy is one or the other.
func TestValueAndExpiryAreOfOneMoment(t *testing.T) {
	for _, name := range []string{"dump", "typed", "old"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := benches[name](t)
			if _, err := b.a.Capabilities(t.Context()); err != nil {
				t.Fatal(err)
			}
			read := redis.NewClient(b.ca.(*redis.Client).Options())
			t.Cleanup(func() { _ = read.Close() })
			from := NewSide(read)
			from.probed, from.caps = true, b.a.caps
			short := true
			swap := func() {
				if short = !short; short {
					do(t, b.ca, "SET", "k", "short", "PX", time.Hour.Milliseconds())
				} else {
					do(t, b.ca, "SET", "k", "long")
				}
			}
			read.AddHook(swapHook{swap: swap})
			for range 4 {
				swap()
				if _, err := Copy(t.Context(), from, b.b, []string{"k"}, Options{}); err != nil {
					t.Fatal(err)
				}
				value, expires := do(t, b.cb, "GET", "k"), do(t, b.cb, "PTTL", "k").(int64) > 0
				if value != "short" && value != "long" || expires != (value == "short") {
					t.Errorf("got %v, with an expiry: %v", value, expires)
				}
			}
		})
	}
}
