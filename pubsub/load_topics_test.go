package pubsub

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/redis/go-redis/v9"
)

// scriptCount counts how often a script is sent.
type scriptCount struct {
	script *script
	n      atomic.Int64
}

func (c *scriptCount) DialHook(next redis.DialHook) redis.DialHook { return next }

func (c *scriptCount) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return next
}

func (c *scriptCount) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		if args := cmd.Args(); len(args) > 1 && args[1] == c.script.sha {
			c.n.Add(1)
		}
		return next(ctx, cmd)
	}
}

// Topics of one partition are read together, as many as are not too much: after an
// outage all are to be read at once. What each keeps, and how it is spread, is its own.
func TestLoadedTogether(t *testing.T) {
	t.Parallel()
	_, s := mini(t)
	one := func(o *Options) { o.Partitions = 1 }
	first := hubOn(t, miniClient(t, s), policies(), one)
	const topics, large = 150, 8
	want := map[string][]string{}
	for i := range topics {
		name := fmt.Sprint("pos:", i)
		publish(t, first, name, "truck", i)
		want[name] = []string{"snapshot", fmt.Sprint("truck=", i)}
		publish(t, first, fmt.Sprint("chat:", i), "", i)
		want[fmt.Sprint("chat:", i)] = nil
	}
	text := strings.Repeat("x", 10_000)
	for i := range large { // some 100 KB each, so that not all are read at once
		name := fmt.Sprint("pos:large-", i)
		want[name] = []string{"snapshot"}
		for k := range 10 {
			publish(t, first, name, fmt.Sprint(k), text)
			want[name] = append(want[name], fmt.Sprintf("%d=%q", k, text))
		}
	}
	for k := range 100 { // over several pages, which who comes does not know
		publish(t, first, "pos:wide", fmt.Sprint(k), k)
	}
	c := miniClient(t, s)
	count := &scriptCount{script: loadScript}
	c.AddHook(count)
	o := patient()
	one(&o)
	h, err := New(c, policies(), o)
	must(t, err)
	subs := make(map[string]*reader)
	var mu sync.Mutex
	var wg sync.WaitGroup
	for name := range want {
		wg.Go(func() {
			sub := subscribe(t, h, name, "")
			mu.Lock()
			defer mu.Unlock()
			subs[name] = sub
		})
	}
	var wide *reader
	wg.Go(func() { wide = subscribe(t, h, "pos:wide", "") })
	eventually(t, func() error {
		if n := len(h.parts[0].all()); n < len(want)+1 {
			return fmt.Errorf("%d follow; want %d", n, len(want)+1)
		}
		return nil
	})
	run(t, h) // so that all are loaded at once
	wg.Wait()
	if n, most := count.n.Load(), int64((len(want)+1)/loadMost+large+4); n > most {
		t.Errorf("%d topics were read by %d scripts; want at most %d", len(want)+1, n, most)
	}
	for name, sub := range subs {
		sub.wants(want[name]...)
	}
	if got := wide.snapshot(100); got["99"] != "99" {
		t.Errorf("got %v", got)
	}
	publish(t, first, "chat:7", "", "new")
	subs["chat:7"].wants(`="new"`)
}
