package ratelimit

import (
	"fmt"
	"testing"
	"time"
)

// TestKeyFlood: subjects without number fill no memory, do not drive out those that
// are in use, and are denied in an outage when there is no room for them.
func TestKeyFlood(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, k *kit) {
		const room = 128
		l := k.limiter([]Policy{{Name: "daily", Limit: 100, Per: 24 * time.Hour}}, WithMemory(room))
		k.fleet(l)
		k.granted(l, "customer", 90)
		for i := range 10 * room {
			if !k.take(l, fmt.Sprint("flood ", i)).Allowed {
				t.Fatal("Redis answers: want everybody limited as ever")
			}
			if i%room == 0 {
				time.Sleep(10 * time.Second)
				k.take(l, "customer", Cost(1))
				must(t, l.Refund(t.Context(), "customer"))
			}
		}
		if n := l.memory.subjects(); n > room {
			t.Errorf("%d subjects are remembered; want %d at most", n, room)
		}
		k.mode.Store(down)
		if n := k.granted(l, "customer", 20); n != 8 {
			t.Errorf("the customer was granted %d; want 0.8 of the 10 that were left", n)
		}
		denied := 0
		for i := range 10 * room {
			if !k.take(l, fmt.Sprint("new ", i)).Allowed {
				denied++
			}
		}
		if denied < 8*room || l.memory.subjects() > room {
			t.Errorf("%d of %d unknown ones were denied, and %d are remembered; want most, and %d", denied, 10*room, l.memory.subjects(), room)
		}
		if len(l.memory.debtors()) > room+1 {
			t.Errorf("%d debts are kept; want %d at most", len(l.memory.debtors()), room)
		}
	})
}

// TestOldSubjectsMakeRoom for new ones.
func TestOldSubjectsMakeRoom(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, k *kit) {
		l := k.limiter(perMinute(100), WithMemory(64))
		for i := range 1000 {
			k.take(l, fmt.Sprint("subject ", i))
			if i%50 == 0 {
				time.Sleep(time.Minute)
			}
		}
		before := l.memory.full.Load()
		time.Sleep(time.Minute)
		for i := range 20 {
			k.take(l, fmt.Sprint("later ", i))
			time.Sleep(time.Minute)
		}
		if n := l.memory.full.Load() - before; n != 0 {
			t.Errorf("%d found no room; want that those whose windows are over make it", n)
		}
	})
}

// TestKeysAreBoundedAndTellNothing of the subject.
func TestKeysAreBoundedAndTellNothing(t *testing.T) {
	bubble(t, func(t *testing.T, k *kit) {
		l := k.limiter(perMinute(5), WithNamespace("api"))
		k.take(l, fmt.Sprintf("secret{%01000000d}", 7), ReqID(fmt.Sprintf("%01000000d", 7)))
		for _, key := range k.mini.Keys() {
			if len(key) > 80 {
				t.Errorf("got a key of %d bytes; want 80 at most", len(key))
			}
		}
	})
}
