package migrate

import (
	"errors"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/transload/transload/internal/protocol"
)

// TestOwnKeysAreRefused tries every way in which an app could write a control
// record, in phases with and without leases. To read one is allowed.
func TestOwnKeysAreRefused(t *testing.T) {
	p := embeddedPair(t)
	c := p.member()
	ctx := t.Context()
	key := c.m.sides[protocol.Source].store.Keys().Control
	tries := map[string]func() error{
		"set":       func() error { return c.Set(ctx, key, "v", 0).Err() },
		"del":       func() error { return c.Del(ctx, "k", key).Err() },
		"copy":      func() error { return c.Copy(ctx, "k", key, 0, true).Err() },
		"expire":    func() error { return c.Expire(ctx, key, time.Second).Err() },
		"script":    func() error { return c.Eval(ctx, "return redis.call('del', KEYS[1])", []string{key}).Err() },
		"blocking":  func() error { return c.BLPop(ctx, time.Second, "k", key).Err() },
		"other":     func() error { return c.Set(ctx, "transload:{another}:lock", "v", 0).Err() },
		"pipeline":  func() error { return pipelined(ctx, c, "set", key, "v") },
		"in a tx":   func() error { pipe := c.TxPipeline(); pipe.Del(ctx, key); _, err := pipe.Exec(ctx); return err },
		"any bytes": func() error { return c.Do(ctx, "set", []byte(key), "v").Err() },
		"watch": func() error {
			return c.Watch(ctx, func(tx *redis.Tx) error { return tx.Del(ctx, key).Err() }, "k")
		},
		"tx in a watch": func() error {
			return c.Watch(ctx, func(tx *redis.Tx) error {
				_, err := tx.TxPipelined(ctx, func(pipe redis.Pipeliner) error { return pipe.Del(ctx, key).Err() })
				return err
			}, "k")
		},
	}
	try := func(phase string, s protocol.Side) {
		t.Helper()
		before := p.get(s, key)
		for name, f := range tries {
			if err := f(); !errors.Is(err, ErrRefused) {
				t.Errorf("%s, in phase %s: got %v; want ErrRefused", name, phase, err)
			}
		}
		if got := p.get(s, key); got != before {
			t.Errorf("in phase %s: the record was %q, and is %q", phase, before, got)
		}
		if got, err := c.Get(ctx, key).Result(); got != before || err != nil && !errors.Is(err, redis.Nil) {
			t.Errorf("read in phase %s: got %q, %v; want %q", phase, got, err, before)
		}
	}
	try("off", protocol.Source)
	p.shadow(c)
	try("shadow", protocol.Source)
	p.move(protocol.Source, everything(100), c)
	p.finish(c)
	try("done", protocol.Target)
}
