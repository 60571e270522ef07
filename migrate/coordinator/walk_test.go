package coordinator

import (
	"context"
	"sync/atomic"
	"testing"

	"github.com/redis/go-redis/v9"

	"github.com/transload/transload/internal/protocol"
	"github.com/transload/transload/internal/redistest"
)

// TestAnExtraIsReadAgainBeforeItIsDeleted: the app has made the key meanwhile, and
// its copy is there already.
func TestAnExtraIsReadAgainBeforeItIsDeleted(t *testing.T) {
	t.Parallel()
	src, dst := redistest.Standalone(t, redistest.Options{}), redistest.Standalone(t, redistest.Options{})
	sy := syncing(t, sides{config(t, src), config(t, dst)})
	var asked atomic.Int64
	var deleted atomic.Bool
	sy.t.keys[protocol.Source].client.AddHook(spy{after: func(_ context.Context, cmds []redis.Cmder) {
		// The second question is which of them are absent.
		if cmds[0].Name() == "exists" && asked.Add(1) == 2 {
			redistest.Do(t, dst, "SET", "sess:{1}", "new")
			redistest.Do(t, src, "SET", "sess:{1}", "new")
		}
	}})
	sy.t.keys[protocol.Target].client.AddHook(spy{after: func(_ context.Context, cmds []redis.Cmder) {
		for _, cmd := range cmds {
			if args := cmd.Args(); len(args) > 1 && args[0] == "unlink" && args[1] == "sess:{1}" {
				deleted.Store(true)
			}
		}
	}})
	if err := sy.batch(t.Context(), protocol.Target, []string{"sess:{1}"}); err != nil {
		t.Fatal(err)
	}
	if asked.Load() < 2 || deleted.Load() {
		t.Errorf("asked %d times, deleted: %v; want the key made and kept", asked.Load(), deleted.Load())
	}
}
