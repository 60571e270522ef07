package migrate

import (
	"fmt"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/transload/transload/internal/protocol"
	"github.com/transload/transload/internal/redistest"
)

// Listen names the sides that matter in each phase, says when that changes, and hears
// what is published there.
func TestListen(t *testing.T) {
	t.Parallel()
	p := realPair(t)
	c := p.member()
	ctx := t.Context()
	both := []protocol.Side{protocol.Source, protocol.Target}
	var known [3]redis.UniversalClient
	expect := func(phase string, want ...protocol.Side) <-chan struct{} {
		t.Helper()
		var changed <-chan struct{}
		redistest.Eventually(t, 10*time.Second, func() error {
			var list []redis.UniversalClient
			if list, changed = c.Listen(); len(list) != len(want) {
				return fmt.Errorf("%s: got %d sides; want %v", phase, len(list), want)
			}
			for i, s := range want {
				if known[s] != nil && known[s] != list[i] {
					t.Fatalf("%s: the %v has another client than before", phase, s)
				}
				known[s] = list[i]
			}
			return nil
		})
		for _, s := range want {
			ps := known[s].Subscribe(ctx, "ch")
			if _, err := ps.Receive(ctx); err != nil {
				t.Fatal(err)
			}
			if err := p.client[s].Publish(ctx, "ch", phase).Err(); err != nil {
				t.Fatal(err)
			}
			v, err := ps.Receive(ctx)
			if m, ok := v.(*redis.Message); err != nil || !ok || m.Payload != phase {
				t.Errorf("%s: the %v brings %v, %v; want the message", phase, s, v, err)
			}
			_ = ps.Close()
		}
		return changed
	}
	changed := expect("off", protocol.Source)
	p.shadow(c)
	select {
	case <-changed:
	default:
		t.Error("shadow: nobody was told of the change")
	}
	expect("shadow", both...)
	p.move(protocol.Source, everything(100), c)
	expect("soak", both...)
	p.finish(c)
	expect("done", protocol.Target)
}
