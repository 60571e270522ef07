package load

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/redis/go-redis/v9"
)

// stockBatch is how many keys one pipeline writes or reads.
const stockBatch = 500

// groupEvery is how many keys there are to one stream with a group. A hold compares
// all of these, as servers do not tell of changes of groups: an app has few.
const groupEvery = 5000

// stockExpiry is the time that half of the stock has left.
const stockExpiry = 24 * time.Hour

// Stock writes n keys such as an app has before its migration begins: half are
// sessions, hashes of ten fields with 500 bytes; a fifth strings; the rest lists,
// sets, sorted sets and a few streams with a group and an entry pending. Half of
// all expire in a day. told hears how far it has come.
func Stock(ctx context.Context, c redis.UniversalClient, n int, told func(done int)) error {
	return inBatches(n, told, func(from, to int) error {
		p := c.Pipeline()
		for i := from; i < to; i++ {
			it := item(i)
			it.write(ctx, p)
			if it.expires {
				p.Expire(ctx, it.key, stockExpiry)
			}
		}
		if _, err := p.Exec(ctx); err != nil {
			return fmt.Errorf("load: write stock: %w", err)
		}
		return nil
	})
}

// CheckStock returns how many of n keys are not as Stock left them, and some of
// them in words.
func CheckStock(ctx context.Context, c redis.UniversalClient, n int, told func(done int)) (wrong int64, samples []string, err error) {
	err = inBatches(n, told, func(from, to int) error {
		p := c.Pipeline()
		var checks []func() error
		for i := from; i < to; i++ {
			it := item(i)
			value, left := it.read(ctx, p), p.PTTL(ctx, it.key)
			checks = append(checks, func() error {
				if err := value(); err != nil {
					return fmt.Errorf("%s: %w", it.key, err)
				}
				if has := left.Val() > 0; has != it.expires {
					return fmt.Errorf("%s: expires: %v; want %v", it.key, has, it.expires)
				}
				return nil
			})
		}
		if _, err := p.Exec(ctx); err != nil && !errors.Is(err, redis.Nil) {
			return fmt.Errorf("load: read stock: %w", err)
		}
		for _, check := range checks {
			if err := check(); err != nil {
				if wrong++; len(samples) < 10 {
					samples = append(samples, err.Error())
				}
			}
		}
		return nil
	})
	return wrong, samples, err
}

func inBatches(n int, told func(done int), do func(from, to int) error) error {
	for from := 0; from < n; from += stockBatch {
		to := min(from+stockBatch, n)
		if err := do(from, to); err != nil {
			return err
		}
		told(to)
	}
	return nil
}

// An article is one key of the stock.
type article struct {
	key     string
	expires bool
	write   func(context.Context, redis.Pipeliner)
	read    func(context.Context, redis.Pipeliner) (check func() error)
}

// item makes the key with number i: the same each time.
func item(i int) article {
	a := article{expires: i/10%2 == 0}
	if i%groupEvery == groupEvery-1 {
		a.stream(i)
		return a
	}
	switch i % 10 {
	case 0, 1, 2, 3, 4:
		a.session(i)
	case 5, 6:
		a.text(i)
	case 7:
		a.list(i)
	case 8:
		a.set(i)
	default:
		a.zset(i)
	}
	return a
}

func (a *article) session(i int) {
	a.key = fmt.Sprintf("sess:{stock-%d}", i)
	want := map[string]string{}
	for f := range 10 {
		want[fmt.Sprint("field", f)] = fmt.Sprintf("%043d", (i+1)*(f+7919))
	}
	a.write = func(ctx context.Context, p redis.Pipeliner) { p.HSet(ctx, a.key, want) }
	a.read = func(ctx context.Context, p redis.Pipeliner) func() error {
		cmd := p.HGetAll(ctx, a.key)
		return func() error { return same(maps.Equal(cmd.Val(), want), cmd, want) }
	}
}

func (a *article) text(i int) {
	a.key = fmt.Sprintf("cache:{stock-%d}", i)
	want := fmt.Sprintf("value-%090d", i)
	a.write = func(ctx context.Context, p redis.Pipeliner) { p.Set(ctx, a.key, want, 0) }
	a.read = func(ctx context.Context, p redis.Pipeliner) func() error {
		cmd := p.Get(ctx, a.key)
		return func() error { return same(cmd.Val() == want, cmd, want) }
	}
}

func (a *article) list(i int) {
	a.key = fmt.Sprintf("log:{stock-%d}", i)
	want := goods(i)
	a.write = func(ctx context.Context, p redis.Pipeliner) { p.RPush(ctx, a.key, want) }
	a.read = func(ctx context.Context, p redis.Pipeliner) func() error {
		cmd := p.LRange(ctx, a.key, 0, -1)
		return func() error { return same(slices.Equal(cmd.Val(), want), cmd, want) }
	}
}

func (a *article) set(i int) {
	a.key = fmt.Sprintf("tags:{stock-%d}", i)
	want := goods(i)
	a.write = func(ctx context.Context, p redis.Pipeliner) { p.SAdd(ctx, a.key, want) }
	a.read = func(ctx context.Context, p redis.Pipeliner) func() error {
		cmd := p.SMembers(ctx, a.key)
		return func() error {
			got := slices.Sorted(slices.Values(cmd.Val()))
			return same(slices.Equal(got, slices.Sorted(slices.Values(want))), cmd, want)
		}
	}
}

func (a *article) zset(i int) {
	a.key = fmt.Sprintf("geo:{stock-%d}", i)
	var want []redis.Z
	for n, el := range goods(i) {
		want = append(want, redis.Z{Score: float64(n) + 0.5, Member: el})
	}
	a.write = func(ctx context.Context, p redis.Pipeliner) { p.ZAdd(ctx, a.key, want...) }
	a.read = func(ctx context.Context, p redis.Pipeliner) func() error {
		cmd := p.ZRangeWithScores(ctx, a.key, 0, -1)
		return func() error { return same(slices.Equal(cmd.Val(), want), cmd, want) }
	}
}

// stream makes a stream of three entries with a group that was given one of them.
func (a *article) stream(i int) {
	a.key = fmt.Sprintf("live:{stock-%d}:events", i)
	a.write = func(ctx context.Context, p redis.Pipeliner) {
		for n := range 3 {
			p.XAdd(ctx, &redis.XAddArgs{Stream: a.key, ID: fmt.Sprintf("%d-%d", i+1, n), Values: []any{"n", n}})
		}
		p.XGroupCreate(ctx, a.key, "g", "0")
		p.XReadGroup(ctx, &redis.XReadGroupArgs{Group: "g", Consumer: "c", Streams: []string{a.key, ">"}, Count: 1, Block: -1})
	}
	a.read = func(ctx context.Context, p redis.Pipeliner) func() error {
		entries, pending := p.XLen(ctx, a.key), p.XPending(ctx, a.key, "g")
		return func() error {
			right := entries.Val() == 3 && pending.Err() == nil && pending.Val().Count == 1
			return same(right, pending, "3 entries, 1 pending")
		}
	}
}

// goods are the elements of a collection.
func goods(i int) (out []string) {
	for n := range 8 {
		out = append(out, fmt.Sprintf("element-%d-%d", i, n))
	}
	return out
}

// same tells what is wrong, if anything.
func same(right bool, got redis.Cmder, want any) error {
	if right {
		return nil
	}
	return fmt.Errorf("got %v; want %v", got, want)
}
