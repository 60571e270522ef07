package migrate

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/redis/go-redis/v9"

	"github.com/transload/transload/internal/protocol"
	"github.com/transload/transload/topology"
)

// BenchmarkMixed compares an app's throughput on the source alone with that in
// shadow: half reads, half writes, over 10,000 keys.
func BenchmarkMixed(b *testing.B) {
	p := realPair(b)
	plain, err := topology.Open(p.cfg[protocol.Source])
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = plain.Close() })
	c := p.member()
	run := func(name string, client redis.UniversalClient) {
		b.Run(name, func(b *testing.B) {
			ctx := b.Context()
			b.SetParallelism(8)
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					key := fmt.Sprint("sess:", rand.N(10_000))
					var err error
					if rand.N(2) == 0 {
						err = client.Set(ctx, key, "0123456789012345678901234567890123456789", 0).Err()
					} else if err = client.Get(ctx, key).Err(); err == redis.Nil {
						err = nil
					}
					if err != nil {
						b.Fatal(err)
					}
				}
			})
		})
	}
	run("plain", plain)
	run("off", c)
	p.shadow(c)
	run("shadow", c)
	b.Logf("mirror: %d copied, %d waiting, %d dropped", c.m.mirror.written.Load(), c.m.mirror.dirty(), c.m.mirror.dropped.Load())
}
