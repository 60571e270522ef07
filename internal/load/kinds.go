package load

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/redis/go-redis/v9"
)

// count adds one to a shared counter.
func (w *worker) count(key string, add func() error) {
	l := lineOf(counter, key)
	w.j.note(l)
	if !w.failed(add()) {
		w.j.note(l.as(done))
	}
}

func (w *worker) incr(ctx context.Context) {
	key := fmt.Sprintf("rl:{subject-%d}:minute", rand.IntN(40))
	w.count(key, func() error { return w.c.Incr(ctx, key).Err() })
}

// bump adds one in a script, and keeps a key that it does not declare beside it.
var bump = redis.NewScript(`
local n = redis.call('HINCRBY', KEYS[1], 'n', 1)
redis.call('SET', KEYS[1] .. ':last', n)
return n`)

func (w *worker) script(ctx context.Context) {
	key := fmt.Sprintf("live:{truck-%d}", rand.IntN(20))
	w.count(key, func() error { return bump.Run(ctx, w.c, []string{key}).Err() })
}

// watch adds one by optimistic locking.
func (w *worker) watch(ctx context.Context) {
	key := fmt.Sprintf("balance:{%d}", rand.IntN(10))
	l := lineOf(counter, key)
	w.j.note(l)
	err := w.lockAndAdd(ctx, key)
	switch {
	case errors.Is(err, redis.TxFailedErr):
		w.j.note(l.as(undone)) // it never got its turn, and so changed nothing
	case !w.failed(err):
		w.j.note(l.as(done))
	}
}

func (w *worker) lockAndAdd(ctx context.Context, key string) (err error) {
	for range 100 {
		err = w.c.Watch(ctx, func(tx *redis.Tx) error {
			n, err := tx.Get(ctx, key).Int64()
			if err != nil && !errors.Is(err, redis.Nil) {
				return err
			}
			_, err = tx.TxPipelined(ctx, func(p redis.Pipeliner) error {
				p.Set(ctx, key, n+1, 0)
				return nil
			})
			return err
		}, key)
		if !errors.Is(err, redis.TxFailedErr) {
			return err
		}
		time.Sleep(time.Duration(rand.IntN(5)) * time.Millisecond) // a lost race is no error: try again
	}
	return err
}

// multi adds one to two counters of one slot together.
func (w *worker) multi(ctx context.Context) {
	tag := rand.IntN(20)
	a, b := fmt.Sprintf("load:{both-%d}:a", tag), fmt.Sprintf("load:{both-%d}:b", tag)
	w.j.note(lineOf(counter, a), lineOf(counter, b))
	_, err := w.c.TxPipelined(ctx, func(p redis.Pipeliner) error {
		p.Incr(ctx, a)
		p.Incr(ctx, b)
		return nil
	})
	if !w.failed(err) {
		w.j.note(lineOf(counter, a).as(done), lineOf(counter, b).as(done))
	}
}

// pipeline adds to several counters of different slots in one go.
func (w *worker) pipeline(ctx context.Context) {
	p := w.c.Pipeline()
	cmds := map[string]*redis.IntCmd{}
	for range 5 {
		key := fmt.Sprintf("rl:{subject-%d}:hour", rand.IntN(200))
		if cmds[key] == nil {
			cmds[key] = p.Incr(ctx, key)
			w.j.note(lineOf(counter, key))
		}
	}
	_, _ = p.Exec(ctx) // each command has its own error
	for key, cmd := range cmds {
		if !w.failed(cmd.Err()) {
			w.j.note(lineOf(counter, key).as(done))
		}
	}
}

// element adds one element to a collection of its own.
func (w *worker) element(prefix, kind string, write func(key, el string, n int64) error) {
	n := w.next(kind)
	l := line{What: element, Key: w.own(prefix, kind, n/keysEach), El: fmt.Sprintf("e%d", n), Kind: kind}
	w.j.note(l)
	if !w.failed(write(l.Key, l.El, n)) {
		w.j.note(l.as(done))
	}
}

func (w *worker) hash(ctx context.Context) {
	w.element("sess:", "hash", func(key, el string, n int64) error { return w.c.HSet(ctx, key, el, n).Err() })
}

func (w *worker) sadd(ctx context.Context) {
	w.element("tags:", "set", func(key, el string, _ int64) error { return w.c.SAdd(ctx, key, el).Err() })
}

func (w *worker) zadd(ctx context.Context) {
	w.element("geo:", "zset", func(key, el string, n int64) error {
		return w.c.ZAdd(ctx, key, redis.Z{Score: float64(n), Member: el}).Err()
	})
}

func (w *worker) list(ctx context.Context) {
	w.element("log:", "list", func(key, el string, _ int64) error { return w.c.RPush(ctx, key, el).Err() })
}

func (w *worker) stream(ctx context.Context) {
	w.element("audit:", "stream", func(key, el string, _ int64) error {
		return w.c.XAdd(ctx, &redis.XAddArgs{Stream: key, Values: []any{"e", el}}).Err()
	})
}

const queues = 4

func queueKey(i int) string { return fmt.Sprintf("jobs:{q%d}:pending", i) }

// push puts a task on a shared queue.
func (w *worker) push(ctx context.Context) {
	l := line{What: push, Key: queueKey(rand.IntN(queues)), El: fmt.Sprintf("%s-%d-%d", w.member, w.id, w.next("push"))}
	w.j.note(l)
	if !w.failed(w.c.RPush(ctx, l.Key, l.El).Err()) {
		w.j.note(l.as(done))
	}
}

// consume takes tasks off the queues with blocking pops until ctx is done.
func consume(ctx context.Context, c redis.UniversalClient, j *Journal) {
	for i := 0; ctx.Err() == nil; i++ {
		l := line{What: pop, Key: queueKey(i % queues)}
		j.note(l)
		got, err := c.BLPop(context.WithoutCancel(ctx), time.Second, l.Key).Result()
		switch {
		case errors.Is(err, redis.Nil):
			j.note(l.as(undone))
		case err != nil:
			j.note(line{What: shown, El: err.Error()})
		default:
			l.El = got[1]
			j.note(l.as(done))
		}
	}
}
