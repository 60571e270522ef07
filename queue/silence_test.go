package queue

import (
	"context"
	"errors"
	"io"
	"testing"
	"time"

	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"
)

// A reply is an error that a server answers.
type reply string

func (r reply) Error() string { return string(r) }

// RedisError marks it.
func (r reply) RedisError() {}

// A stand is a hook that does something in the server's stead.
type stand struct {
	one  func(redis.Cmder) bool // whether it has
	many func([]redis.Cmder)    // after the server
}

func (s *stand) DialHook(next redis.DialHook) redis.DialHook { return next }

func (s *stand) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		if s.one != nil && s.one(cmd) {
			return cmd.Err()
		}
		return next(ctx, cmd)
	}
}

func (s *stand) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		err := next(ctx, cmds)
		if s.many != nil {
			s.many(cmds)
			for _, cmd := range cmds {
				err = errors.Join(err, cmd.Err())
			}
		}
		return err
	}
}

// A primary is demoted between a job and the answer to WAIT: it is sent again.
func TestDemotedInWait(t *testing.T) {
	for _, text := range []string{
		"UNBLOCKED force unblock from blocking operation, instance state changed (master -> replica?)",
		"ERR WAIT cannot be used with replica instances. Please also note that …",
	} {
		r, _ := mini(t)
		asked := 0
		r.AddHook(&stand{one: func(cmd redis.Cmder) bool {
			if cmd.Name() != "wait" {
				return false
			}
			if asked++; asked == 1 {
				cmd.SetErr(reply(text))
			} else {
				cmd.(*redis.IntCmd).SetVal(1)
			}
			return true
		}})
		got, err := ship.Enqueue(t.Context(), clientOn(t, r, patient()), parcel{}, Replicated())
		if err != nil || got.State != New || got.Confirmed || asked != 2 {
			t.Errorf("%s: got %+v, %v, after %d times; want it new, and found the second time", text, got, err, asked)
		}
	}
}

// What the Redis that is drained answers is wrapped, and passes all the same.
func TestOldIsLoading(t *testing.T) {
	r, _ := mini(t)
	old, s := mini(t)
	s.SetError("LOADING away")
	c := clientOn(t, r, Options{Budget: 50 * time.Millisecond, Old: old})
	if got, err := ship.Enqueue(t.Context(), c, parcel{}, Key("k")); !errors.Is(err, ErrUnavailable) {
		t.Errorf("got %+v, %v; want ErrUnavailable", got, err)
	}
}

// A primary dies when it has answered half of a batch, and its successor has none of
// it: all of it is sent again, also what was answered.
func TestHalfABatch(t *testing.T) {
	r, s := mini(t)
	c := clientOn(t, r, patient())
	sent(t, c, ship, parcel{}, Replicated()) // the script is known
	died := false
	r.AddHook(&stand{
		one: func(cmd redis.Cmder) bool {
			n, ok := cmd.(*redis.IntCmd)
			if ok = ok && cmd.Name() == "wait"; ok {
				n.SetVal(1)
			}
			return ok
		},
		many: func(cmds []redis.Cmder) {
			if len(cmds) != 4 || died {
				return
			}
			died = true
			s.FlushAll()
			for _, cmd := range cmds[2:] {
				cmd.SetErr(io.EOF)
			}
		},
	})
	got, err := ship.EnqueueAll(t.Context(), c, make([]parcel, 4), Replicated())
	if err != nil || !died {
		t.Fatalf("got %v, died %v", err, died)
	}
	for i, x := range got {
		if n := r.Exists(t.Context(), taskKey("parcels", x.ID)).Val(); n != 1 || x.State != New || !x.Confirmed {
			t.Errorf("job %d: got %+v, there %d times; want it there, and confirmed", i, x, n)
		}
	}
}

// A unique job is sent again when it is done: it leaves no lock.
func TestUniqueIsDone(t *testing.T) {
	r, _ := mini(t)
	c := clientOn(t, r, patient())
	for name, opts := range map[string][]Option{"now": nil, "later": {Delay(time.Hour)}} {
		opts = append(opts, Unique(time.Hour), Retain(time.Minute))
		p := parcel{To: name}
		e, err := ship.entry(p, opts)
		must(t, err)
		again := *e
		must(t, c.relay(t.Context(), e))
		held := again
		must(t, c.relay(t.Context(), &held))
		if got := sent(t, c, ship, p, opts...); got.State != Duplicate || held.state != New {
			t.Errorf("%s: got %v, and %v for what was sent again; want a duplicate and new", name, got.State, held.state)
		}
		must(t, settleJob(t.Context(), r, jobRef{e.queue, e.id}, finish{nonce: e.nonce, retain: "60"}))
		must(t, c.relay(t.Context(), &again))
		if got := sent(t, c, ship, p, opts...); got.State != New || again.state != New {
			t.Errorf("%s: got %v, and %v for what was sent again; want both new", name, got.State, again.state)
		}
	}
}

// Jobs that may be sent again are kept for as long.
func TestKeptForAnother(t *testing.T) {
	r, _ := mini(t)
	o := patient()
	o.Budget = 5 * time.Minute
	c := clientOn(t, r, o)
	for name, x := range map[string]struct {
		opt  Option
		want time.Duration
	}{"an id": {WithID("x"), keyedFor}, "replicated": {Replicated(), 10 * time.Minute}, "plain": {Delay(0), 0}} {
		got := sent(t, c, ship, parcel{}, x.opt)
		task, err := asynq.NewInspectorFromRedisClient(r).GetTaskInfo("parcels", got.ID)
		if err != nil || task.Retention != x.want {
			t.Errorf("%s: got %v, %v; want %v", name, task.Retention, err, x.want)
		}
	}
}
