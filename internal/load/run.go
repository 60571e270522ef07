package load

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
)

// Options say what load a member makes.
type Options struct {
	Member  string // tells its keys from other members'; letters and digits
	Workers int    // goroutines; the default is 4
	Rate    int    // operations a second of all of them; the default is 400
}

// keysEach is how many elements go into one collection before the next is begun,
// so that no key grows without bound.
const keysEach = 200

// Run makes load on a client until ctx is done, and notes in j what was
// acknowledged. What is under way at the end is let finish: a write that ended
// without an answer only because the load stopped would prove nothing.
func Run(ctx context.Context, c redis.UniversalClient, j *Journal, o Options) {
	if o.Workers == 0 {
		o.Workers = 4
	}
	if o.Rate == 0 {
		o.Rate = 400
	}
	var wg sync.WaitGroup
	defer wg.Wait()
	for i := range o.Workers {
		w := &worker{c: c, j: j, member: o.Member, id: i, seq: map[string]int64{}}
		every := time.Second * time.Duration(o.Workers) / time.Duration(o.Rate)
		wg.Go(func() { w.run(ctx, every) })
	}
	wg.Go(func() { consume(ctx, c, j) })
}

// A worker is one goroutine of the app. Its registers and collections are its
// own; counters and queues are shared by all members.
type worker struct {
	c      redis.UniversalClient
	j      *Journal
	member string
	id     int
	seq    map[string]int64
}

func (w *worker) run(ctx context.Context, every time.Duration) {
	t := time.NewTicker(every)
	defer t.Stop()
	kinds := []func(context.Context){
		w.set, w.set, w.read, w.read, w.incr, w.hash, w.sadd, w.zadd, w.list, w.stream, w.script, w.watch, w.multi, w.push, w.pipeline, w.expiring,
	}
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
			// An operation outlives the end of the load by at most its bound.
			op, cancel := context.WithTimeout(context.WithoutCancel(ctx), 25*time.Second)
			began := time.Now()
			kinds[rand.IntN(len(kinds))](op)
			w.j.took(time.Since(began))
			cancel()
		}
	}
}

// own names a key that only this worker writes.
func (w *worker) own(prefix, kind string, n int64) string {
	return fmt.Sprintf("%s{%s-%d-%s-%d}", prefix, w.member, w.id, kind, n)
}

func (w *worker) next(kind string) int64 {
	w.seq[kind]++
	return w.seq[kind]
}

// failed notes an error that the app was shown, and reports whether there was one.
func (w *worker) failed(err error) bool {
	if err != nil {
		w.j.note(line{What: shown, El: err.Error()})
	}
	return err != nil
}

// set writes a register: a session of the app.
func (w *worker) set(ctx context.Context) {
	key := w.own("sess:", "reg", rand.Int64N(50))
	w.register(key, func(v int64) error { return w.c.Set(ctx, key, v, 24*time.Hour).Err() })
}

// expiring writes a register with an expiry, as a cache does.
func (w *worker) expiring(ctx context.Context) {
	key := w.own("cache:", "ttl", rand.Int64N(50))
	w.register(key, func(v int64) error { return w.c.Set(ctx, key, v, time.Hour).Err() })
}

func (w *worker) register(key string, write func(int64) error) {
	l := line{What: register, Key: key, N: w.j.register(key).Tried + 1}
	w.j.note(l)
	if !w.failed(write(l.N)) {
		w.j.note(l.as(done))
	}
}

// read reads a register back: what this worker was told is the least it may see.
func (w *worker) read(ctx context.Context) {
	key := w.own("sess:", "reg", rand.Int64N(50))
	acked := w.j.register(key).Acked
	got, err := w.c.Get(ctx, key).Int64()
	if errors.Is(err, redis.Nil) {
		got, err = 0, nil
	}
	if w.failed(err) {
		return
	}
	l := line{What: read}
	if got < acked {
		l.N = 1
	}
	w.j.note(l)
}
