package feed

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/transload/transload/internal/redistest"
)

// TestNames shows which keys the feed names.
func TestNames(t *testing.T) {
	t.Parallel()
	side := open(t, redistest.Standalone(t, redistest.Options{}).Env("REDIS"))
	f, dirty, _ := follow(t, side)
	for what, tt := range map[string]struct {
		before, do []string
		want       []string
	}{
		"set":            {do: []string{"SET a 1"}, want: []string{"a"}},
		"same value":     {before: []string{"SET a 1"}, do: []string{"SET a 1"}, want: []string{"a"}},
		"del":            {before: []string{"SET a 1"}, do: []string{"DEL a"}, want: []string{"a"}},
		"del of nothing": {do: []string{"DEL a"}},
		"expire":         {before: []string{"SET a 1"}, do: []string{"PEXPIRE a 100000"}, want: []string{"a"}},
		"lua":            {do: []string{"EVAL redis.call('set','a',1)redis.call('set','b',1) 0"}, want: []string{"a", "b"}},
		"rename":         {before: []string{"SET a 1"}, do: []string{"RENAME a b"}, want: []string{"a", "b"}},
		"stream":         {do: []string{"XADD s 1-1 f v"}, want: []string{"s"}},
		"group":          {before: []string{"XADD s 1-1 f v"}, do: []string{"XGROUP CREATE s g 0"}},
		"restore":        {before: []string{"SET a 1"}, do: []string{"COPY a b"}, want: []string{"b"}},
	} {
		t.Run(what, func(t *testing.T) {
			for _, line := range slices.Concat([]string{"DEL a b s"}, tt.before) {
				do(t, side, words(line)...)
			}
			named(t, f, dirty)
			for _, line := range tt.do {
				do(t, side, words(line)...)
			}
			if got := named(t, f, dirty); !slices.Equal(got, tt.want) {
				t.Errorf("got %v; want %v", got, tt.want)
			}
		})
	}
	t.Run("multi", func(t *testing.T) {
		pipe := side.TxPipeline()
		pipe.Set(t.Context(), "m1", 1, 0)
		pipe.Incr(t.Context(), "m2")
		if _, err := pipe.Exec(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got, want := named(t, f, dirty), []string{"m1", "m2"}; !slices.Equal(got, want) {
			t.Errorf("got %v; want %v", got, want)
		}
	})
	t.Run("expiry", func(t *testing.T) {
		do(t, side, "SET", "v", 1, "PX", 20)
		named(t, f, dirty)
		redistest.Eventually(t, 10*time.Second, func() error {
			if got := named(t, f, dirty); !slices.Equal(got, []string{"v"}) {
				return fmt.Errorf("got %v; want [v]", got)
			}
			return nil
		})
	})
	t.Run("a script with 100,000 keys", func(t *testing.T) {
		do(t, side, "EVAL", "for i=1,99999 do redis.call('set','big:'..i,1) end", 0)
		if got := named(t, f, dirty); len(got) != 99999 {
			t.Errorf("got %d names; want 99999", len(got))
		}
		do(t, side, "EVAL", "for i=1,99999 do redis.call('set','big:'..i,1) end", 0)
		do(t, side, "SET", "one", 1)
		do(t, side, "SET", "more", 1)
		watermark(t, f)
		if dirty.SlotLen() < 16000 || dirty.Len() > maxNames {
			t.Errorf("got %d slots, %d names; want all slots", dirty.SlotLen(), dirty.Len())
		}
		dirty.TakeSlots()
		dirty.Take(0, 0)
	})
}

// words splits a line; what EVAL runs stays one word.
func words(line string) []any {
	fields := strings.Fields(line)
	if fields[0] == "EVAL" {
		last := len(fields) - 1
		fields = []string{"EVAL", strings.Join(fields[1:last], " "), fields[last]}
	}
	list := make([]any, len(fields))
	for i, field := range fields {
		list[i] = field
	}
	return list
}

// TestWatermark has many writers note what was acknowledged before each
// watermark: all of it must have been named by then.
func TestWatermark(t *testing.T) {
	t.Parallel()
	side := open(t, redistest.Standalone(t, redistest.Options{}).Env("REDIS"))
	f, dirty, _ := follow(t, side)
	checkWatermarks(t, f, dirty, side, 8, 300)
}

func checkWatermarks(t *testing.T, f *Feed, dirty *Dirty, side redisDoer, writers, rounds int) {
	t.Helper()
	var mu sync.Mutex
	acked := map[string]bool{}
	stop := make(chan struct{})
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() {
			for i := 0; ; i++ {
				select {
				case <-stop:
					return
				default:
				}
				key := fmt.Sprintf("w%d:%d", w, i)
				if err := side.Do(t.Context(), "SET", key, i).Err(); err != nil {
					t.Error(err)
					return
				}
				mu.Lock()
				acked[key] = true
				mu.Unlock()
			}
		})
	}
	total := 0
	seen := map[string]bool{}
	for range rounds {
		mu.Lock()
		before := acked
		acked = map[string]bool{}
		mu.Unlock()
		watermark(t, f)
		for _, name := range dirty.Take(0, 0) {
			seen[name] = true
		}
		for key := range before {
			if !seen[key] {
				t.Errorf("%s was acknowledged before the watermark, but not named", key)
			}
			delete(seen, key)
		}
		total += len(before)
	}
	close(stop)
	wg.Wait()
	t.Logf("%d writes under %d watermarks", total, rounds)
}

// TestTLS: the feed dials as the client does, and logs in.
func TestTLS(t *testing.T) {
	t.Parallel()
	s := redistest.Standalone(t, redistest.Options{TLS: true, ClientCerts: true, Password: "secret", Username: "app"})
	side := open(t, s.Env("REDIS"))
	f, dirty, _ := follow(t, side, WithName("transload:x:coordinator"))
	do(t, side, "SET", "a", 1)
	if got := named(t, f, dirty); !slices.Equal(got, []string{"a"}) {
		t.Errorf("got %v; want [a]", got)
	}
	if list, _ := do(t, side, "CLIENT", "LIST", "TYPE", "pubsub").(string); !strings.Contains(list, "name=transload:x:coordinator") {
		t.Errorf("got %q; want the name", list)
	}
}

// TestPrefixes names only what was asked for.
func TestPrefixes(t *testing.T) {
	side := open(t, redistest.SharedStandalone(t).Env("REDIS"))
	f, dirty, _ := follow(t, side, WithPrefixes("cache:{", "cache:tag:"))
	for _, key := range []string{"cache:{a}", "cache:fill:{a}", "cache:tag:{b}", "sess:{a}"} {
		do(t, side, "SET", key, 1)
	}
	if got := named(t, f, dirty); !slices.Equal(got, []string{"cache:tag:{b}", "cache:{a}"}) {
		t.Errorf("got %v; want those under the prefixes", got)
	}
}
