package keysync

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/transload/transload/internal/redistest"
)

// mostWords is how many words a command may name or return at most while a
// large key is handled. On an idle machine the longest of them takes a
// millisecond; what SLOWLOG says is shown, but not held against the code, for
// on a busy one it is mostly the scheduler's.
const mostWords = 2100

// A sizeHook notes the largest command and reply.
type sizeHook struct {
	redis.Hook
	most atomic.Int64
}

func (h *sizeHook) DialHook(next redis.DialHook) redis.DialHook          { return next }
func (h *sizeHook) ProcessHook(next redis.ProcessHook) redis.ProcessHook { return next }
func (h *sizeHook) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		err := next(ctx, cmds)
		for _, cmd := range cmds {
			n := len(cmd.Args())
			if cmd, ok := cmd.(*redis.Cmd); ok {
				n = max(n, words(cmd.Val()))
			}
			h.most.Store(max(h.most.Load(), int64(n)))
		}
		return err
	}
}

// words counts the words of a reply.
func words(reply any) int {
	array, ok := reply.([]any)
	if !ok {
		return 1
	}
	n := 0
	for _, element := range array {
		n += words(element)
	}
	return n
}

// largeKeys are made by scripts, on the server.
var largeKeys = map[string]struct{ make, change, action string }{
	"hash": {
		make:   "for i=1,%d do redis.call('hset',KEYS[1],'field:'..i,'value '..i) end",
		change: "redis.call('hset',KEYS[1],'field:7','new') redis.call('hdel',KEYS[1],'field:8') redis.call('hset',KEYS[1],'extra',1)",
	},
	"set": {
		make:   "for i=1,%d do redis.call('sadd',KEYS[1],'member:'..i) end",
		change: "redis.call('srem',KEYS[1],'member:8') redis.call('sadd',KEYS[1],'extra','more')",
	},
	"zset": {
		make:   "for i=1,%d do redis.call('zadd',KEYS[1],i/7,'member:'..i) end",
		change: "redis.call('zrem',KEYS[1],'member:8') redis.call('zincrby',KEYS[1],0.5,'member:9')",
	},
	"queue": {
		make:   "for i=1,%d do redis.call('lpush',KEYS[1],'task:'..i) end",
		change: "for i=1,2500 do redis.call('rpop',KEYS[1]) redis.call('lpush',KEYS[1],'new:'..i) end",
	},
	"log": {
		make:   "for i=1,%d do redis.call('rpush',KEYS[1],'line:'..i) end",
		change: "for i=1,2500 do redis.call('lpop',KEYS[1]) end for i=1,1500 do redis.call('rpush',KEYS[1],'new:'..i) end",
	},
	"list, middle": {
		make:   "for i=1,%d do redis.call('rpush',KEYS[1],'line:'..i) end",
		change: "redis.call('lset',KEYS[1],5000,'new')", action: "copied",
	},
	"string": {
		make:   "for i=1,%d do redis.call('append',KEYS[1],'0123456789012345678901234567890123456789') end",
		change: "redis.call('setrange',KEYS[1],100000,'new') redis.call('append',KEYS[1],'more')",
	},
	"string, shorter": {
		make:   "for i=1,%d do redis.call('append',KEYS[1],'0123456789012345678901234567890123456789') end",
		change: "redis.call('set',KEYS[1],redis.call('getrange',KEYS[1],0,500000))", action: "copied",
	},
	"stream": {
		make: "for i=1,%d do redis.call('xadd',KEYS[1],i..'-1','f','value '..i) end",
		change: "redis.call('xtrim',KEYS[1],'maxlen',15000) redis.call('xdel',KEYS[1],'10000-1')" +
			" for i=1,1500 do redis.call('xadd',KEYS[1],(900000+i)..'-1','f','new') end",
	},
	"stream with groups": {
		make: "for i=1,%d do redis.call('xadd',KEYS[1],i..'-1','f','value '..i) end" +
			" redis.call('xgroup','create',KEYS[1],'g',0) redis.call('xgroup','create',KEYS[1],'h','$')" +
			" redis.call('xreadgroup','group','g','c','count',3500,'streams',KEYS[1],'>') redis.call('xdel',KEYS[1],'5-1')",
		change: "redis.call('xack',KEYS[1],'g','1-1','2-1','5-1') redis.call('xgroup','createconsumer',KEYS[1],'h','d')",
	},
	"stream with groups, deleted entries pending": {
		make: "for i=1,%d do redis.call('xadd',KEYS[1],i..'-1','f','value '..i) end" +
			" redis.call('xgroup','create',KEYS[1],'g',0) redis.call('xreadgroup','group','g','c','count',3500,'streams',KEYS[1],'>')",
		change: "redis.call('xdel',KEYS[1],'5-1','1-1') redis.call('xack',KEYS[1],'g','2-1')", action: "copied",
	},
}

