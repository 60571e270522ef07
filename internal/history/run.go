package history

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/transload/transload/migrate"
)

// Options say what the clients of one process do.
type Options struct {
	Clients int // goroutines; the default is 4
	Rate    int // operations a second of all of them; the default is 100
	Keys    int // of each type; the same for every process. The default is 8
}

func (o Options) withDefaults() Options {
	if o.Clients == 0 {
		o.Clients = 4
	}
	if o.Rate == 0 {
		o.Rate = 100
	}
	if o.Keys == 0 {
		o.Keys = 8
	}
	return o
}

// opWithin bounds one operation: longer than a lease and a failover take, so that
// most that are parked are answered in the end.
const opWithin = 20 * time.Second

// setFor is how long elements are added to one set, before all processes go on
// to the next: each reply of SMEMBERS is recorded whole.
const setFor = 10 * time.Second

// prefixes put the keys into several workloads, and one into none.
var prefixes = []string{"sess:", "rl:", "cache:", "other:"}

// Run has clients work until ctx is done, and lets what is under way end. It may
// be called again with the same recorder.
func Run(ctx context.Context, c redis.UniversalClient, r *Recorder, o Options) {
	o = o.withDefaults()
	var wg sync.WaitGroup
	defer wg.Wait()
	for i := range o.Clients {
		w := &worker{c: c, r: r, id: i, keys: o.Keys}
		wg.Go(func() { w.run(ctx, time.Second*time.Duration(o.Clients)/time.Duration(o.Rate)) })
	}
}

// A worker is one client: it has one operation under way at a time.
type worker struct {
	c    redis.UniversalClient
	r    *Recorder
	id   int
	keys int
}

func (w *worker) run(ctx context.Context, every time.Duration) {
	t := time.NewTicker(every)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
			op, cancel := context.WithTimeout(context.WithoutCancel(ctx), opWithin)
			w.one(op)
			cancel()
		}
	}
}

// one does an operation of a kind, on a key, that chance picks.
func (w *worker) one(ctx context.Context) {
	n := rand.IntN(w.keys)
	key := fmt.Sprintf("%s{h%d}:", prefixes[n%len(prefixes)], n)
	kinds := [][]Kind{{Get, Get, Set, Set, GetSet}, {Count, Incr, Incr}, {Members, Add, Add}}
	of := rand.IntN(len(kinds))
	key += []string{"register", "counter", fmt.Sprintf("set:%d", Now()/int64(setFor))}[of]
	kind := kinds[of][rand.IntN(len(kinds[of]))]
	w.r.do(w.id, kind, key, func(value string) (string, []string, error) { return carryOut(ctx, w.c, kind, key, value) })
}

// carryOut does one operation. That there is no value is no error.
func carryOut(ctx context.Context, c redis.UniversalClient, kind Kind, key, value string) (reply string, list []string, err error) {
	switch kind {
	case Get, Count:
		reply, err = c.Get(ctx, key).Result()
	case Set:
		err = c.Set(ctx, key, value, 0).Err()
	case GetSet:
		reply, err = c.Do(ctx, "getset", key, value).Text()
	case Incr:
		reply, err = number(c.Incr(ctx, key))
	case Add:
		reply, err = number(c.SAdd(ctx, key, value))
	case Members:
		list, err = c.SMembers(ctx, key).Result()
	default:
		err = fmt.Errorf("history: unknown kind %q", kind)
	}
	if errors.Is(err, redis.Nil) {
		err = nil
	}
	return reply, list, err
}

func number(cmd *redis.IntCmd) (string, error) {
	n, err := cmd.Result()
	return fmt.Sprint(n), err
}

// endOf tells what an error means for a command that was sent once at most.
func endOf(err error) End {
	var refused redis.Error
	var op *net.OpError
	switch {
	case err == nil:
		return Returned
	case errors.Is(err, migrate.ErrUnknownOutcome):
		return Open
	case errors.Is(err, migrate.ErrNoSide), errors.As(err, &refused), errors.As(err, &op) && op.Op == "dial":
		return Failed
	}
	return Open
}

// ReadBack reads every key of a history once more, and returns it with these
// reads. Nobody may write meanwhile.
func ReadBack(ctx context.Context, c redis.UniversalClient, ops []Op) ([]Op, error) {
	seen := map[string]bool{}
	for _, o := range ops[:len(ops):len(ops)] {
		if seen[o.Key] {
			continue
		}
		seen[o.Key] = true
		read := Op{Process: "end", Kind: o.readKind(), Key: o.Key, Call: Now(), End: Returned}
		var err error
		if read.Reply, read.List, err = carryOut(ctx, c, read.Kind, read.Key, ""); err != nil {
			return nil, fmt.Errorf("history: read back %s: %w", read.Key, err)
		}
		read.Return = Now()
		ops = append(ops, read)
	}
	return ops, nil
}

// readKind is how a key that an operation is done on is read.
func (o Op) readKind() Kind {
	switch o.Kind {
	case Incr, Count:
		return Count
	case Add, Members:
		return Members
	}
	return Get
}
