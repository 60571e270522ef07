package queue

import (
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
)

// Jobs whose worker is gone are put back uncounted; what has no lease gets one first;
// an id without a job is dropped; what is lost again and again is archived.
func TestSweep(t *testing.T) {
	r, _ := mini(t)
	sweeps(t, r, "parcels-"+newNonce())
}

func sweeps(t *testing.T, r redis.UniversalClient, queue string) {
	ctx := t.Context()
	cfg := quick(queue)
	cfg.Lost = 2
	c, s := clientOn(t, r, patient()), serverOn(t, r, cfg).sides
	side := s[0]
	lease, active := queueKey(queue, "lease"), queueKey(queue, "active")
	now := time.Now().Unix()
	activate := func(id string, ends int64) {
		r.LRem(ctx, queueKey(queue, "pending"), 0, id)
		r.LPush(ctx, active, id)
		r.HSet(ctx, taskKey(queue, id), "state", "active")
		if ends != 0 {
			r.ZAdd(ctx, lease, redis.Z{Score: float64(ends), Member: id})
		}
	}
	lost := sent(t, c, ship, parcel{To: "lost"}, In(queue), MaxAttempts(1))
	held := sent(t, c, ship, parcel{To: "held"}, In(queue))
	orphan := sent(t, c, ship, parcel{To: "orphan"}, In(queue))
	activate(lost.ID, now-60)
	activate(held.ID, now+30)
	activate(orphan.ID, 0)
	activate("no-job", now-60)
	r.Del(ctx, taskKey(queue, "no-job"))
	sweep := func() {
		t.Helper()
		if err := side.sweep(ctx, queue); err != nil {
			t.Fatal(err)
		}
	}
	sweep()
	if job := is(t, c, queue, lost.ID, Pending); job.Attempts != 0 {
		t.Errorf("got %+v; want no attempt counted", job)
	}
	is(t, c, queue, held.ID, Active)
	is(t, c, queue, orphan.ID, Active)
	if ends := r.ZScore(ctx, lease, orphan.ID).Val(); int64(ends) < now+20 {
		t.Errorf("the orphan's lease ends in %vs; want 30", int64(ends)-now)
	}
	if list := r.LRange(ctx, active, 0, -1).Val(); len(list) != 2 {
		t.Errorf("got %v active; want two", list)
	}
	activate(orphan.ID, now-60) // half a minute later
	sweep()
	is(t, c, queue, orphan.ID, Pending)
	for range cfg.Lost {
		activate(lost.ID, now-60)
		sweep()
	}
	is(t, c, queue, lost.ID, Archived)
	if err := c.Rerun(ctx, queue, lost.ID); err != nil {
		t.Errorf("rerun: %v", err)
	}
}