// TestLarge copies keys of 20,000 elements, changes them a little and mends
// them, while no single command holds either server for long.
func TestLarge(t *testing.T) {
	t.Parallel()
	for what, tt := range largeKeys {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			b := &bench{}
			b.a, b.ca = realSide(t, "--slowlog-log-slower-than", "1000")
			b.b, b.cb = realSide(t, "--slowlog-log-slower-than", "1000")
			size := &sizeHook{}
			opts := Options{Move: "move-1", Large: 64 << 10}
			b.ca.AddHook(size)
			b.cb.AddHook(size)
			at := time.Now().Add(time.Hour).UnixMilli()
			script := func(source string) {
				t.Helper()
				do(t, b.ca, "EVAL", source, 1, "k")
				do(t, b.ca, "PEXPIREAT", "k", at)
				do(t, b.ca, "SLOWLOG", "RESET")
			}
			sync := func(diff Diff, action Action) {
				t.Helper()
				began := time.Now()
				results, err := Sync(t.Context(), b.a, b.b, []string{"k"}, opts)
				if err != nil {
					t.Fatal(err)
				}
				if r := results[0]; r.Diff != diff || r.Action != action || !r.Large {
					t.Errorf("got %v, %v, large %v; want %v, %v", r.Diff, r.Action, r.Large, diff, action)
				}
				t.Logf("%v in %v, %d bytes", action, time.Since(began).Round(time.Millisecond), results[0].Bytes)
			}
			do(t, b.cb, "SLOWLOG", "RESET")
			script(fmt.Sprintf(tt.make, 20_000))
			sync(Missing, Copied)
			sync(Equal, None)
			script(tt.change)
			if got := b.compare(t, "k", opts); got != ValueDiffers {
				t.Errorf("compare: got %v; want value", got)
			}
			action := Repaired
			if tt.action != "" {
				action = Copied
			}
			sync(ValueDiffers, action)
			sync(Equal, None)
			if n := size.most.Load(); n > mostWords {
				t.Errorf("a command of %d words; want at most %d", n, mostWords)
			}
			b.settled(t, at)
			script("redis.call('unlink',KEYS[1])")
			sync2, err := Sync(t.Context(), b.a, b.b, []string{"k"}, opts)
			if err != nil || sync2[0].Diff != Extra || sync2[0].Action != Deleted {
				t.Errorf("got %+v, %v; want it deleted", sync2[0], err)
			}
			if n := do(t, b.cb, "DBSIZE"); n != int64(0) {
				t.Errorf("got %v keys on the mirror; want none", n)
			}
		})
	}
}

// settled checks, with commands that take long, that the sides are equal, and
// before that, that none has.
func (b *bench) settled(t *testing.T, at int64) {
	t.Helper()
	for side, c := range map[string]redis.UniversalClient{"authority": b.ca, "mirror": b.cb} {
		entries, err := c.SlowLogGet(t.Context(), 100).Result()
		if err != nil {
			t.Fatal(err)
		}
		if len(entries) > 0 {
			e := slices.MaxFunc(entries, func(a, b redis.SlowLog) int { return cmp.Compare(a.Duration, b.Duration) })
			t.Logf("%s: the longest of %d in the slow log took %v: %.60q", side, len(entries), e.Duration, strings.Join(e.Args, " "))
		}
		if got := do(t, c, "PEXPIRETIME", "k"); got != at {
			t.Errorf("%s: expires at %v; want %d", side, got, at)
		}
		defer do(t, c, "SLOWLOG", "RESET")
	}
	whole := Options{Large: 1 << 40, LargeLen: 1 << 30}
	if got := b.compare(t, "k", whole); got != Equal {
		t.Errorf("compared whole: got %v; want equal", got)
	}
}

