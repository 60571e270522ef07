package queue

import (
	"errors"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
)

// Dequeues that fail are not repeated as fast as the processor can.
func TestDequeueErrorsPause(t *testing.T) {
	t.Parallel()
	r, _ := mini(t)
	b := &breach{}
	r.AddHook(b)
	s := serverOn(t, r, quick("parcels"))
	b.set(&b.before, func(cmd redis.Cmder) bool { return isScript(cmd, dequeues) })
	run(t, s)
	eventually(t, func() error {
		if b.lost.Load() < 2 {
			return errors.New("nobody has asked twice")
		}
		return nil
	})
	was, began := b.lost.Load(), time.Now()
	time.Sleep(time.Second) // what is measured
	if n, most := b.lost.Load()-was, int64(time.Since(began)/dequeuePause)+1; n > most {
		t.Errorf("it was asked %d times in a second; want %d at most", n, most)
	}
}

func TestRoles(t *testing.T) {
	q := func(parts ...string) (keys []string) {
		for _, p := range parts {
			keys = append(keys, queueKey("a", p))
		}
		return keys
	}
	for name, tt := range map[string]struct {
		keys []string
		want role
	}{
		"dequeue":                {q("pending", "paused", "active", "lease"), dequeues},
		"done":                   {q("active", "lease", "t:1", "processed:x", "processed"), settles},
		"complete":               {q("active", "lease", "completed", "t:1", "processed:x", "processed"), settles},
		"requeue":                {q("active", "lease", "pending", "t:1"), givesBack},
		"retry":                  {q("t:1", "active", "lease", "retry", "processed:x", "failed:x", "processed", "failed"), givesBack},
		"expired":                {q("lease"), listsExpired},
		"enqueue":                {q("t:1", "pending"), other},
		"a queue of an odd name": {[]string{queueKey("x:lease", "pending")}, other},
		"none":                   {nil, other},
	} {
		if got := roleOf(tt.keys); got != tt.want {
			t.Errorf("%s: got %v; want %v", name, got, tt.want)
		}
	}
}
