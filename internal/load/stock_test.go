package load_test

import (
	"testing"

	"github.com/transload/transload/internal/load"
	"github.com/transload/transload/internal/redistest"
)

// TestStock takes one key of each kind away, or changes it: a check that could
// not fail would make every migration look good.
func TestStock(t *testing.T) {
	t.Parallel()
	const n = 10_000
	c := redistest.Client(t, redistest.Standalone(t, redistest.Options{}))
	ctx := t.Context()
	last := 0
	told := func(done int) { last = done }
	if err := load.Stock(ctx, c, n, told); err != nil || last != n {
		t.Fatalf("got %v after %d keys; want %d", err, last, n)
	}
	if size := c.DBSize(ctx).Val(); size != n {
		t.Fatalf("got %d keys; want %d", size, n)
	}
	wrong := func(want int64) {
		t.Helper()
		got, samples, err := load.CheckStock(ctx, c, n, told)
		if err != nil || got != want {
			t.Fatalf("got %d wrong, %v, %v; want %d", got, samples, err, want)
		}
	}
	wrong(0)
	for i, spoil := range []func() error{
		func() error { return c.HDel(ctx, "sess:{stock-0}", "field3").Err() },
		func() error { return c.Append(ctx, "cache:{stock-5}", "x").Err() },
		func() error { return c.LPop(ctx, "log:{stock-7}").Err() },
		func() error { return c.SAdd(ctx, "tags:{stock-8}", "x").Err() },
		func() error { return c.ZIncrBy(ctx, "geo:{stock-9}", 1, "element-9-0").Err() },
		func() error { return c.XAck(ctx, "live:{stock-4999}:events", "g", "5000-0").Err() },
		func() error { return c.Persist(ctx, "sess:{stock-1}").Err() },
		func() error { return c.Del(ctx, "sess:{stock-2}").Err() },
	} {
		if err := spoil(); err != nil {
			t.Fatal(err)
		}
		wrong(int64(i + 1))
	}
}
