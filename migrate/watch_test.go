package migrate

import (
	"errors"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/transload/transload/internal/protocol"
)

func TestWatch(t *testing.T) {
	p := embeddedPair(t)
	c, a, b := splitPair(t, p)
	ctx := t.Context()
	add := func(key string, between func()) error {
		return c.Watch(ctx, func(tx *redis.Tx) error {
			n, err := tx.Get(ctx, key).Int()
			if err != nil && !errors.Is(err, redis.Nil) {
				return err
			}
			between()
			_, err = tx.TxPipelined(ctx, func(pipe redis.Pipeliner) error { pipe.Set(ctx, key, n+1, 0); return nil })
			return err
		}, key)
	}
	for _, key := range []string{a, b} {
		if err := add(key, func() {}); err != nil {
			t.Errorf("alone: %v", err)
		}
		p.mirrored(key, "1")
		if err := add(key, func() { c.Set(ctx, key, "7", 0) }); !errors.Is(err, redis.TxFailedErr) {
			t.Errorf("with a write in between: got %v; want TxFailedErr", err)
		}
		p.mirrored(key, "7")
	}
	if err := c.Watch(ctx, func(*redis.Tx) error { return nil }, a, b); !errors.Is(err, ErrSplitAuthority) {
		t.Errorf("keys of two sides: got %v", err)
	}
	err := c.Watch(ctx, func(tx *redis.Tx) error { return tx.Get(ctx, b).Err() }, a)
	if !errors.Is(err, ErrSplitAuthority) {
		t.Errorf("a read of the other side: got %v", err)
	}
	err = c.Watch(ctx, func(tx *redis.Tx) error { return tx.Watch(ctx, b).Err() }, a)
	if !errors.Is(err, ErrSplitAuthority) {
		t.Errorf("one more key, of the other side: got %v", err)
	}
	err = c.Watch(ctx, func(tx *redis.Tx) error { return tx.Select(ctx, 1).Err() }, a)
	if !errors.Is(err, ErrRefused) {
		t.Errorf("select: got %v", err)
	}
	err = c.Watch(ctx, func(tx *redis.Tx) error { return tx.Incr(ctx, a).Err() }, a)
	p.mirrored(a, "8")
	if err != nil {
		t.Errorf("a write outside a transaction: %v", err)
	}
	if err = c.Watch(ctx, func(tx *redis.Tx) error { return tx.Watch(ctx, b).Err() }); err == nil {
		err = c.Watch(ctx, func(tx *redis.Tx) error {
			if err := tx.Watch(ctx, a).Err(); err != nil {
				return err
			}
			return tx.Unwatch(ctx).Err()
		})
	}
	// Without keys, the larger side's connection is taken: b's.
	if !errors.Is(err, ErrSplitAuthority) {
		t.Errorf("without keys: got %v", err)
	}
	err = c.Watch(ctx, func(tx *redis.Tx) error { return tx.Wait(ctx, 1, time.Millisecond).Err() }, a)
	if err != nil {
		t.Errorf("wait, which needs one connection: %v", err)
	}
	boom := errors.New("boom")
	if err := c.Watch(ctx, func(*redis.Tx) error { return boom }, a); !errors.Is(err, boom) {
		t.Errorf("the function's error: got %v", err)
	}
}

