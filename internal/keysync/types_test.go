package keysync

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
)

// A sample makes a key, and changes it in one way.
type sample struct {
	make, change func(t *testing.T, c redis.UniversalClient, key string)
	diff         Diff // what Compare says of the change; the default is ValueDiffers
	real         bool // miniredis has no way to read its value
}

func run(lines ...string) func(t *testing.T, c redis.UniversalClient, key string) {
	return func(t *testing.T, c redis.UniversalClient, key string) {
		t.Helper()
		for _, line := range lines {
			var args []any
			for _, word := range strings.Fields(line) {
				args = append(args, strings.ReplaceAll(word, "KEY", key))
			}
			do(t, c, args...)
		}
	}
}

func set(value string) func(t *testing.T, c redis.UniversalClient, key string) {
	return func(t *testing.T, c redis.UniversalClient, key string) {
		t.Helper()
		do(t, c, "SET", key, value)
	}
}

func many(verb string, n int, rest string) func(t *testing.T, c redis.UniversalClient, key string) {
	return func(t *testing.T, c redis.UniversalClient, key string) {
		t.Helper()
		pipe := c.Pipeline()
		for i := range n {
			args := []any{verb, key}
			for _, word := range strings.Fields(rest) {
				args = append(args, strings.ReplaceAll(word, "#", fmt.Sprint(i+1)))
			}
			pipe.Do(t.Context(), args...)
		}
		if _, err := pipe.Exec(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
}

var samples = map[string]sample{
	"string":        {make: run("SET KEY value"), change: run("APPEND KEY more")},
	"binary":        {make: set("\x00\xff\r\n\xc3"), change: set("\x00\xff")},
	"empty string":  {make: set(""), change: run("SET KEY x")},
	"number":        {make: run("SET KEY 41"), change: run("INCR KEY")},
	"loglog":        {make: many("PFADD", 50, "e#"), change: run("PFADD KEY new1 new2 new3 new4"), real: true},
	"short hash":    {make: run("HSET KEY f 1 g 2"), change: run("HSET KEY g 3")},
	"long hash":     {make: many("HSET", 600, "field# v#"), change: run("HDEL KEY field7")},
	"int set":       {make: run("SADD KEY 1 2 3"), change: run("SREM KEY 2")},
	"long set":      {make: many("SADD", 700, "member#"), change: run("SADD KEY x")},
	"short zset":    {make: run("ZADD KEY 1.5 a -inf b +inf c 0.1 d"), change: run("ZADD KEY 1.25 a")},
	"long zset":     {make: many("ZADD", 300, "0.# m#"), change: run("ZREM KEY m4")},
	"short list":    {make: run("RPUSH KEY a b c"), change: run("LSET KEY 1 d")},
	"long list":     {make: many("LPUSH", 1500, "element#"), change: run("RPOP KEY")},
	"stream":        {make: many("XADD", 20, "#-1 f v#"), change: run("XADD KEY 21-2 f w")},
	"stream, tail":  {make: run("XADD KEY 1-1 a 1", "XADD KEY 2-1 a 1", "XDEL KEY 2-1"), change: run("XADD KEY 9-0 a 1", "XDEL KEY 9-0")},
	"other type":    {make: run("SET KEY value"), change: run("DEL KEY", "RPUSH KEY value"), diff: TypeDiffers},
	"gone":          {make: run("SET KEY value"), change: run("DEL KEY"), diff: Extra},
	"expiry":        {make: run("SET KEY value PX 500000"), change: run("PEXPIRE KEY 400000"), diff: ExpiryDiffers},
	"no expiry now": {make: run("SET KEY value PX 500000"), change: run("PERSIST KEY"), diff: ExpiryDiffers},
	"empty stream":  {make: run("XGROUP CREATE KEY g 0 MKSTREAM", "XGROUP DESTROY KEY g"), change: run("XADD KEY 1-1 a 1")},
	"trimmed stream": {
		make:   run("XADD KEY 1-1 a 1", "XADD KEY 2-1 a 1", "XADD KEY 3-1 a 1", "XTRIM KEY MAXLEN 0"),
		change: run("XADD KEY 4-1 a 1"),
	},
	"group": {
		make: run("XADD KEY 1-1 a 1", "XADD KEY 2-1 a 1 b 2", "XADD KEY 3-1 a 1", "XADD KEY 4-1 a 1",
			"XGROUP CREATE KEY g 0", "XGROUP CREATE KEY h 2-1", "XREADGROUP GROUP g c1 COUNT 2 STREAMS KEY >",
			"XREADGROUP GROUP g c2 COUNT 1 STREAMS KEY >", "XGROUP CREATECONSUMER KEY g idle"),
		change: run("XACK KEY g 1-1"),
	},
	"group, pending entry deleted": {
		make: run("XADD KEY 1-1 a 1", "XADD KEY 2-1 a 1", "XADD KEY 3-1 a 1",
			"XGROUP CREATE KEY g 0", "XREADGROUP GROUP g c1 COUNT 2 STREAMS KEY >", "XDEL KEY 2-1"),
		change: run("XREADGROUP GROUP g c1 COUNT 1 STREAMS KEY >"),
	},
	"group, pending entries trimmed": {
		make: run("XADD KEY 1-1 a 1", "XADD KEY 2-1 a 1", "XADD KEY 3-1 a 1",
			"XGROUP CREATE KEY g 0", "XREADGROUP GROUP g c1 COUNT 3 STREAMS KEY >", "XTRIM KEY MAXLEN 1"),
		change: run("XGROUP DESTROY KEY g"),
	},
	"group, delivered again": {
		make: run("XADD KEY 1-1 a 1", "XGROUP CREATE KEY g 0", "XREADGROUP GROUP g c1 COUNT 3 STREAMS KEY >",
			"XCLAIM KEY g c2 0 1-1 TIME 1700000000123 RETRYCOUNT 7"),
		change: run("XCLAIM KEY g c2 0 1-1 TIME 1700000000123 RETRYCOUNT 8"),
	},
	"group, consumer only": {
		make:   run("XADD KEY 1-1 a 1", "XGROUP CREATE KEY g 0"),
		change: run("XGROUP CREATECONSUMER KEY g new"),
	},
	"bits": {make: run("SETBIT KEY 100 1", "SETBIT KEY 3 1"), change: run("SETBIT KEY 101 1")},
	"geo":  {make: run("GEOADD KEY 13.361389 38.115556 Palermo 15.087269 37.502669 Catania"), change: run("ZREM KEY Palermo")},
}

// TestTypes makes a key of each kind, copies it, changes it and copies it
// again, between servers of each kind.
func TestTypes(t *testing.T) {
	t.Parallel()
	for name, newBench := range benches {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			for what, s := range samples {
				if s.real && (b.fakeA || b.fakeB) {
					continue
				}
				t.Run(what, func(t *testing.T) { b.through(t, "key:"+what, s, b.options()) })
				pieces := b.options()
				pieces.Large = 1
				t.Run(what+", in pieces", func(t *testing.T) { b.through(t, "pieces:"+what, s, pieces) })
			}
		})
	}
}

