package pubsub

import (
	"context"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
)

// losing fails the first calls of a script, and counts how many of the others there are
// at a time.
type losing struct {
	scriptCount
	first, now, most atomic.Int64
}

func (l *losing) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		args := cmd.Args()
		if len(args) < 2 || args[1] != l.script.sha {
			return next(ctx, cmd)
		}
		if l.first.Add(-1) >= 0 {
			return io.EOF
		}
		n := l.now.Add(1)
		defer l.now.Add(-1)
		for most := l.most.Load(); n > most && !l.most.CompareAndSwap(most, n); most = l.most.Load() {
		}
		time.Sleep(time.Millisecond)
		return next(ctx, cmd)
	}
}

// Those who publish again when Redis is back leave connections to others: what they
// published is there once.
func TestTriedAgainInTurn(t *testing.T) {
	t.Parallel()
	_, s := mini(t)
	c := miniClient(t, s)
	const publishers = 200
	l := &losing{scriptCount: scriptCount{script: publishScript}}
	l.first.Store(publishers)
	c.AddHook(l)
	h := hubOn(t, c, policies())
	var wg sync.WaitGroup
	for i := range publishers {
		wg.Go(func() { publish(t, h, fmt.Sprint("pos:", i), "truck", i) })
	}
	wg.Wait()
	if most := l.most.Load(); most > int64(cap(h.tries)) {
		t.Errorf("%d publishes were tried again at a time; want at most %d", most, cap(h.tries))
	}
	for i := range publishers {
		if r := publish(t, h, fmt.Sprint("pos:", i), "truck", i); r.Pos[len(r.Pos)-2:] != ".2" {
			t.Errorf("got %s; want the second message of its topic", r.Pos)
		}
	}
}
