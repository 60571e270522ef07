package sockets_test

import (
	"fmt"
	"slices"
	"sync"
	"testing"

	"github.com/transload/transload/internal/redisproc"
	"github.com/transload/transload/internal/redistest"
)

// track opens a connection on which the server tells every key that changes.
func (w way) track(t *testing.T) *redisproc.Conn {
	t.Helper()
	c := w.open(t)
	do(t, c, "HELLO", "3")
	do(t, c, "CLIENT", "TRACKING", "ON", "BCAST")
	return c
}

// told sends a PING and returns what the server told before it answered. The
// names are nil where it said "everything".
func told(t *testing.T, c *redisproc.Conn) (names []string, everything bool) {
	t.Helper()
	if err := c.Send("PING"); err != nil {
		t.Fatal(err)
	}
	for {
		v := receive(t, c)
		push, ok := v.(redisproc.Push)
		if !ok {
			if v != "PONG" {
				t.Fatalf("got %v; want PONG", v)
			}
			return names, everything
		}
		if len(push) != 2 || push[0] != "invalidate" {
			t.Fatalf("got %v; want an invalidation", push)
		}
		list, ok := push[1].([]any)
		if !ok {
			everything = true
		}
		for _, name := range list {
			names = append(names, name.(string))
		}
	}
}

// TestPingIsAWatermark: a write that was answered before a PING was sent on the
// tracking connection is told before the PING is answered. Without exception: the
// proof of a move rests on it.
func TestPingIsAWatermark(t *testing.T) {
	t.Parallel()
	const marks = 150
	ways(t, redistest.Options{}, func(t *testing.T, w way) {
		tracker := w.track(t)
		var (
			mu       sync.Mutex
			answered []string
			wg       sync.WaitGroup
		)
		stop := make(chan struct{})
		for i := range 8 {
			c := w.open(t)
			wg.Go(func() {
				for n := 0; ; n++ {
					select {
					case <-stop:
						return
					default:
					}
					k := fmt.Sprintf("t:%d:%d", i, n)
					if _, err := c.Do(t.Context(), "SET", k, "x"); err != nil {
						t.Error(err)
						return
					}
					mu.Lock()
					answered = append(answered, k)
					mu.Unlock()
				}
			})
		}
		known, checked := map[string]bool{}, 0
		for range marks {
			mu.Lock()
			before := slices.Clone(answered[checked:])
			mu.Unlock()
			names, everything := told(t, tracker)
			if everything {
				t.Error("got everything; want names")
			}
			for _, name := range names {
				known[name] = true
			}
			for _, name := range before {
				if !known[name] {
					t.Errorf("%s was written before the PING and not told before its PONG", name)
				}
			}
			checked += len(before)
		}
		close(stop)
		wg.Wait()
		if checked < marks {
			t.Errorf("checked %d writes against %d watermarks; want more writes", checked, marks)
		}
	})
}

