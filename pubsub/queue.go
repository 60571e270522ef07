package pubsub

import (
	"context"
	"sync"
)

// A queue hands on what is put into it, without a bound: whoever puts sees to it that
// nothing is in it twice.
type queue[T any] struct {
	mu    sync.Mutex
	list  []T
	ready chan struct{} // 1: there may be something
}

func newQueue[T any]() *queue[T] { return &queue[T]{ready: make(chan struct{}, 1)} }

func (q *queue[T]) put(v T) {
	q.mu.Lock()
	q.list = append(q.list, v)
	q.mu.Unlock()
	q.signal()
}

func (q *queue[T]) signal() {
	select {
	case q.ready <- struct{}{}:
	default:
	}
}

// take waits for something, and returns it and up to so many in all of those behind it
// that go with it; nothing when ctx is done.
func (q *queue[T]) take(ctx context.Context, most int, together func(a, b T) bool) []T {
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-q.ready:
		}
		if list := q.cut(most, together); len(list) > 0 {
			return list
		}
	}
}

func (q *queue[T]) cut(most int, together func(a, b T) bool) (list []T) {
	q.mu.Lock()
	defer q.mu.Unlock()
	var rest []T
	for _, v := range q.list {
		if len(list) == 0 || len(list) < most && together(list[0], v) {
			list = append(list, v)
		} else {
			rest = append(rest, v)
		}
	}
	if q.list = rest; len(rest) > 0 {
		q.signal()
	}
	return list
}
