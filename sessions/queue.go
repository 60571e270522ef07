package sessions

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// queueLimit bounds the revocations that wait for Redis: an outage of an hour with
	// three logouts a second.
	queueLimit = 10_000

	// queueEach is how often Redis is asked for whether it takes them now.
	queueEach = 500 * time.Millisecond

	// errandWithin bounds one of them.
	errandWithin = 30 * time.Second
)

// An errand is a revocation that Redis has not heard of yet: of an id, or of the
// sessions that a user had at a time.
type errand struct {
	id     hash
	alone  bool      // not those that have replaced it
	after  time.Time // until then the id is in its grace
	user   string
	at     time.Time
	spared map[hash]bool
}

// name tells errands apart: the same one waits once.
func (e errand) name() string {
	if e.user != "" {
		return "u" + e.user
	}
	return string(e.id[:])
}

// A queue keeps the errands of this process, denies what they revoke meanwhile, and
// runs them when Redis is back. What runs them ends when there is none left.
type queue struct {
	m       *Manager
	n       atomic.Int64 // len(waiting), for those who only look whether there is any
	mu      sync.Mutex
	waiting map[string]errand
	running bool
	closed  bool
	stop    chan struct{}
	wg      sync.WaitGroup
}

func newQueue(m *Manager) *queue {
	return &queue{m: m, waiting: map[string]errand{}, stop: make(chan struct{})}
}

// add queues an errand. A full queue drops it: the caller has told of the error.
func (q *queue) add(ctx context.Context, e errand) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed || len(q.waiting) >= queueLimit {
		q.m.opt.Logger.Warn("a revocation is dropped: too many wait for Redis", "workload", workload, "op", "revoke")
		return
	}
	if _, waits := q.waiting[e.name()]; waits && !e.after.IsZero() {
		return // one that does more, and sooner
	}
	q.waiting[e.name()] = e
	q.n.Store(int64(len(q.waiting)))
	if !q.running {
		q.running = true
		ctx := context.WithoutCancel(ctx) // the request that asked for it ends; run is bounded by Close
		q.wg.Go(func() { q.run(ctx) })
	}
}

// denies reports whether a session is to be revoked.
func (q *queue) denies(id hash, r *record) bool {
	if q.n.Load() == 0 {
		return false
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	if e, ok := q.waiting[string(id[:])]; ok && !time.Now().Before(e.after) {
		return true
	}
	e, ok := q.waiting["u"+r.user]
	return ok && r.user != "" && !e.spared[id] && r.created <= e.at.UnixMilli()
}

func (q *queue) run(ctx context.Context) {
	tick := time.NewTicker(queueEach)
	defer tick.Stop()
	for !q.idle() {
		select {
		case <-tick.C:
		case <-q.stop:
			return
		}
		for _, e := range q.list() {
			if !q.do(ctx, e) {
				break // the others would fare no better
			}
		}
	}
}

// idle reports whether nothing waits, and then run ends.
func (q *queue) idle() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.running = len(q.waiting) > 0
	return !q.running
}

// list returns what is due.
func (q *queue) list() (all []errand) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, e := range q.waiting {
		if !time.Now().Before(e.after) {
			all = append(all, e)
		}
	}
	return all
}

// do runs an errand, and takes it off the queue if it is done.
func (q *queue) do(ctx context.Context, e errand) bool {
	ctx, cancel := context.WithTimeout(ctx, errandWithin)
	defer cancel()
	if q.m.perform(ctx, e) != nil {
		return false
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	if now := q.waiting[e.name()]; now.at.Equal(e.at) && now.after.Equal(e.after) {
		delete(q.waiting, e.name())
		q.n.Store(int64(len(q.waiting)))
	}
	return true
}

// perform does what an errand asks. Of a user's sessions it ends those that were
// there when it was asked for: he may have logged in since.
func (m *Manager) perform(ctx context.Context, e errand) error {
	if e.user != "" {
		_, err := m.endAll(ctx, e.user, e.spared, e.at)
		return err
	}
	limit := chain
	if e.alone {
		limit = 1
	}
	_, err := m.endChain(ctx, e.id, true, limit, nil)
	return err
}

// Close ends what the Manager has running. Revocations that Redis has not heard of
// are lost with it; the error says how many. It may be called twice.
func (m *Manager) Close() error {
	q := m.queue
	q.mu.Lock()
	if !q.closed {
		q.closed = true
		close(q.stop)
	}
	n := len(q.waiting)
	q.mu.Unlock()
	q.wg.Wait()
	if n > 0 {
		return fmt.Errorf("%w: close: revocations that Redis has not heard of: %d", ErrUnavailable, n)
	}
	return nil
}
