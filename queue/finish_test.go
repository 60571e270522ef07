package queue

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
)

// A job is finished while Redis does not answer to its acknowledgement: it is
// acknowledged when Redis does, and not run again.
func TestGate(t *testing.T) {
	t.Parallel()
	for name, opts := range map[string][]Option{"deleted": nil, "retained": {Retain(time.Hour)}, "unique": {Unique(time.Hour)}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r, _ := mini(t)
			b := &breach{}
			r.AddHook(b)
			c, s := clientOn(t, r, patient()), serverOn(t, r, quick("parcels"))
			runs := newTally()
			handled(t, s, ship, func(_ context.Context, p parcel, _ Meta) error { runs.add(p.To); return nil })
			run(t, s)
			b.set(&b.before, isAck)
			job := sent(t, c, ship, parcel{To: "Kyiv"}, opts...)
			eventually(t, func() error {
				if n := b.lost.Load(); n < 4 {
					return fmt.Errorf("%d acknowledgements were lost; want 4", n)
				}
				return nil
			})
			b.set(&b.before, func(redis.Cmder) bool { return false })
			settled(t, c, job, name == "retained")
			if n := runs.of("Kyiv"); n != 1 {
				t.Errorf("it was run %d times; want once", n)
			}
		})
	}
}

// settled waits until a job is done, and sees that its queue is clean.
func settled(t *testing.T, c *Client, job Receipt, retained bool) {
	t.Helper()
	if retained {
		is(t, c, "parcels", job.ID, Completed)
	} else {
		gone(t, c, "parcels", job.ID)
	}
	info := only(t, c)
	if info.Active != 0 || info.Processed != 1 || info.Failed != 0 {
		t.Errorf("got %+v; want one job processed", info)
	}
	if n := c.redis.ZCard(t.Context(), queueKey("parcels", "lease")).Val(); n != 0 {
		t.Errorf("got %d leases; want none", n)
	}
	if keys := c.redis.Keys(t.Context(), "*unique*").Val(); len(keys) != 0 {
		t.Errorf("got the locks %v; want none", keys)
	}
}

func only(t *testing.T, c *Client) Info {
	t.Helper()
	infos, err := c.Queues(t.Context())
	if err != nil || len(infos) != 1 {
		t.Fatalf("got %+v, %v; want one queue", infos, err)
	}
	return infos[0]
}

// An acknowledgement is carried out and its reply lost. It is sent again, and finds
// nothing.
func TestAcknowledgedTwice(t *testing.T) {
	t.Parallel()
	for name, opts := range map[string][]Option{"deleted": nil, "retained": {Retain(time.Hour)}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r, _ := mini(t)
			acknowledgedTwice(t, r, name == "retained", opts...)
		})
	}
}

func acknowledgedTwice(t *testing.T, r *redis.Client, retained bool, opts ...Option) {
	b := &breach{}
	r.AddHook(b)
	c, s := clientOn(t, r, patient()), serverOn(t, r, quick("parcels"))
	handled(t, s, ship, func(context.Context, parcel, Meta) error { return nil })
	b.set(&b.after, func(cmd redis.Cmder) bool { return isAck(cmd) && b.lost.Load() < 2 })
	run(t, s)
	settled(t, c, sent(t, c, ship, parcel{To: "Kyiv"}, opts...), retained)
	eventually(t, func() error {
		if n := s.sides[0].finished.size(); n != 0 {
			return fmt.Errorf("%d jobs are kept as not settled", n)
		}
		return nil
	})
}

// takenBack puts an active job back as a failover does whose replica had not heard of
// the dequeue.
func takenBack(t *testing.T, r redis.UniversalClient, id string) {
	t.Helper()
	ctx := t.Context()
	r.LRem(ctx, queueKey("parcels", "active"), 0, id)
	r.ZRem(ctx, queueKey("parcels", "lease"), id)
	r.HSet(ctx, taskKey("parcels", id), "state", "pending")
	if err := r.RPush(ctx, queueKey("parcels", "pending"), id).Err(); err != nil {
		t.Fatal(err)
	}
}

