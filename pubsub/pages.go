package pubsub

import (
	"context"
	"crypto/sha1" // spreads keys; a script can count it too
	"encoding/binary"
	"fmt"
	"strconv"
	"sync"

	"github.com/redis/go-redis/v9"
)

const (
	// growth is by how much the pages of last values become more when there are over 64
	// keys to a page; open.lua says what pages are for.
	growth = 4

	// maxBooked bounds the topics of which it is remembered how many pages they have.
	maxBooked = 10_000
)

// A book knows over how many pages the last values of topics are spread, where that is
// not one. It may know nothing, or what was: scripts say so.
type book struct {
	mu    sync.Mutex
	pages map[string]int // by topic
}

func (b *book) of(topic string) int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return max(b.pages[topic], 1)
}

func (b *book) note(topic string, pages int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.pages == nil || len(b.pages) >= maxBooked {
		b.pages = map[string]int{}
	}
	b.pages[topic] = pages
}

// pageOf is the page of a key.
func pageOf(key string, pages int) int {
	sum := sha1.Sum([]byte(key))
	return int(binary.BigEndian.Uint16(sum[:])) % pages
}

// page is a key of Redis.
func (p *partition) page(topic string, i int) string {
	return p.channel + ":p:" + strconv.Itoa(i) + ":" + topic
}

// all are the keys of a topic's pages.
func (p *partition) pages(topic string, n int) (keys []string) {
	for i := range n {
		keys = append(keys, p.page(topic, i))
	}
	return keys
}

// paged calls f with the number of a topic's pages, as often as they were others.
func (h *Hub) paged(topic string, f func(pages int) (any, error)) (v any, err error) {
	for range 4 { // one to be told, and as many if they become more meanwhile
		v, err = f(h.book.of(topic))
		if !redis.HasErrorPrefix(err, "PAGES") {
			return v, err
		}
		n, bad := strconv.Atoi(moveOf(err))
		if bad != nil || n < 1 {
			return nil, fmt.Errorf("%w: a topic of %q pages", errFrame, moveOf(err))
		}
		h.book.note(topic, n)
	}
	return nil, fmt.Errorf("%w: %w", ErrUnavailable, err)
}

// grow spreads a topic's last values over more pages. If it fails, the next publish
// says again that there should be more.
func (h *Hub) grow(ctx context.Context, p *partition, topic string, policy *Topic) {
	from := h.book.of(topic)
	keys := append([]string{p.key(topic), p.sideKey()}, p.pages(topic, from*growth)...)
	if v, err := h.run(ctx, p, growScript, keys, from, newEpoch(), policy.Keep.Milliseconds()); err == nil && v == int64(1) {
		h.book.note(topic, from*growth)
	}
}
