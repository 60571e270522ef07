package pubsub

import (
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/transload/transload/internal/redistest"
)

// A pair of plain clients moves there, back and there again under load: nothing is
// lost, nothing doubled, nobody is told of anything, and then the old side goes.
func TestPair(t *testing.T) {
	t.Parallel()
	t.Run("real", func(t *testing.T) {
		a, b := redistest.Standalone(t, redistest.Options{}), redistest.SharedCluster(t)
		movePair(t, func() redis.UniversalClient { return open(t, a) }, func() redis.UniversalClient { return open(t, b) })
	})
	t.Run("mini", func(t *testing.T) {
		_, a := mini(t)
		_, b := mini(t)
		movePair(t, func() redis.UniversalClient { return miniClient(t, a) }, func() redis.UniversalClient { return miniClient(t, b) })
	})
}

func movePair(t *testing.T, a, b func() redis.UniversalClient) {
	named := func(o *Options) { o.Name = "pair-" + newEpoch() }
	var o Options
	named(&o)
	same := func(p *Options) { p.Name = o.Name }
	with := func(p *Options) { same(p); p.Also = b() }
	h, other := hubOn(t, a(), policies(), with), hubOn(t, a(), policies(), with)
	publish(t, h, "pos:unused", "truck", "before") // goes over with the last
	for i := range 100 {
		publish(t, h, "pos:many", fmt.Sprint(i), i)
	}
	late := publish(t, h, "chat:unused", "", "before")
	const topics = 4
	var subs []*reader
	for i := range topics {
		subs = append(subs, subscribe(t, []*Hub{h, other}[i%2], fmt.Sprint("chat:", i), ""))
	}
	stop := make(chan struct{})
	var wg sync.WaitGroup
	sent := make([]int, topics)
	for i := range topics {
		wg.Go(func() {
			for {
				select {
				case <-stop:
					return
				case <-time.After(5 * time.Millisecond):
				}
				publish(t, []*Hub{h, other}[sent[i]%2], fmt.Sprint("chat:", i), "", sent[i])
				sent[i]++
			}
		})
	}
	for i, back := range []bool{false, true, false} {
		time.Sleep(50 * time.Millisecond)
		must(t, []*Hub{h, other}[i%2].Move(t.Context(), back))
		must(t, h.Move(t.Context(), back)) // once more changes nothing
	}
	time.Sleep(100 * time.Millisecond)
	close(stop)
	wg.Wait()
	for i, sub := range subs {
		for n := range sent[i] {
			if got := short(sub.next()); got != fmt.Sprint("=", n) {
				t.Fatalf("topic %d: got %s; want %d", i, got, n)
			}
		}
		sub.quiet()
	}
	t.Logf("%v messages", sent)
	last := hubOn(t, b(), policies(), same) // the old side is not needed any more
	subscribe(t, last, "pos:unused", "").wants("snapshot", `truck="before"`)
	if got := subscribe(t, last, "pos:many", "").snapshot(100); got["99"] != "99" {
		t.Errorf("got %v; want the last of each key", got)
	}
	end := subscribe(t, last, "chat:unused", late.Pos)
	publish(t, h, "chat:unused", "", "after")
	for {
		if e := end.next(); e.Kind == Published { // of the source that is gone nothing can be proven
			if short(e) != `="after"` {
				t.Errorf("got %s", short(e))
			}
			break
		}
	}
	first := hubOn(t, a(), policies(), same) // a process that nobody told
	if _, err := first.Publish(t.Context(), "chat:unused", "", 1); !errors.Is(err, ErrUnavailable) {
		t.Errorf("got %v; want that the old side refuses", err)
	}
}
