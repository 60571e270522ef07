package keysync

import (
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"

	"github.com/transload/transload/internal/redistest"
)

// A bench is two sides with plain clients of their own.
type bench struct {
	a, b         *Side
	ca, cb       redis.UniversalClient
	fakeA, fakeB bool
	old          bool // without PEXPIRETIME
}

func realSide(t *testing.T, args ...string) (*Side, redis.UniversalClient) {
	t.Helper()
	patient := func(o *redis.Options) { o.ReadTimeout = 30 * time.Second } // for long scripts on a busy machine
	c := redistest.Client(t, redistest.Standalone(t, redistest.Options{Unix: true, Args: args}), patient)
	return NewSide(c), c
}

func fakeSide(t *testing.T) (*Side, redis.UniversalClient) {
	t.Helper()
	m := miniredis.RunT(t)
	m.ClockTTL(true)
	c := redis.NewClient(&redis.Options{Addr: m.Addr(), MaxRetries: -1, DisableIdentity: true, ReadTimeout: 30 * time.Second})
	t.Cleanup(func() { _ = c.Close() })
	return NewSide(c), c
}

// without makes a side do without some of what its server can do.
func (s *Side) without(t *testing.T, change func(*Capabilities)) {
	t.Helper()
	if _, err := s.Capabilities(t.Context()); err != nil {
		t.Fatal(err)
	}
	change(&s.caps)
}

// benches are the pairs of sides on which copies are tried.
var benches = map[string]func(t *testing.T) *bench{
	"dump": func(t *testing.T) *bench {
		b := &bench{}
		b.a, b.ca = realSide(t)
		b.b, b.cb = realSide(t)
		return b
	},
	"typed": func(t *testing.T) *bench {
		b := &bench{}
		b.a, b.ca = realSide(t)
		b.b, b.cb = realSide(t)
		b.a.without(t, func(c *Capabilities) { c.Dump, c.Restore = false, false })
		b.b.without(t, func(c *Capabilities) { c.Dump, c.Restore = false, false })
		return b
	},
	"old": func(t *testing.T) *bench {
		b := &bench{old: true}
		b.a, b.ca = realSide(t)
		b.b, b.cb = realSide(t)
		b.a.without(t, func(c *Capabilities) { c.ExpireTime, c.ReadOnlyScripts = false, false })
		b.b.without(t, func(c *Capabilities) { c.ExpireTime, c.ReadOnlyScripts = false, false })
		return b
	},
	"other encodings": func(t *testing.T) *bench {
		b := &bench{}
		b.a, b.ca = realSide(t)
		b.b, b.cb = realSide(t, "--hash-max-listpack-entries", "1", "--zset-max-listpack-entries", "1",
			"--list-max-listpack-size", "2", "--set-max-intset-entries", "1", "--stream-node-max-entries", "2",
			"--rdbcompression", "no")
		return b
	},
	"fake to fake": func(t *testing.T) *bench {
		b := &bench{fakeA: true, fakeB: true}
		b.a, b.ca = fakeSide(t)
		b.b, b.cb = fakeSide(t)
		return b
	},
	"fake to real": func(t *testing.T) *bench {
		b := &bench{fakeA: true}
		b.a, b.ca = fakeSide(t)
		b.b, b.cb = realSide(t)
		return b
	},
	"real to fake": func(t *testing.T) *bench {
		b := &bench{fakeB: true}
		b.a, b.ca = realSide(t)
		b.b, b.cb = fakeSide(t)
		return b
	},
}

// do runs a command that must succeed.
func do(t *testing.T, c redis.UniversalClient, args ...any) any {
	t.Helper()
	reply, err := c.Do(t.Context(), args...).Result()
	if err != nil && err != redis.Nil {
		t.Fatalf("%v: %v", args, err)
	}
	return reply
}
