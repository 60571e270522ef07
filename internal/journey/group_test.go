package journey

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/transload/transload/internal/redistest"
	"github.com/transload/transload/migrate"
)

// TestConsumerGroups moves streams while consumers of a group read and
// acknowledge them. Servers do not report changes of groups, so a move that
// leaned on the change feed alone would deliver entries again, or never.
func TestConsumerGroups(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("needs real servers")
	}
	for name, target := range targets {
		t.Run(name, func(t *testing.T) {
			t.Parallel() // a migration waits more than it works
			j := begin(t, 2, target(t))
			var keys []string
			for i := range 6 {
				key := fmt.Sprintf("live:{truck-%d}:events", i)
				keys = append(keys, key)
				if err := j.members[0].XGroupCreateMkStream(t.Context(), key, "g", "0").Err(); err != nil {
					t.Fatal(err)
				}
			}
			ctx, cancel := context.WithCancel(t.Context())
			var wg sync.WaitGroup
			stop := sync.OnceFunc(func() { cancel(); wg.Wait() })
			defer stop()
			added, read := &tally{seen: map[string]int{}}, &tally{seen: map[string]int{}}
			for i, key := range keys {
				wg.Go(func() { produce(ctx, t, j.members[i%2], key, added) })
				wg.Go(func() { consume(ctx, t, j.members[(i+1)%2], key, read) })
			}
			j.shadow(t)
			j.cutover(t, 10, 50, 100)
			j.rollback(t)
			j.cutover(t, 100)
			j.finish(t)
			stop()
			for _, key := range keys { // what was added last may not have been read yet
				drain(t, j.members[0], key, read)
			}
			if added.len() < 50 {
				t.Fatalf("only %d entries were added; want more to judge by", added.len())
			}
			for id := range added.seen {
				if n := read.seen[id]; n != 1 {
					t.Errorf("entry %s was delivered %d times; want once", id, n)
				}
			}
			for _, key := range keys {
				p, err := j.members[0].XPending(t.Context(), key, "g").Result()
				if err != nil || p.Count != 0 {
					t.Errorf("%s: got %+v, %v; want nothing pending", key, p, err)
				}
			}
			t.Logf("%d entries, each delivered once", added.len())
		})
	}
}

type tally struct {
	mu   sync.Mutex
	seen map[string]int
}

func (c *tally) add(id string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.seen[id]++
}

func (c *tally) len() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.seen)
}

func produce(ctx context.Context, t *testing.T, c *migrate.Client, key string, added *tally) {
	for ctx.Err() == nil {
		id, err := c.XAdd(context.WithoutCancel(ctx), &redis.XAddArgs{Stream: key, Values: []any{"at", "here"}}).Result()
		if err != nil {
			t.Errorf("xadd %s: %v", key, err)
			return
		}
		added.add(key + " " + id)
		time.Sleep(40 * time.Millisecond)
	}
}

func consume(ctx context.Context, t *testing.T, c *migrate.Client, key string, read *tally) {
	for ctx.Err() == nil {
		if err := take(context.WithoutCancel(ctx), c, key, 300*time.Millisecond, read); err != nil {
			t.Errorf("%s: %v", key, err)
			return
		}
	}
}

// take reads what is new and acknowledges it.
func take(ctx context.Context, c *migrate.Client, key string, block time.Duration, read *tally) error {
	res, err := c.XReadGroup(ctx, &redis.XReadGroupArgs{Group: "g", Consumer: "c", Streams: []string{key, ">"}, Count: 10, Block: block}).Result()
	if errors.Is(err, redis.Nil) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("xreadgroup: %w", err)
	}
	for _, m := range res[0].Messages {
		read.add(key + " " + m.ID)
		if err := c.XAck(ctx, key, "g", m.ID).Err(); err != nil {
			return fmt.Errorf("xack: %w", err)
		}
	}
	return nil
}

func drain(t *testing.T, c *migrate.Client, key string, read *tally) {
	t.Helper()
	redistest.Eventually(t, 20*time.Second, func() error {
		before := read.len()
		if err := take(t.Context(), c, key, 50*time.Millisecond, read); err != nil {
			return err
		}
		if read.len() != before {
			return errors.New("there is more")
		}
		return nil
	})
}
