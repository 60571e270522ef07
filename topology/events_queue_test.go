package topology

import (
	"bytes"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"
)

// TestEventsInOrder: the order is that of emitting, and never are two told at a
// time.
func TestEventsInOrder(t *testing.T) {
	var heard []string
	var busy sync.Mutex
	ev := newEvents(settings{hear: func(e Event) {
		if !busy.TryLock() {
			t.Error("two events at a time")
			return
		}
		defer busy.Unlock()
		heard = append(heard, e.Addr)
	}})
	var want []string
	var emitting sync.Mutex
	var wg sync.WaitGroup
	for _, who := range []string{"a", "b", "c"} {
		wg.Go(func() {
			for range 50 {
				emitting.Lock()
				want = append(want, who)
				ev.emit(Event{Kind: Failed, Addr: who})
				emitting.Unlock()
			}
		})
	}
	wg.Wait()
	ev.close()
	if got := strings.Join(heard, ""); got != strings.Join(want, "") {
		t.Errorf("got %s; want %s", got, strings.Join(want, ""))
	}
	ev.emit(Event{Kind: Failed})
	ev.close()
	if len(heard) != 150 {
		t.Error("told after close")
	}
}

// TestEventsOfASlowListener: nobody waits for it, and what it missed is said.
func TestEventsOfASlowListener(t *testing.T) {
	t.Parallel()
	var log bytes.Buffer
	hold, heard := make(chan struct{}), 0
	ev := newEvents(settings{
		logger: slog.New(slog.NewTextHandler(&log, nil)), side: "source",
		hear: func(Event) { <-hold; heard++ },
	})
	for range 3 * eventsWaiting {
		ev.emit(Event{Kind: ReplicaDown, Addr: "r:1"})
	}
	began := time.Now()
	ev.close() // it hangs: close does not
	if took := time.Since(began); took < eventsWithin || took > 30*time.Second {
		t.Errorf("close took %v; want %v", took, eventsWithin)
	}
	ev.mu.Lock()
	idle := ev.idle
	ev.mu.Unlock()
	close(hold)
	<-idle
	if heard < eventsWaiting || heard > 2*eventsWaiting {
		t.Errorf("heard %d; want the %d that were kept", heard, eventsWaiting)
	}
	for _, want := range []string{`msg="redis: replica_down" op=replica_down addr=r:1 side=source`, "events dropped"} {
		if !strings.Contains(log.String(), want) {
			t.Errorf("the log does not hold %q", want)
		}
	}
}