// A failover takes a dequeue back while the handler runs. The job is finished all the
// same, and not run again if it was not begun again meanwhile.
func TestFinishedThoughTakenBack(t *testing.T) {
	t.Parallel()
	r, _ := mini(t)
	cfg := quick("parcels")
	cfg.Concurrency = 1 // nobody takes it meanwhile
	c, s := clientOn(t, r, patient()), serverOn(t, r, cfg)
	runs := newTally()
	begun, end := make(chan struct{}, 2), make(chan struct{})
	handled(t, s, ship, func(_ context.Context, p parcel, _ Meta) error {
		runs.add(p.To)
		begun <- struct{}{}
		<-end
		return nil
	})
	run(t, s)
	job := sent(t, c, ship, parcel{To: "Kyiv"})
	<-begun
	takenBack(t, r, job.ID)
	close(end)
	settled(t, c, job, false)
	if n := runs.of("Kyiv"); n != 1 {
		t.Errorf("it was run %d times; want once", n)
	}
}

// A job is run twice at a time, as a failover may have it. The first run ends well,
// the second fails, and must not bring the job back.
func TestFinishedWins(t *testing.T) {
	t.Parallel()
	r, _ := mini(t)
	c, s := clientOn(t, r, patient()), serverOn(t, r, quick("parcels"))
	begun := make(chan int, 3)
	end := [4]chan struct{}{1: make(chan struct{}), 2: make(chan struct{}), 3: make(chan struct{})}
	runs := newTally()
	handled(t, s, ship, func(_ context.Context, p parcel, _ Meta) error {
		n := runs.add(p.To)
		begun <- n
		<-end[n]
		if n == 2 {
			return errors.New("no")
		}
		return nil
	})
	run(t, s)
	job := sent(t, c, ship, parcel{To: "Kyiv"}, MaxAttempts(1))
	<-begun
	takenBack(t, r, job.ID)
	<-begun
	close(end[1])
	gone(t, c, "parcels", job.ID)
	close(end[2])
	close(end[3])
	eventually(t, func() error {
		if n := s.sides[0].finished.size(); n != 0 {
			return fmt.Errorf("%d jobs are kept as not settled", n)
		}
		return nil
	})
	if info := only(t, c); info.Left()+info.Archived != 0 {
		t.Errorf("got %+v; want nothing left of the job", info)
	}
}

// finish.lua settles a job in every state, once, and never another one of its id.
func TestFinishScript(t *testing.T) {
	r, _ := mini(t)
	finishScripts(t, r, "parcels-"+newNonce())
}

