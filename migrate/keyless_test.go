package migrate

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/transload/transload/internal/control"
	"github.com/transload/transload/internal/protocol"
	"github.com/transload/transload/internal/redistest"
)

func TestKeysHidesTheMigration(t *testing.T) {
	p := embeddedPair(t)
	c, a, b := splitPair(t, p)
	ctx := t.Context()
	c.Set(ctx, a, 1, 0)
	c.Set(ctx, b, 1, 0)
	p.mirrored(a, "1")
	p.mirrored(b, "1")
	want := []string{a, b}
	slices.Sort(want)
	got, err := c.Keys(ctx, "*").Result()
	slices.Sort(got)
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("keys: got %v, %v; want %v", got, err, want)
	}
	raw, err := c.Do(ctx, "keys", "*").StringSlice()
	slices.Sort(raw)
	if err != nil || !slices.Equal(raw, want) {
		t.Errorf("keys by Do: got %v, %v; want %v", raw, err, want)
	}
	page, cur, err := c.Scan(ctx, 0, "*", 100).Result()
	slices.Sort(page)
	if err != nil || cur != 0 || !slices.Equal(page, want) {
		t.Errorf("scan: got %v, %d, %v; want %v", page, cur, err, want)
	}
	list, err := c.Do(ctx, "scan", 0).Slice()
	if err != nil || list[0] != "0" || len(list[1].([]any)) != 2 {
		t.Errorf("scan by Do: got %v, %v", list, err)
	}
}