// A WATCH that is open when its keys move fails at EXEC, without a trace on
// either side.
func TestWatchAcrossMove(t *testing.T) {
	t.Parallel()
	p := embeddedPair(t)
	c := p.member()
	p.shadow(c)
	ctx := t.Context()
	for name, want := range map[string]error{"abort": nil, "flip": redis.TxFailedErr} {
		key := "k-" + name
		c.Set(ctx, key, "old", 0)
		mv := p.prepare(protocol.Source, everything(100))
		err := c.Watch(ctx, func(tx *redis.Tx) error {
			if err := tx.Get(ctx, key).Err(); err != nil {
				return err
			}
			mv.hold()
			if err := tx.Get(ctx, key).Err(); err != nil {
				return err // reads go on
			}
			if name == "abort" {
				mv.abort()
			} else {
				mv.flip()
				p.obeyed(c)
			}
			_, err := tx.TxPipelined(ctx, func(pipe redis.Pipeliner) error { pipe.Set(ctx, key, "new", 0); return nil })
			return err
		}, key)
		if !errors.Is(err, want) {
			t.Errorf("%s: got %v; want %v", name, err, want)
		}
		if name == "flip" {
			p.mirrored(key, "old")
			p.move(protocol.Target, everything(0), c)
		} else {
			p.mirrored(key, "new")
		}
	}
}

// A WATCH that is open when a migration begins has another connection pool
// afterwards, but its keys are where they were: it is a lost race.
func TestWatchAcrossShadow(t *testing.T) {
	p := embeddedPair(t)
	c := p.member()
	ctx := t.Context()
	err := c.Watch(ctx, func(tx *redis.Tx) error {
		if err := tx.Get(ctx, "k").Err(); !errors.Is(err, redis.Nil) {
			return err
		}
		p.shadow(c)
		_, err := tx.TxPipelined(ctx, func(pipe redis.Pipeliner) error { pipe.Set(ctx, "k", "new", 0); return nil })
		return err
	}, "k")
	if !errors.Is(err, redis.TxFailedErr) {
		t.Errorf("got %v; want TxFailedErr", err)
	}
}

// An EXEC that meets a hold waits; then it goes through or fails, as the move ends.
func TestExecMeetsHold(t *testing.T) {
	p := embeddedPair(t)
	c := p.member()
	p.shadow(c)
	ctx := t.Context()
	for _, tt := range []struct {
		ending string
		want   error
	}{{"abort", nil}, {"flip", redis.TxFailedErr}} {
		mv := p.prepare(protocol.Source, everything(100))
		mv.hold()
		done := make(chan error, 1)
		go func() { // ends with the transaction, which the hold's end lets go
			done <- c.Watch(ctx, func(tx *redis.Tx) error {
				_, err := tx.TxPipelined(ctx, func(pipe redis.Pipeliner) error { pipe.Set(ctx, "k", tt.ending, 0); return nil })
				return err
			}, "k")
		}()
		waitParked(t, c, 1)
		if tt.ending == "abort" {
			mv.abort()
		} else {
			mv.flip()
		}
		if err := <-done; !errors.Is(err, tt.want) {
			t.Errorf("%s: got %v; want %v", tt.ending, err, tt.want)
		}
	}
	p.mirrored("k", "abort")
}

// A transaction that failed because its keys had moved leaves no WATCH behind on
// its connection: the next user of that would fail without a reason.
func TestFailedWatchLeavesNothing(t *testing.T) {
	p := realPair(t)
	p.cfg[protocol.Source].PoolSize = 2
	c := p.member()
	p.shadow(c)
	ctx := t.Context()
	mv := p.prepare(protocol.Source, everything(100))
	err := c.Watch(ctx, func(tx *redis.Tx) error {
		mv.hold()
		mv.flip()
		p.obeyed(c)
		_, err := tx.TxPipelined(ctx, func(pipe redis.Pipeliner) error { pipe.Set(ctx, "k", 1, 0); return nil })
		return err
	}, "k")
	if !errors.Is(err, redis.TxFailedErr) {
		t.Fatalf("got %v; want TxFailedErr", err)
	}
	c.Set(ctx, "k", 2, 0)
	p.mirrored("k", "2") // the source's copy of the key has changed since it was watched
	p.move(protocol.Target, everything(0), c)
	for range 10 {
		if _, err := c.TxPipelined(ctx, func(pipe redis.Pipeliner) error { pipe.Incr(ctx, "n"); return nil }); err != nil {
			t.Errorf("the next transaction: %v", err)
		}
	}
}