func finishScripts(t *testing.T, r redis.UniversalClient, queue string) {
	ctx := t.Context()
	c := clientOn(t, r, patient())
	states := map[string]func(id string){
		"pending":   func(string) {},
		"scheduled": func(id string) { r.ZAdd(ctx, queueKey(queue, "scheduled"), redis.Z{Score: 1, Member: id}) },
		"retry":     func(id string) { r.ZAdd(ctx, queueKey(queue, "retry"), redis.Z{Score: 1, Member: id}) },
		"archived":  func(id string) { r.ZAdd(ctx, queueKey(queue, "archived"), redis.Z{Score: 1, Member: id}) },
		"active": func(id string) {
			r.LPush(ctx, queueKey(queue, "active"), id)
			r.ZAdd(ctx, queueKey(queue, "lease"), redis.Z{Score: 1, Member: id})
		},
	}
	for state, put := range states {
		for _, retain := range []string{"0", "60"} {
			id := newNonce()
			sent(t, c, ship, parcel{To: state}, In(queue), WithID(id))
			if state != "pending" {
				r.LRem(ctx, queueKey(queue, "pending"), 0, id)
			}
			put(id)
			r.HSet(ctx, taskKey(queue, id), "state", state)
			msg := r.HGet(ctx, taskKey(queue, id), "msg").Val()
			nonce := nonceIn(t, msg)
			try := func(nonce, retain string) {
				if err := settleJob(ctx, r, jobRef{queue, id}, finish{nonce: nonce, retain: retain}); err != nil {
					t.Fatal(err)
				}
			}
			try(newNonce(), retain)
			if got := r.HGet(ctx, taskKey(queue, id), "state").Val(); got != state {
				t.Errorf("%s: another job of this id was settled: it is %q", state, got)
			}
			if state != "active" {
				try("", retain)
				if got := r.HGet(ctx, taskKey(queue, id), "state").Val(); got != state {
					t.Errorf("%s: a job that is not ours was settled: it is %q", state, got)
				}
			}
			try(nonce, retain)
			try(nonce, retain) // twice
			for _, part := range []string{"pending", "active"} {
				if list := r.LRange(ctx, queueKey(queue, part), 0, -1).Val(); strings.Contains(strings.Join(list, " "), id) {
					t.Errorf("%s: it is in %s", state, part)
				}
			}
			for _, part := range []string{"lease", "scheduled", "retry", "archived"} {
				if err := r.ZScore(ctx, queueKey(queue, part), id).Err(); !errors.Is(err, redis.Nil) {
					t.Errorf("%s: it is in %s, %v", state, part, err)
				}
			}
			got := r.HGet(ctx, taskKey(queue, id), "state").Val()
			if want := map[string]string{"0": "", "60": "completed"}[retain]; got != want {
				t.Errorf("%s: got state %q; want %q", state, got, want)
			}
		}
	}
	if n := r.Get(ctx, queueKey(queue, "processed")).Val(); n != "10" {
		t.Errorf("got %s processed; want 10", n)
	}
}

// nonceIn finds the nonce in asynq's message: it stands before "/0".
func nonceIn(t *testing.T, msg string) string {
	t.Helper()
	at := strings.Index(msg, header)
	slash := strings.LastIndex(msg, "/")
	if at < 0 || slash < 32 {
		t.Fatalf("no header in %q", msg)
	}
	return msg[slash-32 : slash]
}

// An outage outlasts the lease: asynq gives the job up, and it is settled all the
// same when Redis answers.
func TestLeaseEndsInOutage(t *testing.T) {
	t.Parallel()
	r, _ := mini(t)
	b := &breach{}
	r.AddHook(b)
	c, s := clientOn(t, r, patient()), serverOn(t, r, quick("parcels"))
	side := s.sides[0]
	run(t, s)
	job := sent(t, c, ship, parcel{To: "Kyiv"}, Delay(time.Hour))
	nonce := nonceIn(t, r.HGet(t.Context(), taskKey("parcels", job.ID), "msg").Val())
	b.set(&b.before, func(cmd redis.Cmder) bool { return cmd.Name() == "evalsha" || cmd.Name() == "eval" })
	ref := jobRef{"parcels", job.ID}
	side.finished.add(ref, finish{nonce: nonce, retain: "0"}) // the handler has ended, and asynq says nothing more
	eventually(t, func() error {
		if b.lost.Load() < 3 {
			return errors.New("it was not tried three times")
		}
		return nil
	})
	if !side.finished.has(ref, nonce) {
		t.Fatal("it was forgotten")
	}
	b.set(&b.before, func(redis.Cmder) bool { return false })
	gone(t, c, "parcels", job.ID)
}

// A server that stops while Redis is away says what Redis does not know.
func TestStopInOutage(t *testing.T) {
	t.Parallel()
	r, s := mini(t)
	x := newSide(serverOn(t, r, quick("parcels")), r)
	x.finished.add(jobRef{"parcels", "some-job"}, finish{})
	s.SetError("LOADING it is away")
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	if err := x.end(ctx); !errors.Is(err, ErrUnavailable) || !strings.Contains(err.Error(), "some-job") {
		t.Errorf("got %v; want ErrUnavailable, and the job's id", err)
	}
}
