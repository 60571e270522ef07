package keysync

import (
	"context"
	"strings"
	"testing"

	"github.com/redis/go-redis/v9"
)

// A replaceHook deletes a string right before its first piece is read, and
// writes it anew right after.
type replaceHook struct {
	redis.Hook
	t    *testing.T
	c    redis.UniversalClient // without this hook
	done bool
}

func (h *replaceHook) DialHook(next redis.DialHook) redis.DialHook          { return next }
func (h *replaceHook) ProcessHook(next redis.ProcessHook) redis.ProcessHook { return next }
func (h *replaceHook) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		if h.done || cmds[0].Name() != "getrange" {
			return next(ctx, cmds)
		}
		h.done = true
		do(h.t, h.c, "DEL", "k")
		err := next(ctx, cmds)
		do(h.t, h.c, "SET", "k", "anew")
		return err
	}
}

// TestStringReplaced: a large string that is gone when its first piece is read,
// and back when the copy is to be put in its place, is copied from the start.
func TestStringReplaced(t *testing.T) {
	b := benches["typed"](t)
	do(t, b.ca, "SET", "k", strings.Repeat("v", 4<<10))
	read := redis.NewClient(b.ca.(*redis.Client).Options())
	t.Cleanup(func() { _ = read.Close() })
	hook := &replaceHook{t: t, c: b.ca}
	read.AddHook(hook)
	if _, err := Sync(t.Context(), NewSide(read), b.b, []string{"k"}, Options{Large: 1}); err != nil {
		t.Fatal(err)
	}
	if !hook.done {
		t.Error("no piece was read; want the string copied in pieces")
	}
	if got := do(t, b.cb, "GET", "k"); got != "anew" {
		t.Errorf("got %v; want the value written last", got)
	}
}
