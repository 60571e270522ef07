package pubsub

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"
)

// Who is behind by more than is kept is told of the gap, or ended, as the policy says.
func TestSlowSub(t *testing.T) {
	t.Parallel()
	_, s := mini(t)
	h := hubOn(t, miniClient(t, s), []Topic{
		{Prefix: "skip:", Delivery: Recoverable, History: 3},
		{Prefix: "close:", Delivery: Recoverable, History: 3, Slow: SlowClose},
		{Prefix: "bytes:", Delivery: Recoverable, Bytes: 1024},
		{Prefix: "volatile:", Delivery: Volatile, History: 3},
	})
	for _, topic := range []string{"skip:a", "volatile:a"} {
		sub := subscribe(t, h, topic, "")
		for i := range 10 {
			publish(t, h, topic, "", i)
		}
		arrived(t, h, topic, 10)
		sub.wants("gap", "=7", "=8", "=9")
	}
	sub := subscribe(t, h, "close:a", "")
	for i := range 10 {
		publish(t, h, "close:a", "", i)
	}
	arrived(t, h, "close:a", 10)
	if _, err := sub.Next(t.Context()); !errors.Is(err, ErrSlow) {
		t.Errorf("got %v; want ErrSlow", err)
	}
	sub = subscribe(t, h, "bytes:a", "")
	for i := range 10 {
		publish(t, h, "bytes:a", "", string(make([]byte, 50))) // some 400 bytes each
		_ = i
	}
	arrived(t, h, "bytes:a", 10)
	if e := sub.next(); e.Kind != Gap {
		t.Errorf("got %v; want a gap", e.Kind)
	}
	if n := h.partOf("bytes:a").find("bytes:a").ring.bytes; n > 1024 {
		t.Errorf("got %d bytes; want at most 1024", n)
	}
}

// arrived waits until a hub has a topic's n-th message.
func arrived(t testing.TB, h *Hub, topic string, n int64) {
	t.Helper()
	eventually(t, func() error {
		top := h.partOf(topic).find(topic)
		top.mu.Lock()
		defer top.mu.Unlock()
		if top.seq < n {
			return fmt.Errorf("got %d; want %d", top.seq, n)
		}
		return nil
	})
}

// The server's history is bounded as the topic's is.
func TestHistoryBound(t *testing.T) {
	t.Parallel()
	_, s := mini(t)
	c := miniClient(t, s)
	h := hubOn(t, c, []Topic{{Prefix: "n:", Delivery: Recoverable, History: 5}, {Prefix: "b:", Delivery: Recoverable, Bytes: 2048}})
	var first Receipt
	for i := range 80 {
		r := publish(t, h, "n:a", "", i)
		if i == 0 {
			first = r
		}
		publish(t, h, "b:a", "", string(make([]byte, 50)))
	}
	kept := func(topic string) (n, bytes int) {
		for field, v := range c.HGetAll(t.Context(), h.partOf(topic).key(topic)).Val() {
			if strings.HasPrefix(field, "h:") {
				n++
				bytes += len(v)
			}
		}
		return n, bytes
	}
	if n, _ := kept("n:a"); n != 5 {
		t.Errorf("got %d messages; want 5", n)
	}
	if n, bytes := kept("b:a"); bytes > 2048 || n < 3 {
		t.Errorf("got %d messages, %d bytes; want at most 2048", n, bytes)
	}
	if n := c.HLen(t.Context(), h.partOf("n:a").key("n:a")).Val(); n > 5+2*32+6 {
		t.Errorf("got %d fields", n)
	}
	if ttl := c.PTTL(t.Context(), h.partOf("n:a").key("n:a")).Val(); ttl <= 0 {
		t.Errorf("got %v to live; want some", ttl)
	}
	subscribe(t, h, "n:a", first.Pos).wants("gap", "=75", "=76", "=77", "=78", "=79")
}

// A topic takes no more keys than it may; those that it has can change.
func TestKeysBound(t *testing.T) {
	t.Parallel()
	_, s := mini(t)
	h := hubOn(t, miniClient(t, s), []Topic{{Delivery: Latest, Keys: 3}})
	for i := range 100 {
		publish(t, h, "a", fmt.Sprint(i%3), i)
	}
	if _, err := h.Publish(t.Context(), "a", "another", 1); !errors.Is(err, ErrFull) {
		t.Errorf("got %v; want ErrFull", err)
	}
	publish(t, h, "a", "1", "new")
	must(t, h.Remove(t.Context(), "a", "1"))
	publish(t, h, "a", "another", 1)
}

// What is sent again counts once, and what nobody can tell any more is said to be so.
func TestPublishTwice(t *testing.T) {
	t.Parallel()
	h, _ := mini(t)
	p, policy := h.partOf("chat:a"), &h.topics[0]
	send := func(id string, waited int) numbered {
		t.Helper()
		args := []any{p.channel, "chat:a", "r", "", "1", id, newEpoch(), policy.Keep.Milliseconds(), 256, 1 << 20, 10, waited, 1}
		v, err := h.run(t.Context(), p, publishScript, []string{p.key("chat:a"), p.sideKey()}, args...)
		must(t, err)
		n, err := parseNumbered(v)
		must(t, err)
		return n
	}
	first := send("id0", 0)
	if n := send("id0", 5); n.status != before || n.seq != first.seq || n.epoch != first.epoch {
		t.Errorf("got %+v; want number %d as before", n, first.seq)
	}
	for i := range 32 {
		send(fmt.Sprint("other", i), 0)
	}
	if n := send("id0", 60_000); n.status != unsure {
		t.Errorf("got %+v; want unsure", n)
	}
	time.Sleep(20 * time.Millisecond)
	if n := send("new", 1); n.status != published {
		t.Errorf("got %+v; want published: none of the others came after it was first sent", n)
	}
}

// What has had its time makes room for other keys, though nobody follows the topic.
func TestKeysMakeRoom(t *testing.T) {
	t.Parallel()
	_, s := mini(t)
	h := hubOn(t, miniClient(t, s), []Topic{{Delivery: Latest, Keys: 2, Keep: time.Second}})
	publish(t, h, "a", "left", 1)
	publish(t, h, "a", "stays", 1)
	if _, err := h.Publish(t.Context(), "a", "another", 1); !errors.Is(err, ErrFull) {
		t.Errorf("got %v; want ErrFull", err)
	}
	eventually(t, func() error {
		publish(t, h, "a", "stays", 2)
		_, err := h.Publish(t.Context(), "a", "another", 1)
		return err
	})
	subscribe(t, h, "a", "").wants("snapshot", "stays=2", "another=1")
}

// Values that were not renewed are gone for who reads them, though others of the
// topic are.
func TestKeepOfKeys(t *testing.T) {
	t.Parallel()
	_, s := mini(t)
	h := hubOn(t, miniClient(t, s), []Topic{{Delivery: Latest, Keep: time.Second}})
	publish(t, h, "a", "old", 1)
	time.Sleep(1100 * time.Millisecond)
	publish(t, h, "a", "new", 2)
	subscribe(t, h, "a", "").wants("snapshot", "new=2")
}
