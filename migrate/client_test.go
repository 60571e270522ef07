package migrate

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/transload/transload/internal/protocol"
	"github.com/transload/transload/topology"
)

func TestPhases(t *testing.T) {
	for name, make := range map[string]func(testing.TB) *pair{"embedded": embeddedPair, "real": realPair} {
		t.Run(name, func(t *testing.T) {
			p := make(t)
			ctx := t.Context()
			c := p.member()
			set := func(key, value string) {
				t.Helper()
				if err := c.Set(ctx, key, value, 0).Err(); err != nil {
					t.Fatalf("set %s: %v", key, err)
				}
				if got, err := c.Get(ctx, key).Result(); err != nil || got != value {
					t.Fatalf("get %s: got %q, %v; want %q", key, got, err, value)
				}
			}
			set("a", "off")
			if p.get(protocol.Target, "a") != "" {
				t.Fatal("the target has a key in phase off")
			}
			p.shadow(c)
			set("b", "shadow")
			p.mirrored("b", "shadow")
			low, high := keyBelow("k", 10, true, 0), keyBelow("k", 10, false, 0)
			p.move(protocol.Source, everything(10), c)
			set(low, "1")
			set(high, "2")
			p.mirrored(low, "1")
			p.mirrored(high, "2")
			p.move(protocol.Source, everything(100), c)
			set("c", "soak")
			p.mirrored("c", "soak")
			p.move(protocol.Target, everything(0), c)
			set("d", "back")
			p.mirrored("d", "back")
			p.move(protocol.Source, everything(100), c)
			p.finish(c)
			set("e", "done")
			if p.get(protocol.Source, "e") != "" {
				t.Fatal("the source has a key of phase done")
			}
			for key, want := range map[string]string{"a": "off", "b": "shadow", low: "1", high: "2", "c": "soak", "d": "back"} {
				if got := p.get(protocol.Target, key); got != want {
					t.Errorf("%s on the target: got %q; want %q", key, got, want)
				}
			}
		})
	}
}

func TestPlain(t *testing.T) {
	p := embeddedPair(t)
	c, err := Open(t.Context(), Options{Source: p.cfg[protocol.Source]})
	if err != nil {
		t.Fatal(err)
	}
	ctx := t.Context()
	if err := c.Ready(ctx); err != nil {
		t.Fatal(err)
	}
	if err := c.Set(ctx, "k", "v", 0).Err(); err != nil {
		t.Fatal(err)
	}
	pipe := c.TxPipeline()
	get := pipe.Get(ctx, "k")
	if _, err := pipe.Exec(ctx); err != nil || get.Val() != "v" {
		t.Errorf("in a transaction: got %q, %v", get.Val(), err)
	}
	err = c.Watch(ctx, func(tx *redis.Tx) error { return tx.Get(ctx, "k").Err() }, "k")
	if err != nil {
		t.Errorf("watch: %v", err)
	}
	for range 2 {
		if err := c.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	}
	if err := c.Get(ctx, "k").Err(); !errors.Is(err, redis.ErrClosed) {
		t.Errorf("after close: got %v", err)
	}
}

func TestOpenRefuses(t *testing.T) {
	p := embeddedPair(t)
	good := Options{Source: p.cfg[protocol.Source], Target: p.cfg[protocol.Target]}
	for name, change := range map[string]func(*Options){
		"no source":    func(o *Options) { o.Source = topology.Config{} },
		"a short wait": func(o *Options) { o.Wait = time.Millisecond },
		"a bad name":   func(o *Options) { o.Name = "a b" },
		"overlap": func(o *Options) {
			o.Workloads = []Workload{{Name: "a", Prefixes: []string{"x"}}, {Name: "b", Prefixes: []string{"xy"}}}
		},
		"bad share":     func(o *Options) { o.ShadowReads = 2 },
		"negative room": func(o *Options) { o.MirrorQueue = -1 },
	} {
		t.Run(name, func(t *testing.T) {
			o := good
			change(&o)
			if c, err := Open(t.Context(), o); !errors.Is(err, ErrOption) {
				t.Errorf("got %v, %v; want ErrOption", c, err)
			}
		})
	}
}

func TestCloseTwice(t *testing.T) {
	p := embeddedPair(t)
	c := p.member()
	for range 2 {
		if err := c.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	}
	if err := c.Get(t.Context(), "k").Err(); !errors.Is(err, ErrClosed) {
		t.Errorf("after close: got %v; want ErrClosed", err)
	}
}

// A hook of the app sees each command once, and before the router.
type countHook struct{ commands, pipelines int }

func (h *countHook) DialHook(next redis.DialHook) redis.DialHook { return next }

func (h *countHook) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error { h.commands++; return next(ctx, cmd) }
}

func (h *countHook) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error { h.pipelines += len(cmds); return next(ctx, cmds) }
}

func TestHooks(t *testing.T) {
	p := embeddedPair(t)
	c := p.member()
	h := &countHook{}
	c.AddHook(h)
	ctx := t.Context()
	c.Set(ctx, "k", "v", 0)
	c.Do(ctx, "get", "k")
	_, err := c.TxPipelined(ctx, func(pipe redis.Pipeliner) error { pipe.Get(ctx, "k"); return nil })
	if err != nil || h.commands != 2 || h.pipelines != 3 {
		t.Errorf("got %d commands, %d in pipelines, %v; want 2, 3 (with MULTI and EXEC)", h.commands, h.pipelines, err)
	}
}

// Before anything was read, and once it is closed, a view serves nothing.
func TestBlankView(t *testing.T) {
	p := embeddedPair(t)
	m, err := newMember(mustDefaults(t, p))
	if err != nil {
		t.Fatal(err)
	}
	defer m.close(t.Context())
	v := m.view.Load()
	u := []unit{m.plan.unit("k")}
	for _, write := range []bool{false, true} {
		if s, moving, split := v.place(u, write); s != protocol.None || moving || split {
			t.Errorf("got %v, %v, %v; want none", s, moving, split)
		}
		if s, _ := v.serve(u[0], write); s != protocol.None {
			t.Errorf("got %v; want none", s)
		}
	}
	if v.moves(u) {
		t.Error("nothing moves in a blank view")
	}
	if v := (&view{blank: true, between: true}); !v.moves(u) {
		t.Error("all keys move between a commit and its grant, also while the taker is away")
	}
}

func mustDefaults(t *testing.T, p *pair) Options {
	t.Helper()
	o, err := Options{Source: p.cfg[protocol.Source], Target: p.cfg[protocol.Target]}.withDefaults()
	if err != nil {
		t.Fatal(err)
	}
	return o
}
