package keysync

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/transload/transload/internal/redistest"
)

// TestExpiry: the expiry arrives to the millisecond, and one that has passed
// leaves no key.
func TestExpiry(t *testing.T) {
	t.Parallel()
	for name, newBench := range benches {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			at := time.Now().Add(time.Hour).UnixMilli()/1000*1000 + 123
			for _, key := range []string{"string", "hash"} {
				if key == "hash" {
					do(t, b.ca, "HSET", key, "f", "v")
				} else {
					do(t, b.ca, "SET", key, "v")
				}
				do(t, b.ca, "PEXPIREAT", key, at)
				do(t, b.cb, "SET", key, "other, without an expiry")
				for _, opts := range []Options{{Tolerance: b.options().Tolerance}, {Tolerance: b.options().Tolerance, Large: 1}} {
					if _, err := Copy(t.Context(), b.a, b.b, []string{key}, opts); err != nil {
						t.Fatal(err)
					}
					got, _ := do(t, b.cb, "PEXPIRETIME", key).(int64)
					if off := max(got-at, at-got); off > opts.Tolerance.Milliseconds() {
						t.Errorf("%s: expires at %d; want %d", key, got, at)
					}
				}
			}
		})
	}
}

// TestGone: keys that have expired, or were deleted, leave the mirror.
func TestGone(t *testing.T) {
	for name, newBench := range benches {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			do(t, b.ca, "SET", "volatile", "v", "PX", 15)
			if _, err := Copy(t.Context(), b.a, b.b, []string{"volatile"}, b.options()); err != nil {
				t.Fatal(err)
			}
			do(t, b.cb, "PERSIST", "volatile") // as a foreign writer might
			do(t, b.cb, "SET", "deleted", "v")
			do(t, b.cb, "HSET", "large", "f", strings.Repeat("v", 1<<20))
			redistest.Eventually(t, 10*time.Second, func() error {
				if n := do(t, b.ca, "EXISTS", "volatile"); n != int64(0) {
					return errors.New("still there")
				}
				return nil
			})
			keys := []string{"volatile", "deleted", "large", "never"}
			results, err := Sync(t.Context(), b.a, b.b, keys, b.options())
			if err != nil {
				t.Fatal(err)
			}
			for i, want := range []Action{Deleted, Deleted, Deleted, None} {
				if results[i].Action != want && keys[i] != "volatile" {
					t.Errorf("%s: got %v, %v; want %v", keys[i], results[i].Diff, results[i].Action, want)
				}
			}
			if n := do(t, b.cb, "DBSIZE"); n != int64(0) {
				t.Errorf("got %v keys on the mirror; want none", n)
			}
		})
	}
}

// TestExpiringIsEqual: a key whose last milliseconds run out between the two
// reads is no difference.
func TestExpiringIsEqual(t *testing.T) {
	t.Parallel()
	j := &job{fromCaps: Capabilities{ExpireTime: true}, toCaps: Capabilities{ExpireTime: true}}
	gone := reading{expiry: absent}
	for what, tt := range map[string]struct {
		a, b reading
		want Diff
	}{
		"about to expire":        {reading{expiry: 1005, now: 1000}, gone, Equal},
		"expires later":          {reading{expiry: 2000, now: 1000}, gone, Missing},
		"never expires":          {reading{expiry: forever, now: 1000}, gone, Missing},
		"mirror about to expire": {gone, reading{expiry: 1005, now: 1000}, Equal},
		"mirror never expires":   {gone, reading{expiry: forever, now: 1000}, Extra},
		"one expires":            {reading{expiry: forever}, reading{expiry: 5}, ExpiryDiffers},
		"a millisecond apart":    {reading{expiry: 4}, reading{expiry: 5}, ExpiryDiffers},
	} {
		if got := j.differ(pair{a: tt.a, b: tt.b}, 10*time.Millisecond); got != tt.want {
			t.Errorf("%s: got %v; want %v", what, got, tt.want)
		}
	}
}

