package queue

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hibiken/asynq"
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
		"forward":                {q("scheduled", "pending"), other},
		"server":                 {[]string{"asynq:servers:{a:1:x}", "asynq:workers:{a:1:x}"}, tells},
		"a queue of an odd name": {[]string{queueKey("x:lease", "pending")}, other},
		"none":                   {nil, other},
	} {
		if got := roleOf(tt.keys); got != tt.want {
			t.Errorf("%s: got %v; want %v", name, got, tt.want)
		}
	}
}

// A Redis that is full answers to who asks for a job, with an error: he waits as well.
func TestFullPauses(t *testing.T) {
	t.Parallel()
	r, _ := mini(t)
	var asked atomic.Int64
	r.AddHook(&stand{one: func(cmd redis.Cmder) bool {
		if !isScript(cmd, dequeues) {
			return false
		}
		asked.Add(1)
		cmd.SetErr(reply("OOM command not allowed when used memory > 'maxmemory'."))
		return true
	}})
	run(t, serverOn(t, r, quick("parcels")))
	eventually(t, func() error {
		if asked.Load() == 0 {
			return errors.New("nobody has asked")
		}
		return nil
	})
	was, began := asked.Load(), time.Now()
	time.Sleep(500 * time.Millisecond) // what is measured
	if n, most := asked.Load()-was, int64(time.Since(began)/dequeuePause)+1; n > most {
		t.Errorf("it was asked %d times in half a second; want %d at most", n, most)
	}
}

// Whatever asynq's server does to a job that it runs is known by its keys.
func TestRolesOfServer(t *testing.T) {
	t.Parallel()
	r, _ := mini(t)
	var mu sync.Mutex
	seen := map[role]int{}
	r.AddHook(&stand{one: func(cmd redis.Cmder) bool {
		mu.Lock()
		defer mu.Unlock()
		for _, x := range []role{other, dequeues, settles, givesBack, listsExpired, tells} {
			if !isScript(cmd, x) {
				continue
			}
			seen[x]++
			if text := fmt.Sprint(cmd.Args()[3:]); x == other && strings.Contains(text, "}:active") {
				t.Errorf("a script that nobody knows: %s", text)
			}
		}
		return false
	}})
	cfg := quick("parcels")
	cfg.Stop = 100 * time.Millisecond
	c := clientOn(t, r, patient())
	s := asynq.NewServerFromRedisClient(r, serverOn(t, r, cfg).asynqConfig()) // as it is, without our wire
	must(t, s.Start(asynq.HandlerFunc(func(ctx context.Context, task *asynq.Task) error {
		switch {
		case strings.Contains(string(task.Payload()), "fails"):
			return errors.New("no road")
		case strings.Contains(string(task.Payload()), "lasts"):
			<-ctx.Done()
			return ctx.Err()
		}
		return nil
	})))
	done := sent(t, c, ship, parcel{})
	unique := sent(t, c, ship, parcel{To: "unique"}, Unique(time.Hour))
	kept := sent(t, c, ship, parcel{}, Retain(time.Hour))
	both := sent(t, c, ship, parcel{To: "both"}, Retain(time.Hour), Unique(time.Hour))
	retried := sent(t, c, ship, parcel{To: "fails"})
	given := sent(t, c, ship, parcel{To: "fails"}, MaxAttempts(1))
	back := sent(t, c, ship, parcel{To: "lasts"})
	gone(t, c, "parcels", done.ID)
	gone(t, c, "parcels", unique.ID)
	is(t, c, "parcels", kept.ID, Completed)
	is(t, c, "parcels", both.ID, Completed)
	is(t, c, "parcels", retried.ID, Retry)
	is(t, c, "parcels", given.ID, Archived)
	is(t, c, "parcels", back.ID, Active)
	s.Shutdown()
	is(t, c, "parcels", back.ID, Pending)
	mu.Lock()
	defer mu.Unlock()
	for x, want := range map[role]int{dequeues: 7, settles: 4, givesBack: 3, listsExpired: 1, tells: 1} {
		if seen[x] < want {
			t.Errorf("role %d was seen %d times; want %d at least", x, seen[x], want)
		}
	}
}
