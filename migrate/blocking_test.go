package migrate

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/transload/transload/internal/protocol"
	"github.com/transload/transload/internal/redistest"
)

// onSide waits until n clients are blocked on one side.
func (p *pair) blockedOn(s protocol.Side, n int) {
	p.t.Helper()
	redistest.Eventually(p.t, 5*time.Second, func() error {
		info, err := p.client[s].InfoMap(p.t.Context(), "clients").Result()
		if err != nil {
			return err
		}
		if got := info["Clients"]["blocked_clients"]; got != fmt.Sprint(n) {
			return fmt.Errorf("%s clients are blocked on the %v; want %d", got, s, n)
		}
		return nil
	})
}

func TestBlockingTimeouts(t *testing.T) {
	t.Parallel()
	p := realPair(t)
	c := p.member()
	ctx := t.Context()
	check := func(phase string) {
		for name, run := range map[string]func(d time.Duration) error{
			"blpop":      func(d time.Duration) error { return c.BLPop(ctx, d, "none").Err() },
			"brpoplpush": func(d time.Duration) error { return c.BRPopLPush(ctx, "none", "dst", d).Err() },
			"xread": func(d time.Duration) error {
				return c.XRead(ctx, &redis.XReadArgs{Streams: []string{"none", "$"}, Block: d}).Err()
			},
			"bzpopmin": func(d time.Duration) error { return c.BZPopMin(ctx, d, "none").Err() },
		} {
			began := time.Now()
			err := run(1200 * time.Millisecond)
			took := time.Since(began)
			// go-redis rounds what is in seconds up or down; a slice is a second.
			if !errors.Is(err, redis.Nil) || took < time.Second || took > 3*time.Second {
				t.Errorf("%s: %s: got %v after %v; want Nil after 1.2 s", phase, name, err, took)
			}
		}
	}
	check("off")
	p.shadow(c)
	check("shadow")
}

func TestBlockingContext(t *testing.T) {
	t.Parallel()
	p := realPair(t)
	c := p.member()
	p.shadow(c)
	t.Run("cancelled", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- c.BLPop(ctx, 0, "q").Err() }() // ends by cancel
		p.blockedOn(protocol.Source, 1)
		began := time.Now()
		cancel()
		if err := <-done; !errors.Is(err, context.Canceled) || time.Since(began) > 500*time.Millisecond {
			t.Errorf("got %v after %v; want Canceled at once", err, time.Since(began))
		}
	})
	t.Run("deadline", func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
		defer cancel()
		if err := c.BLPop(ctx, 0, "q").Err(); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v; want the deadline", err)
		}
	})
	t.Run("closed", func(t *testing.T) {
		other := p.member()
		p.obeyed(other)
		done := make(chan error, 1)
		go func() { done <- other.BLPop(t.Context(), 0, "q").Err() }() // ends by Close
		p.blockedOn(protocol.Source, 1)
		if err := other.Close(); err != nil {
			t.Error(err)
		}
		if err := <-done; !errors.Is(err, ErrClosed) && !errors.Is(err, ErrUnknownOutcome) {
			t.Errorf("got %v; want ErrClosed", err)
		}
	})
	if n, err := p.client[protocol.Source].LLen(t.Context(), "q").Result(); n != 0 || err != nil {
		t.Errorf("got %d, %v", n, err)
	}
}

// A server that hangs gives no reply, and the caller's deadline holds all the same.
func TestBlockingOnAHungServer(t *testing.T) {
	t.Parallel()
	src := redistest.Standalone(t, redistest.Options{})
	p := newPair(t, envConfig(t, src.Env("REDIS")), envConfig(t, redistest.Standalone(t, redistest.Options{}).Env("REDIS")))
	c := p.member()
	check := func(phase string) {
		const wait = 2 * time.Second
		ctx, cancel := context.WithTimeout(t.Context(), wait)
		defer cancel()
		began, done := time.Now(), make(chan error, 1)
		go func() { done <- c.BLPop(ctx, 0, "q").Err() }() // ends by its deadline
		p.blockedOn(protocol.Source, 1)
		if err := src.Freeze(); err != nil {
			t.Fatal(err)
		}
		err := <-done
		if over := time.Since(began) - wait; over > 5*time.Second || !late(err) {
			t.Errorf("%s: got %v, %v after the deadline; want an end within a second", phase, err, over)
		}
		if err := src.Thaw(); err != nil {
			t.Fatal(err)
		}
	}
	check("off")
	p.shadow(c)
	check("shadow")
}

// late reports whether a call ended for want of an answer in time.
func late(err error) bool {
	return errors.Is(err, context.DeadlineExceeded) || errors.Is(err, os.ErrDeadlineExceeded) || errors.Is(err, ErrUnknownOutcome)
}