// TestBatches copies many keys of many sizes in one call, and finds what was
// changed on the mirror behind its back.
func TestBatches(t *testing.T) {
	t.Parallel()
	for name, newBench := range benches {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			var keys []string
			p := b.ca.Pipeline()
			for i := range 230 {
				key := fmt.Sprintf("key:%d", i)
				keys = append(keys, key)
				switch i % 4 {
				case 0:
					p.Set(t.Context(), key, strings.Repeat("x", i*i*i%100_000), 0)
				case 1:
					p.HSet(t.Context(), key, "a", i, "b", strings.Repeat("y", 100))
				case 2:
					p.RPush(t.Context(), key, i, i, i)
				}
			}
			p.Set(t.Context(), "huge", strings.Repeat("z", 3<<20), 0)
			keys = append(keys, "huge")
			if _, err := p.Exec(t.Context()); err != nil {
				t.Fatal(err)
			}
			results, err := Sync(t.Context(), b.a, b.b, keys, b.options())
			if err != nil {
				t.Fatal(err)
			}
			check := func(results []Result, want func(i int) Diff) {
				t.Helper()
				for i, r := range results {
					if r.Key != keys[i] || r.Diff != want(i) {
						t.Fatalf("%s: got %s %v; want %v", keys[i], r.Key, r.Diff, want(i))
					}
				}
			}
			check(results, func(i int) Diff {
				if i%4 == 3 {
					return Equal // on neither side
				}
				return Missing
			})
			do(t, b.cb, "APPEND", "key:4", "x")
			do(t, b.cb, "DEL", "key:5")
			do(t, b.cb, "SET", "key:7", 1)
			do(t, b.cb, "SET", "key:8", 1)
			changed := map[int]Diff{4: ValueDiffers, 5: Missing, 7: Extra, 8: ValueDiffers}
			want := func(i int) Diff { return max(Equal, changed[i]) }
			if results, err = Compare(t.Context(), b.a, b.b, keys, b.options()); err != nil {
				t.Fatal(err)
			}
			check(results, want)
			if results, err = Sync(t.Context(), b.a, b.b, keys, b.options()); err != nil {
				t.Fatal(err)
			}
			check(results, want)
			if results, err = Compare(t.Context(), b.a, b.b, keys, b.options()); err != nil {
				t.Fatal(err)
			}
			check(results, func(int) Diff { return Equal })
		})
	}
}

// TestCheck: nothing is written once Check objects.
func TestCheck(t *testing.T) {
	stale := errors.New("the lease is over")
	for name, newBench := range benches {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			do(t, b.ca, "SET", "small", "v")
			for i := range 6000 {
				do(t, b.ca, "RPUSH", "large", i)
			}
			for _, key := range []string{"small", "large"} {
				opts := b.options()
				opts.LargeLen, opts.Large = 100, 10_000
				opts.Check = func() error { return stale }
				if _, err := Copy(t.Context(), b.a, b.b, []string{key}, opts); !errors.Is(err, stale) {
					t.Errorf("%s: got %v; want %v", key, err, stale)
				}
				calls := 0
				opts.Check = func() error {
					if calls++; calls > 2 && key == "large" {
						return stale
					}
					return nil
				}
				if _, err := Copy(t.Context(), b.a, b.b, []string{key}, opts); key == "large" && !errors.Is(err, stale) {
					t.Errorf("large: got %v after %d checks; want %v", err, calls, stale)
				}
			}
			if n := do(t, b.cb, "EXISTS", "small", "large"); n != int64(1) {
				t.Errorf("got %v keys; want only the small one", n)
			}
			left, err := b.cb.Keys(t.Context(), "*").Result()
			if err != nil || len(left) != 2 {
				t.Fatalf("got keys %v, %v; want small and a temporary one", left, err)
			}
			for _, key := range left {
				if key != "small" && (!IsTemp(key) || b.cb.PTTL(t.Context(), key).Val() <= 0) {
					t.Errorf("%s: no temporary key that expires", key)
				}
			}
		})
	}
}

