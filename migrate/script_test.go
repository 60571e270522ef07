package migrate

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/transload/transload/internal/protocol"
	"github.com/transload/transload/internal/redistest"
)

// A script that the source knows and the target does not must run on the target
// once its keys are there, however it is called.
func TestScriptsAcrossMove(t *testing.T) {
	t.Parallel()
	for name, mk := range map[string]func(testing.TB) *pair{"embedded": embeddedPair, "real": realPair} {
		t.Run(name, func(t *testing.T) {
			p := mk(t)
			c := p.member()
			p.shadow(c)
			ctx := t.Context()
			script := redis.NewScript("return redis.call('incrby', KEYS[1], ARGV[1])")
			if err := script.Run(ctx, c, []string{"k"}, 1).Err(); err != nil {
				t.Fatal(err)
			}
			p.mirrored("k", "1")
			p.move(protocol.Source, everything(100), c)
			for _, s := range protocol.Sides {
				if err := p.client[s].ScriptFlush(ctx).Err(); err != nil {
					t.Fatal(err)
				}
			}
			if got, err := c.EvalSha(ctx, script.Hash(), []string{"k"}, 1).Int(); err != nil || got != 2 {
				t.Errorf("EVALSHA of a known script: got %d, %v; want 2", got, err)
			}
			p.client[protocol.Target].ScriptFlush(ctx)
			pipe := c.Pipeline()
			first, second := pipe.EvalSha(ctx, script.Hash(), []string{"k"}, 1), pipe.EvalSha(ctx, script.Hash(), []string{"k"}, 1)
			if _, err := pipe.Exec(ctx); err != nil {
				t.Errorf("in a pipeline: %v", err)
			}
			if first.Val() != int64(3) || second.Val() != int64(4) {
				t.Errorf("in a pipeline: got %v, %v; want 3, 4", first.Val(), second.Val())
			}
			p.move(protocol.Target, everything(0), c)
			var in *redis.Cmd
			if _, err := c.TxPipelined(ctx, func(pipe redis.Pipeliner) error {
				in = pipe.EvalSha(ctx, script.Hash(), []string{"k"}, 1)
				return nil
			}); err != nil || in.Val() != int64(5) {
				t.Errorf("in a transaction: got %v, %v; want 5", in.Val(), err)
			}
			if err := c.EvalSha(ctx, "0000000000000000000000000000000000000000", []string{"k"}).Err(); !errors.Is(err, redis.ErrNoScript) {
				t.Errorf("unknown script: got %v; want the server's NOSCRIPT", err)
			}
			p.mirrored("k", "5")
		})
	}
}

// A script that fails half-way has written: its keys are marked all the same.
func TestScriptThatFails(t *testing.T) {
	p := embeddedPair(t)
	c := p.member()
	p.shadow(c)
	err := c.Eval(t.Context(), "redis.call('set', KEYS[1], 'half'); return redis.call('nonsense')", []string{"k"}).Err()
	if err == nil {
		t.Error("got no error")
	}
	p.mirrored("k", "half")
}

func TestScriptCommandsGoToBothSides(t *testing.T) {
	p := realPair(t)
	c := p.member()
	p.shadow(c)
	ctx := t.Context()
	sha, err := c.ScriptLoad(ctx, "return 42").Result()
	if err != nil {
		t.Fatal(err)
	}
	loaded := func(want bool) {
		t.Helper()
		redistest.Eventually(t, 5*time.Second, func() error {
			for _, s := range protocol.Sides {
				got, err := p.client[s].ScriptExists(ctx, sha).Result()
				if err != nil || got[0] != want {
					return fmt.Errorf("the %v: got %v, %v; want %v", s, got, err, want)
				}
			}
			return nil
		})
	}
	loaded(true)
	p.move(protocol.Source, everything(10), c)
	if err := c.ScriptFlush(ctx).Err(); err != nil {
		t.Errorf("script flush at 10 percent: %v", err)
	}
	loaded(false)
	if err := c.EvalSha(ctx, sha, []string{"k"}).Err(); !errors.Is(err, redis.ErrNoScript) {
		t.Errorf("after SCRIPT FLUSH: got %v; want NOSCRIPT", err)
	}
	lib := "#!lua name=mylib\nredis.register_function('f', function(k, a) return redis.call('incr', k[1]) end)"
	if err := c.FunctionLoad(ctx, lib).Err(); err != nil {
		t.Fatal(err)
	}
	a, b := keyBelow("k", 10, true, 0), keyBelow("k", 10, false, 0)
	redistest.Eventually(t, 5*time.Second, func() error {
		for _, key := range []string{a, b} {
			if err := c.FCall(ctx, "f", []string{key}).Err(); err != nil {
				return err
			}
		}
		return nil
	})
}

func TestScriptsAreBounded(t *testing.T) {
	var s scripts
	for i := range 2 * maxScripts {
		s.see("eval", []any{"eval", fmt.Sprint("return ", i), 0})
	}
	if len(s.text) != maxScripts {
		t.Errorf("got %d; want %d", len(s.text), maxScripts)
	}
}