// TestWhatTrackingTells is the list that the feed relies on, and the list of what
// it must not rely on: changes of a stream's groups are not told.
func TestWhatTrackingTells(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		before, change [][]string
		want           []string
	}{
		"SET":                 {change: [][]string{{"SET", "a", "1"}}, want: []string{"a"}},
		"SET, the same value": {before: [][]string{{"SET", "a", "1"}}, change: [][]string{{"SET", "a", "1"}}, want: []string{"a"}},
		"DEL":                 {before: [][]string{{"SET", "a", "1"}}, change: [][]string{{"DEL", "a"}}, want: []string{"a"}},
		"DEL of nothing":      {change: [][]string{{"DEL", "a"}}},
		"expiry set":          {before: [][]string{{"SET", "a", "1"}}, change: [][]string{{"PEXPIRE", "a", "60000"}}, want: []string{"a"}},
		"expiry taken":        {before: [][]string{{"SET", "a", "1", "EX", "60"}}, change: [][]string{{"PERSIST", "a"}}, want: []string{"a"}},
		"past expiry":         {before: [][]string{{"SET", "a", "1"}}, change: [][]string{{"PEXPIREAT", "a", "1"}}, want: []string{"a"}},
		"RENAME":              {before: [][]string{{"SET", "a", "1"}}, change: [][]string{{"RENAME", "a", "b"}}, want: []string{"a", "b"}},
		"script, undeclared":  {change: [][]string{{"EVAL", "redis.call('SET', 'a', 1) redis.call('SET', 'b', 1)", "0"}}, want: []string{"a", "b"}},
		"MULTI":               {change: [][]string{{"MULTI"}, {"SET", "a", "1"}, {"SET", "b", "1"}, {"EXEC"}}, want: []string{"a", "b"}},
		"XADD":                {change: [][]string{{"XADD", "s", "1-1", "f", "v"}}, want: []string{"s"}},

		"XGROUP CREATE":         {before: stream1, change: [][]string{{"XGROUP", "CREATE", "s", "h", "0"}}},
		"XGROUP CREATECONSUMER": {before: stream1, change: [][]string{{"XGROUP", "CREATECONSUMER", "s", "g", "d"}}},
		"XGROUP SETID":          {before: stream1, change: [][]string{{"XGROUP", "SETID", "s", "g", "1-2"}}},
		"XGROUP DELCONSUMER":    {before: stream1, change: [][]string{{"XGROUP", "DELCONSUMER", "s", "g", "c"}}},
		"XGROUP DESTROY":        {before: stream1, change: [][]string{{"XGROUP", "DESTROY", "s", "g"}}},
		"XREADGROUP":            {before: stream1, change: [][]string{{"XREADGROUP", "GROUP", "g", "c", "STREAMS", "s", ">"}}},
		"XACK":                  {before: stream1, change: [][]string{{"XACK", "s", "g", "1-1"}}},
		"XCLAIM":                {before: stream1, change: [][]string{{"XCLAIM", "s", "g", "d", "0", "1-1"}}},
		"XAUTOCLAIM":            {before: stream1, change: [][]string{{"XAUTOCLAIM", "s", "g", "d", "0", "0"}}},
		"XSETID":                {before: stream1, change: [][]string{{"XSETID", "s", "9-9"}}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := redistest.Standalone(t, redistest.Options{})
			w := way{s, dialTo(s.Addr())}
			c := redistest.Conn(t, s)
			for _, args := range tt.before {
				do(t, c, args...)
			}
			tracker := w.track(t)
			for _, args := range tt.change {
				do(t, c, args...)
			}
			names, everything := told(t, tracker)
			slices.Sort(names)
			if !slices.Equal(names, tt.want) || everything {
				t.Errorf("got %v, everything %v; want %v", names, everything, tt.want)
			}
		})
	}
}

// stream1 makes a stream of two entries with a group that has read the first.
var stream1 = [][]string{
	{"XADD", "s", "1-1", "f", "v"}, {"XADD", "s", "1-2", "f", "v"},
	{"XGROUP", "CREATE", "s", "g", "0"}, {"XREADGROUP", "GROUP", "g", "c", "COUNT", "1", "STREAMS", "s", ">"},
}

// TestFlushTellsEverything: a flush names no keys, not even of which database.
func TestFlushTellsEverything(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{{"FLUSHALL"}, {"FLUSHDB"}, {"DEBUG", "RELOAD"}} {
		t.Run(args[0], func(t *testing.T) {
			s := redistest.Standalone(t, redistest.Options{})
			w := way{s, dialTo(s.Addr())}
			redistest.Do(t, s, "SET", "k", "v")
			tracker := w.track(t)
			redistest.Do(t, s, args...)
			if names, everything := told(t, tracker); !everything || len(names) > 0 {
				t.Errorf("got %v, everything %v; want everything and no names", names, everything)
			}
		})
	}
}