// TestLargeReplaced: a large key whose type changes in the middle of its copy
// ends as what it became.
func TestLargeReplaced(t *testing.T) {
	t.Parallel()
	b := benches["dump"](t)
	do(t, b.ca, "EVAL", fmt.Sprintf(largeKeys["hash"].make, 20_000), 1, "k")
	checks := 0
	opts := Options{Check: func() error {
		if checks++; checks == 5 {
			do(t, b.ca, "DEL", "k")
			do(t, b.ca, "EVAL", fmt.Sprintf(largeKeys["zset"].make, 20_000), 1, "k")
		}
		return nil
	}}
	if _, err := Sync(t.Context(), b.a, b.b, []string{"k"}, opts); err != nil {
		t.Fatal(err)
	}
	if got := b.compare(t, "k", Options{}); got != Equal {
		t.Errorf("got %v; want equal", got)
	}
	if n := do(t, b.cb, "DBSIZE"); n != int64(1) {
		t.Errorf("got %v keys on the mirror; want 1", n)
	}
}

// TestMirrorExpires: a mirror's key that would expire while it is mended does
// not come back as a part of itself.
func TestMirrorExpires(t *testing.T) {
	t.Parallel()
	b := benches["dump"](t)
	do(t, b.ca, "EVAL", fmt.Sprintf(largeKeys["hash"].make, 20_000), 1, "k")
	if _, err := Sync(t.Context(), b.a, b.b, []string{"k"}, Options{}); err != nil {
		t.Fatal(err)
	}
	at := time.Now().Add(time.Hour).UnixMilli()
	do(t, b.ca, "PEXPIREAT", "k", at)
	for _, field := range []string{"field:1", "field:9000", "field:19000"} {
		do(t, b.ca, "HSET", "k", field, "new")
	}
	soon := time.Now().Add(300 * time.Millisecond)
	do(t, b.cb, "PEXPIREAT", "k", soon.UnixMilli())
	checks := 0
	opts := Options{Check: func() error {
		if checks++; checks == 2 {
			redistest.Eventually(t, 10*time.Second, func() error {
				if time.Now().Before(soon) {
					return errors.New("not yet")
				}
				return nil
			})
		}
		return nil
	}}
	results, err := Sync(t.Context(), b.a, b.b, []string{"k"}, opts)
	if err != nil || results[0].Diff != ValueDiffers && results[0].Diff != Missing {
		t.Fatalf("got %+v, %v", results[0], err)
	}
	if got := b.compare(t, "k", Options{}); got != Equal {
		t.Errorf("got %v; want equal", got)
	}
}

// TestLateHalf: a temporary key that expired in mid-copy is never renamed,
// though what came late looks like one.
func TestLateHalf(t *testing.T) {
	t.Parallel()
	b := benches["dump"](t)
	do(t, b.ca, "EVAL", fmt.Sprintf(largeKeys["hash"].make, 20_000), 1, "k")
	checks := 0
	opts := Options{Check: func() error {
		if checks++; checks == 5 {
			for _, key := range b.cb.Keys(t.Context(), tempPrefix+"*").Val() {
				do(t, b.cb, "DEL", key)
			}
		}
		return nil
	}}
	results, err := Sync(t.Context(), b.a, b.b, []string{"k"}, opts)
	if err == nil || results[0].Err == nil {
		t.Errorf("got %+v, %v; want an error", results[0], err)
	}
	if n := do(t, b.cb, "EXISTS", "k"); n != int64(0) {
		t.Error("half a key was put in place")
	}
}
