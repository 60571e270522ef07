package pubsub

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/redis/go-redis/v9"
)

// What a publish changes is small, however many keys a topic has: a migration copies
// that at each.
func TestPages(t *testing.T) {
	t.Parallel()
	_, s := mini(t)
	c := miniClient(t, s)
	h := hubOn(t, c, []Topic{{Delivery: Latest}})
	const keys = 100
	for i := range keys {
		publish(t, h, "a", fmt.Sprint(i), i)
	}
	p := h.partOf("a")
	if n := c.HLen(t.Context(), p.key("a")).Val(); n > 80 {
		t.Errorf("got %d fields in the head; want some 70", n)
	}
	pages := pagesOf(t, c, p, "a")
	if len(pages) != 4 || slices.Max(pages) > 50 {
		t.Errorf("got %d pages of up to %d keys; want 4 of some 25", len(pages), slices.Max(pages))
	}
	if got := subscribe(t, h, "a", "").snapshot(keys); got["99"] != "99" {
		t.Errorf("got %v", got)
	}
	// Somebody deletes the head alone: what is left counts for nothing.
	must(t, c.Del(t.Context(), p.key("a")).Err())
	late := hubOn(t, c, []Topic{{Delivery: Latest}})
	publish(t, h, "a", "new", 1)
	sub := subscribe(t, late, "a", "")
	sub.wants("snapshot", "new=1")
	sub.quiet()
}

// pagesOf returns how many fields each page of a topic has.
func pagesOf(t *testing.T, c redis.UniversalClient, p *partition, topic string) (list []int) {
	t.Helper()
	for _, key := range c.Keys(t.Context(), "*").Val() {
		if strings.HasPrefix(key, p.page(topic, 0)[:len(p.channel)+3]) {
			list = append(list, int(c.HLen(t.Context(), key).Val()))
		}
	}
	return list
}

// Several spread a topic over more pages at once, and publish meanwhile.
func TestPagesTogether(t *testing.T) {
	t.Parallel()
	_, s := mini(t)
	topics := []Topic{{Delivery: Latest}}
	hubs := []*Hub{hubOn(t, miniClient(t, s), topics), hubOn(t, miniClient(t, s), topics), hubOn(t, miniClient(t, s), topics)}
	const each = 30
	var wg sync.WaitGroup
	for i, h := range hubs {
		wg.Go(func() {
			for k := range each {
				publish(t, h, "a", fmt.Sprint(i, "-", k), k)
			}
		})
	}
	wg.Wait()
	got := subscribe(t, hubs[0], "a", "").snapshot(each * len(hubs))
	for i := range hubs {
		if key := fmt.Sprint(i, "-", each-1); got[key] != fmt.Sprint(each-1) {
			t.Errorf("%s: got %q", key, got[key])
		}
	}
}