// A stream's $ means when the call was made, not when its latest slice began.
func TestXReadLatest(t *testing.T) {
	t.Parallel()
	p := realPair(t)
	c := p.member()
	p.shadow(c)
	ctx := t.Context()
	c.XAdd(ctx, &redis.XAddArgs{Stream: "s", Values: []any{"n", 1}})
	k, keys, args := lookup(t, "xread", "block", 0, "streams", "s", "new", "$", "$")
	args, err := c.pinLatest(ctx, args, c.m.plan.units(nil, keys))
	if err != nil {
		t.Fatal(err)
	}
	last, _ := p.client[protocol.Source].XRevRangeN(ctx, "s", "+", "-", 1).Result()
	if args[6] != last[0].ID || args[7] != "0-0" || k.Name != "xread" {
		t.Errorf("got %v; want the ids %s and 0-0", args, last[0].ID)
	}
	done := make(chan []redis.XStream, 1)
	go func() { // ends with the entry that is added
		got, _ := c.XRead(ctx, &redis.XReadArgs{Streams: []string{"s", "$"}, Block: 0}).Result()
		done <- got
	}()
	p.blockedOn(protocol.Source, 1)
	c.XAdd(ctx, &redis.XAddArgs{Stream: "s", Values: []any{"n", 2}})
	if got := <-done; len(got) != 1 || got[0].Messages[0].Values["n"] != "2" {
		t.Errorf("got %v; want the second entry", got)
	}
}

// Idle blocking commands must not hold a move up, and go on where their keys are
// then.
func TestBlockingAcrossMove(t *testing.T) {
	t.Parallel()
	p := realPair(t)
	c := p.member()
	p.shadow(c)
	ctx := t.Context()
	const n = 20
	got := make(chan string, n)
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() {
			v, err := c.BLPop(ctx, 0, fmt.Sprint("q", i)).Result()
			if err != nil {
				t.Errorf("blpop: %v", err)
				got <- ""
				return
			}
			got <- v[1]
		})
	}
	p.blockedOn(protocol.Source, n)
	began := time.Now()
	p.move(protocol.Source, everything(100), c)
	took := time.Since(began)
	p.blockedOn(protocol.Target, n)
	p.blockedOn(protocol.Source, 0)
	if took > 2*time.Second {
		t.Errorf("the move took %v with %d idle pops", took, n)
	}
	for i := range n {
		c.RPush(ctx, fmt.Sprint("q", i), i)
	}
	wg.Wait()
	seen := map[string]bool{}
	for range n {
		seen[<-got] = true
	}
	if len(seen) != n || seen[""] {
		t.Errorf("got %d different elements; want %d", len(seen), n)
	}
}

// While a move ends blocking commands over and over, each element is popped once.
func TestNoElementLost(t *testing.T) {
	t.Parallel()
	p := realPair(t)
	c := p.member()
	p.shadow(c)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	const pushed = 3000
	var mu sync.Mutex
	popped := map[string]int{}
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for ctx.Err() == nil {
				v, err := c.BLPop(ctx, 200*time.Millisecond, "q").Result()
				switch {
				case err == nil:
					mu.Lock()
					popped[v[1]]++
					mu.Unlock()
				case ctx.Err() == nil && !errors.Is(err, redis.Nil):
					t.Errorf("blpop: %v", err)
				}
			}
		})
	}
	wg.Go(func() {
		for i := range pushed {
			if err := c.RPush(ctx, "q", i).Err(); err != nil {
				t.Errorf("rpush: %v", err)
			}
		}
	})
	for i, from := range []protocol.Side{protocol.Source, protocol.Target, protocol.Source} {
		p.move(from, everything(100*((i+1)%2)), c)
	}
	redistest.Eventually(t, 20*time.Second, func() error {
		mu.Lock()
		defer mu.Unlock()
		if len(popped) != pushed {
			return fmt.Errorf("%d of %d elements were popped", len(popped), pushed)
		}
		return nil
	})
	cancel()
	wg.Wait()
	for v, n := range popped {
		if n != 1 {
			t.Errorf("element %s was popped %d times", v, n)
		}
	}
}

// A consumer group's reader goes on across a move, its pending entries with it.
func TestGroupAcrossMove(t *testing.T) {
	t.Parallel()
	p := realPair(t)
	c := p.member()
	p.shadow(c)
	ctx := t.Context()
	if err := c.XGroupCreateMkStream(ctx, "s", "g", "0").Err(); err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { // ends with the entry that is added
		got, err := c.XReadGroup(ctx, &redis.XReadGroupArgs{Group: "g", Consumer: "c", Streams: []string{"s", ">"}, Block: 0}).Result()
		if err == nil {
			err = c.XAck(ctx, "s", "g", got[0].Messages[0].ID).Err()
		}
		done <- err
	}()
	p.blockedOn(protocol.Source, 1)
	p.move(protocol.Source, everything(100), c)
	p.blockedOn(protocol.Target, 1)
	c.XAdd(ctx, &redis.XAddArgs{Stream: "s", Values: []any{"n", 1}})
	if err := <-done; err != nil {
		t.Error(err)
	}
	if n, err := p.client[protocol.Target].XPending(ctx, "s", "g").Result(); err != nil || n.Count != 0 {
		t.Errorf("pending: got %v, %v; want none", n, err)
	}
}

// Where connections have no ids, slices end by themselves.
func TestBlockingEmbedded(t *testing.T) {
	t.Parallel()
	p := embeddedPair(t)
	c := p.member()
	p.shadow(c)
	ctx := t.Context()
	done := make(chan string, 1)
	go func() { // ends with the element that is pushed
		v, _ := c.BLPop(ctx, 0, "q").Result()
		done <- fmt.Sprint(v)
	}()
	redistest.Eventually(t, 5*time.Second, func() error {
		if n := c.m.view.Load().writes.sum(); n != 1 {
			return fmt.Errorf("%d writes are under way; want 1", n)
		}
		return nil
	})
	p.move(protocol.Source, everything(100), c)
	c.RPush(ctx, "q", "x")
	if got := <-done; got != "[q x]" {
		t.Errorf("got %s; want [q x]", got)
	}
}
