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

// take waits for something.
func (q *queue[T]) take(ctx context.Context) (v T, ok bool) {
	for {
		select {
		case <-ctx.Done():
			return v, false
		case <-q.ready:
		}
		q.mu.Lock()
		if n := len(q.list); n > 0 {
			v, q.list = q.list[0], q.list[1:]
			q.mu.Unlock()
			if n > 1 {
				q.signal()
			}
			return v, true
		}
		q.mu.Unlock()
	}
}
