package migrate

import (
	"errors"
	"fmt"
	"reflect"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/transload/transload/internal/protocol"
)

func TestPipelineAcrossSides(t *testing.T) {
	t.Parallel()
	p := embeddedPair(t)
	c, a, b := splitPair(t, p)
	ctx := t.Context()
	pipe := c.Pipeline()
	cmds := []redis.Cmder{
		pipe.Set(ctx, a, "1", 0), pipe.Set(ctx, b, "2", 0), pipe.Incr(ctx, a), pipe.MGet(ctx, b, a),
		pipe.Get(ctx, "none"), pipe.Ping(ctx), pipe.Do(ctx, "select", 1), pipe.Append(ctx, b, "x"), pipe.Publish(ctx, "c", "m"),
		pipe.Do(ctx, "lpush", b, "wrong type"), pipe.Get(ctx, b), pipe.Exists(ctx, a, b), pipe.MSet(ctx, a, 1, b, 1),
	}
	got, err := pipe.Exec(ctx)
	if !reflect.DeepEqual(got, cmds) {
		t.Errorf("the commands came back in another order")
	}
	if !errors.Is(err, redis.Nil) {
		t.Errorf("got %v; want the first command's error that has one, Nil", err)
	}
	for i, want := range []any{"OK", "OK", int64(2), []any{"2", "2"}, redis.Nil, "PONG", ErrRefused, int64(2), int64(0), "WRONGTYPE", "2x", int64(2), ErrSplitAuthority} {
		switch want := want.(type) {
		case error:
			if !errors.Is(cmds[i].Err(), want) {
				t.Errorf("%v: got %v; want %v", cmds[i].Args(), cmds[i].Err(), want)
			}
		default:
			if want == "WRONGTYPE" {
				if !redis.HasErrorPrefix(cmds[i].Err(), "WRONGTYPE") {
					t.Errorf("%v: got %v; want WRONGTYPE", cmds[i].Args(), cmds[i].Err())
				}
			} else if got := valOf(cmds[i]); cmds[i].Err() != nil || !reflect.DeepEqual(got, want) {
				t.Errorf("%v: got %#v, %v; want %#v", cmds[i].Args(), got, cmds[i].Err(), want)
			}
		}
	}
	p.mirrored(a, "2")
	p.mirrored(b, "2x")
}

// valOf returns a command's reply, whatever its type.
func valOf(cmd redis.Cmder) any {
	return reflect.ValueOf(cmd).MethodByName("Val").Call(nil)[0].Interface()
}

// With a write in it, a pipeline's stretches run one after the other: what is
// visible of a later one implies the earlier ones.
func TestPipelineOrder(t *testing.T) {
	p := embeddedPair(t)
	c, a, b := splitPair(t, p)
	ctx := t.Context()
	stop := make(chan struct{})
	seen := make(chan error, 1)
	go func() { // the reader ends when stop is closed
		defer close(seen)
		for {
			select {
			case <-stop:
				return
			default:
			}
			job, _ := p.client[protocol.Source].Get(ctx, b).Int()
			data, _ := p.client[protocol.Target].Get(ctx, a).Int()
			if data < job {
				seen <- fmt.Errorf("job %d is visible, its data is that of %d", job, data)
				return
			}
		}
	}()
	for i := range 200 {
		if _, err := c.Pipelined(ctx, func(pipe redis.Pipeliner) error {
			pipe.Set(ctx, a, i, 0)
			pipe.Set(ctx, b, i, 0)
			return nil
		}); err != nil {
			t.Fatal(err)
		}
	}
	close(stop)
	if err := <-seen; err != nil {
		t.Error(err)
	}
}

// A pipeline that meets a hold waits for its end, and goes to where the keys are then.
func TestPipelineMeetsHold(t *testing.T) {
	p := embeddedPair(t)
	c := p.member()
	p.shadow(c)
	ctx := t.Context()
	for _, ending := range []string{"abort", "flip"} {
		mv := p.prepare(protocol.Source, everything(10))
		mv.hold()
		done := make(chan error, 1)
		low, high := keyBelow("k", 10, true, 0), keyBelow("k", 10, false, 0)
		go func() { // ends with the pipeline, which the hold's end lets go
			_, err := c.Pipelined(ctx, func(pipe redis.Pipeliner) error {
				pipe.Set(ctx, high, ending, 0)
				pipe.Set(ctx, low, ending, 0)
				pipe.Get(ctx, low)
				return nil
			})
			done <- err
		}()
		waitParked(t, c, 1)
		if ending == "abort" {
			mv.abort()
		} else {
			mv.flip()
		}
		if err := <-done; err != nil {
			t.Errorf("%s: %v", ending, err)
		}
		p.mirrored(low, ending)
		p.mirrored(high, ending)
	}
}

// waitParked waits until n operations are parked.
func waitParked(t *testing.T, c *Client, n int64) {
	t.Helper()
	for deadline := time.Now().Add(5 * time.Second); c.m.parked.Load() != n; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%d operations are parked; want %d", c.m.parked.Load(), n)
		}
	}
}

func TestTransaction(t *testing.T) {
	p := embeddedPair(t)
	c, a, b := splitPair(t, p)
	ctx := t.Context()
	var incr *redis.IntCmd
	_, err := c.TxPipelined(ctx, func(pipe redis.Pipeliner) error {
		pipe.Set(ctx, a, 1, 0)
		incr = pipe.Incr(ctx, a)
		return nil
	})
	if err != nil || incr.Val() != 2 {
		t.Errorf("got %d, %v; want 2", incr.Val(), err)
	}
	p.mirrored(a, "2")
	cmds, err := c.TxPipelined(ctx, func(pipe redis.Pipeliner) error {
		pipe.Set(ctx, a, 1, 0)
		pipe.Set(ctx, b, 1, 0)
		return nil
	})
	if !errors.Is(err, ErrSplitAuthority) || !errors.Is(cmds[0].Err(), ErrSplitAuthority) {
		t.Errorf("over two sides: got %v; want ErrSplitAuthority", err)
	}
	for name, args := range map[string][]any{"refused": {"select", 1}, "unknown": {"frobnicate"}, "flush": {"flushdb"}} {
		_, err := c.TxPipelined(ctx, func(pipe redis.Pipeliner) error {
			pipe.Set(ctx, a, name, 0)
			pipe.Do(ctx, args...)
			return nil
		})
		if !errors.Is(err, ErrRefused) && !errors.Is(err, ErrUnknownCommand) {
			t.Errorf("%s: got %v", name, err)
		}
	}
	// One command fails, the others do not: as in Redis.
	cmds, err = c.TxPipelined(ctx, func(pipe redis.Pipeliner) error {
		pipe.LPush(ctx, a, "x")
		pipe.Set(ctx, a, 3, 0)
		return nil
	})
	if !redis.HasErrorPrefix(err, "WRONGTYPE") || cmds[1].Err() != nil {
		t.Errorf("got %v, and %v for the other", err, cmds[1].Err())
	}
	p.mirrored(a, "3")
	if n := c.Census().Multi["other"]; n != 3 {
		t.Errorf("the census has %d transactions; want 3", n)
	}
}
