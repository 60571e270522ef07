package migrate

import (
	"context"
	"testing"

	"github.com/redis/go-redis/v9"

	"github.com/transload/transload/internal/protocol"
	"github.com/transload/transload/topology"
)

// BenchmarkGet compares a plain client with a migrating one, on real servers.
func BenchmarkGet(b *testing.B) {
	p := realPair(b)
	ctx := b.Context()
	c := p.member()
	plain, err := topology.Open(p.cfg[protocol.Source])
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = plain.Close() })
	if err := c.Set(ctx, "bench", "v", 0).Err(); err != nil {
		b.Fatal(err)
	}
	run := func(name string, client redis.UniversalClient) {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if err := client.Get(ctx, "bench").Err(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
	run("plain", plain)
	run("off", c)
	p.shadow(c)
	run("shadow", c)
}

// BenchmarkRoute measures the router alone: a hook on the backend answers in
// place of the server.
func BenchmarkRoute(b *testing.B) {
	p := embeddedPair(b)
	c := p.member()
	run := func(name string, client redis.UniversalClient) {
		b.Run(name, func(b *testing.B) {
			ctx := b.Context()
			b.ReportAllocs()
			for b.Loop() {
				client.Get(ctx, "low:{a}:bench")
			}
		})
	}
	p.client[protocol.Source].AddHook(instant{})
	run("plain", p.client[protocol.Source])
	c.m.view.Load().pools[protocol.Source].client.AddHook(instant{})
	run("off", c)
	p = embeddedPair(b)
	c = p.member()
	p.shadow(c)
	c.m.view.Load().pools[protocol.Source].client.AddHook(instant{})
	run("shadow", c)
}

// instant answers without a server.
type instant struct{}

func (instant) DialHook(next redis.DialHook) redis.DialHook { return next }

func (instant) ProcessHook(redis.ProcessHook) redis.ProcessHook {
	return func(context.Context, redis.Cmder) error { return nil }
}

func (instant) ProcessPipelineHook(redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(context.Context, []redis.Cmder) error { return nil }
}
