package pubsub

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/transload/transload/internal/contract"
	"github.com/transload/transload/internal/redistest"
)

// A migration moves the topics under load, in parts, whole, back and there again:
// nothing is lost, nothing doubled, and nobody is told of anything.
func TestMigration(t *testing.T) {
	if testing.Short() {
		t.Skip("needs redis-servers: left out by -short")
	}
	t.Parallel()
	m := contract.Begin(t, 2, contract.Config(t, redistest.Standalone(t, redistest.Options{})), contract.Config(t, redistest.Standalone(t, redistest.Options{})))
	hubs := []*Hub{hubOn(t, m.Members[0], policies()), hubOn(t, m.Members[1], policies())}
	w := serve(t, hubs[0])
	publish(t, hubs[0], "pos:a", "truck", 0)
	c := w.open()
	c.follow("pos:a", "")
	c.wants("subscribed", "snapshot", "truck=0")
	const topics = 8
	var subs []*reader
	for i := range topics {
		subs = append(subs, subscribe(t, hubs[i%2], fmt.Sprint("chat:", i), ""))
	}
	stop := make(chan struct{})
	var wg sync.WaitGroup
	sent := make([]int, topics)
	for i := range topics {
		wg.Go(func() {
			for wait(stop, 4*time.Millisecond) {
				publish(t, hubs[sent[i]%2], fmt.Sprint("chat:", i), "", sent[i])
				sent[i]++
			}
		})
	}
	trucks := 0
	for _, step := range []func(*testing.T){
		m.Shadow,
		func(t *testing.T) { m.Cutover(t, 50) },
		func(t *testing.T) { m.Cutover(t, 100) },
		m.Rollback,
		func(t *testing.T) { m.Cutover(t, 100) },
		m.Finish,
	} {
		step(t)
		trucks++
		publish(t, hubs[1], "pos:a", "truck", trucks)
		c.wants(fmt.Sprint("truck=", trucks))
	}
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
	must(t, hubs[0].Probe(t.Context()))
}