func (b *bench) options() Options {
	if b.fakeA || b.fakeB {
		return Options{Tolerance: 20 * time.Millisecond} // miniredis counts down what is left
	}
	if b.old {
		return Options{Tolerance: 2 * time.Millisecond} // it adds TIME to what is left
	}
	return Options{}
}

// compare compares one key.
func (b *bench) compare(t *testing.T, key string, opts Options) Diff {
	t.Helper()
	results, err := Compare(t.Context(), b.a, b.b, []string{key}, opts)
	if err != nil {
		t.Fatalf("compare: %v", err)
	}
	return results[0].Diff
}

func (b *bench) through(t *testing.T, key string, s sample, opts Options) {
	key = strings.ReplaceAll(key, " ", "-")
	steps := func(first Diff) {
		t.Helper()
		if got := b.compare(t, key, opts); got != first {
			t.Fatalf("before: got %v; want %v", got, first)
		}
		results, err := Copy(t.Context(), b.a, b.b, []string{key}, opts)
		if err != nil {
			t.Fatalf("copy: %v", err)
		}
		if got := b.compare(t, key, b.options()); got != Equal {
			t.Fatalf("after %v: got %v; want equal", results[0].Action, got)
		}
	}
	s.make(t, b.ca, key)
	steps(Missing)
	s.change(t, b.ca, key)
	if s.diff == Unknown {
		s.diff = ValueDiffers
	}
	steps(s.diff)
	results, err := Sync(t.Context(), b.a, b.b, []string{key}, opts)
	if err != nil || results[0].Diff != Equal || results[0].Action != None {
		t.Fatalf("sync of equal keys: got %+v, %v", results[0], err)
	}
}