// An iteration that is under way while its side flips finds every key.
func TestScanAcrossMove(t *testing.T) {
	p := realPair(t)
	c := p.member()
	p.shadow(c)
	ctx := t.Context()
	const n = 2000
	_, err := c.Pipelined(ctx, func(pipe redis.Pipeliner) error {
		for i := range n {
			pipe.Set(ctx, fmt.Sprint("k", i), i, 0)
			pipe.SAdd(ctx, "set", i)
			pipe.HSet(ctx, "hash", i, i)
			pipe.ZAdd(ctx, "zset", redis.Z{Score: float64(i), Member: i})
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	from := protocol.Source
	for name, tt := range map[string]struct {
		scan func(cur uint64) *redis.ScanCmd
		per  int // replies for each element
		want int
	}{
		"scan":  {func(cur uint64) *redis.ScanCmd { return c.Scan(ctx, cur, "", 100) }, 1, n + 3},
		"sscan": {func(cur uint64) *redis.ScanCmd { return c.SScan(ctx, "set", cur, "", 100) }, 1, n},
		"hscan": {func(cur uint64) *redis.ScanCmd { return c.HScan(ctx, "hash", cur, "", 100) }, 2, n},
		"zscan": {func(cur uint64) *redis.ScanCmd { return c.ZScan(ctx, "zset", cur, "", 100) }, 2, n},
	} {
		seen := map[string]bool{}
		for cur, pages := uint64(0), 0; ; pages++ {
			page, next, err := tt.scan(cur).Result()
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			for i := 0; i < len(page); i += tt.per {
				seen[page[i]] = true
			}
			if pages == 5 {
				percent := 100
				if from == protocol.Target {
					percent = 0
				}
				p.move(from, everything(percent), c)
				from = from.Other()
			}
			if cur = next; cur == 0 {
				break
			}
		}
		if len(seen) != tt.want {
			t.Errorf("%s: got %d different; want %d", name, len(seen), tt.want)
		}
	}
}

func TestFlushNamesThePhase(t *testing.T) {
	p := embeddedPair(t)
	c := p.member()
	p.shadow(c)
	err := c.FlushDB(t.Context()).Err()
	if !errors.Is(err, ErrRefused) || !strings.Contains(err.Error(), "phase shadow") {
		t.Errorf("got %v; want a refusal that names the phase", err)
	}
	if r := p.record(protocol.Source); r.Empty() {
		t.Error("the record is gone")
	}
}

// PUBLISH reaches a subscriber on either side; a plain one of the client's moves
// at the end, and is never closed.
func TestSubscribe(t *testing.T) {
	t.Parallel()
	p := realPair(t)
	c := p.member()
	ctx := t.Context()
	sub := c.Subscribe(ctx, "ch")
	pattern := c.PSubscribe(ctx, "c*")
	for _, ps := range []*redis.PubSub{sub, pattern} {
		defer ps.Close()
		if _, err := ps.Receive(ctx); err != nil {
			t.Fatal(err)
		}
	}
	messages, patterns := sub.Channel(), pattern.Channel()
	foreign := p.client[protocol.Target].Subscribe(ctx, "ch")
	defer foreign.Close()
	if _, err := foreign.Receive(ctx); err != nil {
		t.Fatal(err)
	}
	others := foreign.Channel()
	expect := func(where string, ch <-chan *redis.Message, want string) {
		t.Helper()
		for {
			select {
			case m := <-ch:
				if m == nil {
					t.Fatalf("%s: the channel was closed", where)
				}
				if m.Payload == want {
					return
				}
			case <-time.After(5 * time.Second):
				t.Fatalf("%s: %q did not come", where, want)
			}
		}
	}
	say := func(text string) {
		t.Helper()
		if err := c.Publish(ctx, "ch", text).Err(); err != nil {
			t.Fatal(err)
		}
	}
	say("off")
	expect("off", messages, "off")
	p.shadow(c)
	for i, step := range []map[string]int{nil, everything(10), everything(100)} {
		if step != nil {
			p.move(protocol.Source, step, c)
		}
		text := fmt.Sprint("step ", i)
		say(text)
		expect(text, messages, text)
		expect(text, patterns, text)
		expect(text+" on the target", others, text)
		if n, err := c.Publish(ctx, "ch", "count").Result(); err != nil || n != 2 {
			t.Errorf("%s: %d received it, %v; want 2, those of the source", text, n, err)
		}
	}
	if _, err := c.TxPipelined(ctx, func(pipe redis.Pipeliner) error {
		pipe.Set(ctx, "k", "v", 0)
		pipe.Publish(ctx, "ch", "in a transaction")
		return nil
	}); err != nil {
		t.Error(err)
	}
	expect("soak", messages, "in a transaction")
	p.finish(c)
	redistest.Eventually(t, 10*time.Second, func() error { // both were cut, and come again
		if n, err := p.client[protocol.Target].PubSubNumSub(ctx, "ch").Result(); err != nil || n["ch"] != 2 {
			return fmt.Errorf("the target has %v, %v; want 2", n, err)
		}
		n, err := p.client[protocol.Target].PubSubNumPat(ctx).Result()
		if err != nil || n != 1 {
			return fmt.Errorf("the target has %d patterns, %v; want 1", n, err)
		}
		return nil
	})
	say("done")
	expect("done", messages, "done")
	expect("done", patterns, "done")
}

// A subscription does not need the source while publications reach the target too.
func TestSubscribeWithoutSource(t *testing.T) {
	a := redistest.Standalone(t, redistest.Options{})
	b := redistest.Standalone(t, redistest.Options{Password: "two", Username: "app"})
	p := newPair(t, envConfig(t, a.Env("REDIS")), envConfig(t, b.Env("REDIS")))
	c := p.member()
	p.shadow(c)
	p.move(protocol.Source, everything(100), c)
	if err := a.Kill(); err != nil {
		t.Fatal(err)
	}
	sub := c.Subscribe(t.Context(), "ch")
	defer sub.Close()
	if _, err := sub.Receive(within(t, 10*time.Second)); err != nil {
		t.Fatal(err)
	}
}

func TestCensus(t *testing.T) {
	t.Parallel()
	p := embeddedPair(t)
	c := p.member()
	ctx := t.Context()
	c.MSet(ctx, "low:{a}1", 1, "low:{a}2", 1) // one slot: no matter
	c.MSet(ctx, "low:1", 1, "low:2", 1)
	c.MGet(ctx, "low:1", "high:2")
	c.BLPop(ctx, time.Millisecond, "low:q")
	c.Eval(ctx, "return 1", []string{"high:k"})
	c.Eval(ctx, "return 1", nil)
	c.Do(ctx, "frobnicate")
	c.Do(ctx, "select", 1)
	c.Get(ctx, "low:1")
	_ = c.Watch(ctx, func(*redis.Tx) error { return nil }, "low:1")
	_, _ = c.TxPipelined(ctx, func(pipe redis.Pipeliner) error { pipe.Incr(ctx, "x"); pipe.Incr(ctx, "y"); return nil })
	_ = pipelined(ctx, c, "get", "low:1")
	got := c.Census()
	for name, pair := range map[string][2]int64{
		"get":               {got.Commands["get"], 2},
		"mset":              {got.Commands["mset"], 2},
		"incr":              {got.Commands["incr"], 2},
		"cross slot mset":   {got.CrossSlot["low"]["mset"], 1},
		"whole mset":        {got.Whole["low"]["mset"], 1},
		"cross slot mget":   {got.CrossSlot["high+low"]["mget"], 1},
		"whole mget":        {got.Whole["high+low"]["mget"], 0},
		"cross slot multi":  {got.Whole["other"]["multi"], 1},
		"blocking":          {got.Blocking["low"]["blpop"], 1},
		"scripts":           {got.Scripts["high"], 1},
		"any key":           {got.AnyKey, 1},
		"watches":           {got.Watches["low"], 1},
		"multi":             {got.Multi["other"], 1},
		"pipelines":         {got.Pipelines, 1},
		"refused by name":   {got.Refused["select"], 1},
		"refused, unknown":  {got.Refused["frobnicate"], 1},
		"cross slot watch":  {got.Whole["low"]["watch"], 0},
		"workloads refused": {int64(len(got.Refused)), 2},
	} {
		if pair[0] != pair[1] {
			t.Errorf("%s: got %d; want %d", name, pair[0], pair[1])
		}
	}
	c.tellCensusOnce(ctx)
	lines, err := control.New(p.client[protocol.Source], "test", protocol.Source).Census(ctx)
	if err != nil || !strings.Contains(lines[c.m.id], `"frobnicate":1`) {
		t.Errorf("on the source: got %v, %v", lines, err)
	}
	for i := range 10 * censusNames {
		c.Do(ctx, fmt.Sprint("made-up-", i))
	}
	if n := len(c.Census().Refused); n > censusNames+2 {
		t.Errorf("the census names %d; want no more than %d", n, censusNames)
	}
}