// TestScriptsForgotten: a server that has lost its scripts is sent them again.
func TestScriptsForgotten(t *testing.T) {
	b := benches["dump"](t)
	for range 2 {
		do(t, b.ca, "SET", "k", time.Now().String())
		if _, err := Sync(t.Context(), b.a, b.b, []string{"k"}, Options{}); err != nil {
			t.Fatal(err)
		}
		do(t, b.ca, "SCRIPT", "FLUSH")
		do(t, b.cb, "SCRIPT", "FLUSH")
	}
}

// A newer hook makes payloads look as if a newer server had made them.
type newer struct{}

func (newer) DialHook(next redis.DialHook) redis.DialHook          { return next }
func (newer) ProcessHook(next redis.ProcessHook) redis.ProcessHook { return next }
func (newer) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		for _, cmd := range cmds {
			if args := cmd.Args(); cmd.Name() == "restore" && args[1] != probeKey {
				payload := []byte(args[3].(string))
				payload[len(payload)-10] = 99 // the version
				args[3] = string(payload)
			}
		}
		return next(ctx, cmds)
	}
}

// TestRefusedPayload: what RESTORE does not take is copied by type.
func TestRefusedPayload(t *testing.T) {
	t.Parallel()
	b := benches["dump"](t)
	b.cb.AddHook(newer{})
	for what, s := range samples {
		t.Run(what, func(t *testing.T) { b.through(t, "key:"+what, s, Options{}) })
	}
}

// TestUnreachable: a mirror that cannot be reached is an error of each key,
// and of no key's own.
func TestUnreachable(t *testing.T) {
	b := benches["dump"](t)
	do(t, b.ca, "SET", "a", 1)
	if _, err := b.b.Capabilities(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := b.cb.Close(); err != nil {
		t.Fatal(err)
	}
	results, err := Sync(t.Context(), b.a, b.b, []string{"a", "b"}, Options{})
	if err == nil || len(results) != 2 || results[0].Err == nil || results[1].Err == nil || isReply(results[0].Err) {
		t.Errorf("got %+v, %v; want an error for each key", results, err)
	}
	fresh := NewSide(redis.NewClient(&redis.Options{Addr: closedPort(t), MaxRetries: -1}))
	defer fresh.client.Close()
	if _, err := Copy(t.Context(), b.a, fresh, []string{"a"}, Options{}); err == nil {
		t.Error("got no error from a server that is not there")
	}
}

func closedPort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// TestOutOfMemory: a mirror without room is told key by key, and the others
// are copied.
func TestOutOfMemory(t *testing.T) {
	t.Parallel()
	b := &bench{}
	b.a, b.ca = realSide(t)
	b.b, b.cb = realSide(t, "--maxmemory", "8mb")
	do(t, b.ca, "SET", "much", strings.Repeat("x", 200_000))
	for i := range 100 {
		do(t, b.ca, "SET", fmt.Sprint("key:", i), strings.Repeat("x", 200_000))
	}
	keys := []string{"much"}
	for i := range 100 {
		keys = append(keys, fmt.Sprint("key:", i))
	}
	results, err := Sync(t.Context(), b.a, b.b, keys, Options{})
	if !redis.IsOOMError(err) {
		t.Fatalf("got %v; want an OOM error", err)
	}
	copied, refused := 0, 0
	for _, r := range results {
		switch {
		case redis.IsOOMError(r.Err):
			refused++
		case r.Err == nil && r.Action == Copied:
			copied++
		default:
			t.Errorf("%s: got %v, %v", r.Key, r.Action, r.Err)
		}
	}
	if copied == 0 || refused == 0 {
		t.Errorf("got %d copied, %d refused; want some of each", copied, refused)
	}
}

// TestLoglog: a HyperLogLog that has been counted is still the same.
func TestLoglog(t *testing.T) {
	for _, what := range []string{"dump", "typed"} {
		b := benches[what](t)
		samples["loglog"].make(t, b.ca, "k")
		if _, err := Copy(t.Context(), b.a, b.b, []string{"k"}, Options{}); err != nil {
			t.Fatal(err)
		}
		do(t, b.ca, "PFCOUNT", "k")
		if got := b.compare(t, "k", Options{}); got != Equal {
			t.Errorf("%s: got %v; want equal", what, got)
		}
	}
}
