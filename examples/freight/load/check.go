package load

import (
	"context"
	"maps"
	"slices"
	"time"

	"github.com/transload/transload/examples/freight/store"
)

// Check waits until all jobs have had their effect and all positions have arrived, as
// long as that may take, and says what is not as the users were told. It ends the load.
func (l *Load) Check(ctx context.Context) (v Verdict) {
	l.Stop()
	l.j.Phase("checking")
	defer func() { l.hide(); l.look.Wait() }()
	for _, u := range l.users {
		if !u.signedIn() {
			if err := u.signIn(ctx); err != nil {
				l.j.Wrong("%s cannot sign in: %v", u.email, err)
			}
		}
	}
	missed := l.positions(ctx)
	for until := time.Now().Add(l.o.Settle); ; wait(ctx, 500*time.Millisecond) {
		v = l.compare(ctx)
		v.Missed = missed
		if v.LostJobs == 0 || time.Now().After(until) || ctx.Err() != nil {
			return v
		}
	}
}

// positions waits until every watcher sees every truck where it was last, and so does
// one that has just come. It returns how many of them have not been seen.
func (l *Load) positions(ctx context.Context) (left int) {
	var want map[string]fix
	l.j.enter(func() { want = maps.Clone(l.j.fixes) })
	late := &watcher{u: l.users[0], last: map[string]fix{}}
	newcomer, leave := context.WithCancel(ctx)
	defer leave()
	go late.live(newcomer) // ends with leave
	all := append(slices.Clone(l.watchers), late)
	for until := time.Now().Add(l.o.Settle); ; wait(ctx, 100*time.Millisecond) {
		left = 0
		for _, w := range all {
			left += len(w.missing(want))
		}
		if left == 0 || time.Now().After(until) || ctx.Err() != nil {
			return left
		}
	}
}

// compare compares all loads and messages with the journal.
func (l *Load) compare(ctx context.Context) Verdict {
	v := l.j.verdict()
	sent := map[string]int{} // by recipient, kind and event
	by := map[string]*user{}
	for _, u := range l.users {
		by[u.id] = u
		var got struct{ Messages []store.Message }
		if err := u.get(ctx, "/messages", &got); err != nil {
			v.say("messages of %s: %v", u.id, err)
			continue
		}
		for _, m := range got.Messages {
			sent[u.id+" "+m.Kind+" "+m.Event]++
		}
	}
	for what, n := range sent {
		if n > 1 {
			v.DoubledJobs += int64(n - 1)
			v.say("%s was sent %d times", what, n)
		}
	}
	owed := func(to, kind, event string) {
		if _, ours := by[to]; !ours {
			return // not one of our users: nobody can look
		}
		v.Jobs++
		if sent[to+" "+kind+" "+event] == 0 {
			v.LostJobs++
			v.say("%s was not sent to %s as %s", event, to, kind)
		}
	}
	var bids map[string]bid
	var booked map[string]deal
	var loads []string
	l.j.enter(func() {
		bids, booked, loads = maps.Clone(l.j.bids), maps.Clone(l.j.booked), slices.Sorted(maps.Keys(l.j.loads))
	})
	for event, b := range bids {
		owed(b.shipper, "email", event)
	}
	for load, d := range booked {
		owed(d.driver, "email", "booked:"+load)
		owed(d.driver, "sms", "booked:"+load)
	}
	l.measured(ctx, loads, &v)
	return v
}

// measured looks whether the way of each load was measured, and once.
func (l *Load) measured(ctx context.Context, loads []string, v *Verdict) {
	for n, id := range loads {
		v.Jobs++
		got, ok := l.users[n%len(l.users)].lookAt(ctx, id) // each within his limit
		switch {
		case !ok:
			v.say("load %s is not there", id)
			v.Wrong++
		case got.Measured == 0:
			v.LostJobs++
			v.say("load %s was not measured", id)
		case got.Measured > 1:
			v.DoubledJobs += got.Measured - 1
			v.say("load %s was measured %d times", id, got.Measured)
		}
	}
}
