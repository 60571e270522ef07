package pubsub

import (
	"context"
	"encoding/json"
	"fmt"
	"sync"
	"time"

	"github.com/transload/transload/internal/budget"
)

// A Kind says what an Event is.
type Kind uint8

const (
	// Published is a message.
	Published Kind = iota + 1
	// Removed says that a key of a topic of last values is there no more.
	Removed
	// Snapshot says that what was known of a topic of last values is to be forgotten:
	// all that there is follows.
	Snapshot
	// Gap says that messages may be missing between the last event and the next.
	Gap
)

// String returns the name.
func (k Kind) String() string {
	return [...]string{"none", "published", "removed", "snapshot", "gap", "invalid"}[min(k, Gap+1)]
}

// An Event is what a subscriber gets.
type Event struct {
	Kind  Kind
	Topic string
	Key   string          // of Published and Removed
	Data  json.RawMessage // of Published
	At    time.Time       // when it was published, on the server's clock
	Pos   string          // Subscribe goes on after it
}

// A Sub is a subscription of Go code. Its methods are for one goroutine, but for Close.
type Sub struct {
	h     *Hub
	f     *follow
	ready chan struct{} // 1: there may be something to fetch
	done  chan struct{}
	once  sync.Once
	items []item
}

// Subscribe follows a topic: from its end, or from the position since, if that is not
// "". It returns once nothing that is published from then on can be missed unnoticed,
// which takes Redis. Run must be running.
//
// A subscriber has no queue of his own, but the topic's: if he is slower than it, he
// gets the newest values alone (Latest), is told of a gap, or gets ErrSlow, as
// Topic.Slow says.
func (h *Hub) Subscribe(ctx context.Context, topic, since string) (*Sub, error) {
	if err := notOurs(topic); err != nil {
		return nil, err
	}
	return h.subscribe(ctx, topic, since)
}

func (h *Hub) subscribe(ctx context.Context, topic, since string) (*Sub, error) {
	s := &Sub{h: h, ready: make(chan struct{}, 1), done: make(chan struct{})}
	f, err := h.follow(ctx, s, topic, since)
	if err != nil {
		return nil, err
	}
	s.f = f
	s.wake(f)
	return s, nil
}

// follow places a sink in a topic, once that is loaded.
func (h *Hub) follow(ctx context.Context, to sink, topic, since string) (*follow, error) {
	if err := budget.Ended(ctx); err != nil {
		return nil, fmt.Errorf("pubsub: subscribe: %w", err)
	}
	policy, err := h.policy(topic)
	if err != nil {
		return nil, err
	}
	f := &follow{t: h.join(topic, policy), to: to}
	select {
	case <-f.t.loaded:
		err = f.place(since)
	case <-ctx.Done():
		err = context.Cause(ctx)
	case <-h.ended:
		err = ErrClosed
	}
	if err != nil {
		f.t.part.release(f.t)
		return nil, err
	}
	return f, nil
}

// unfollow is the end of follow.
func (h *Hub) unfollow(f *follow) {
	f.leave()
	f.t.part.release(f.t)
}

// wake implements sink.
func (s *Sub) wake(*follow) {
	select {
	case s.ready <- struct{}{}:
	default:
	}
}

// batch is how many bytes a Sub fetches at once.
const batch = 64 << 10

// Next waits for the next event. The error is ctx's, ErrSlow, or ErrClosed when the
// subscription or the Hub's Run has ended.
func (s *Sub) Next(ctx context.Context) (Event, error) {
	for len(s.items) == 0 {
		select {
		case <-ctx.Done():
			return Event{}, context.Cause(ctx)
		case <-s.done:
			return Event{}, ErrClosed
		case <-s.h.ended:
			return Event{}, ErrClosed
		case <-s.ready:
		}
		items, more, err := s.f.fetch(batch)
		if err != nil && len(items) == 0 {
			return Event{}, err
		}
		s.items = items
		if more || err != nil {
			s.wake(nil)
		}
	}
	it := s.items[0]
	s.items = s.items[1:]
	if it.m != nil {
		return it.m.event(), nil
	}
	return Event{Kind: it.what, Topic: s.f.t.name, Pos: it.pos}, nil
}

// Close ends the subscription. It may be called twice.
func (s *Sub) Close() error {
	s.once.Do(func() {
		close(s.done)
		s.h.unfollow(s.f)
	})
	return nil
}
