package pubsub

import (
	"context"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/transload/transload/internal/budget"
)

// A confirmer waits for a replica to have what a server has numbered. WAIT covers what
// was written on the server before its connection wrote last, by whomever and wherever;
// so one WAIT at a time is enough for all who publish meanwhile.
type confirmer struct {
	mu   sync.Mutex
	next *round // of those who come now
}

// A round is one WAIT, for all who joined before it began. One of them does it.
type round struct {
	turn chan struct{} // 1: the round before is over: who takes this does the WAIT
	done chan struct{}
	run  string // of the server, "" if no replica has confirmed
}

func newRound() *round { return &round{turn: make(chan struct{}, 1), done: make(chan struct{})} }

func newConfirmer() *confirmer {
	c := &confirmer{next: newRound()}
	c.next.turn <- struct{}{}
	return c
}

// confirmer returns that of a server. There are as many as servers that were primaries
// in this process's time.
func (h *Hub) confirmer(run string) *confirmer {
	h.mu.Lock()
	defer h.mu.Unlock()
	c := h.confirmers[run]
	if c == nil {
		c = newConfirmer()
		h.confirmers[run] = c
	}
	return c
}

// confirmed reports whether a replica has what the server run has numbered before the
// call. A partition leads to the server.
func (c *confirmer) confirmed(ctx context.Context, h *Hub, p *partition, run string, limit time.Duration) bool {
	c.mu.Lock()
	r := c.next
	c.mu.Unlock()
	select {
	case <-r.turn:
		c.lead(ctx, h, p, r, limit)
	case <-r.done:
	case <-ctx.Done():
		return false
	}
	return r.run == run && run != ""
}

// lead runs a round. Who comes from now on is in the next one, which begins when this
// is over.
func (c *confirmer) lead(ctx context.Context, h *Hub, p *partition, r *round, limit time.Duration) {
	next := newRound()
	c.mu.Lock()
	c.next = next
	c.mu.Unlock()
	defer func() { next.turn <- struct{}{} }()
	defer close(r.done)
	r.run = h.confirmOnce(context.WithoutCancel(ctx), p, limit) // others wait for it too; bounded by limit
}

// confirmOnce writes and waits on one connection. Watch is the one way to it that every
// client has; nothing is ever executed under it. It returns the run id of the server of
// which a replica has confirmed, or "".
func (h *Hub) confirmOnce(ctx context.Context, p *partition, limit time.Duration) (confirmed string) {
	key, on := p.channel+":confirm", h.server(p)
	_, _ = call(ctx, on, budget.New(on.c, h.opt.Budget+limit), func(ctx context.Context) (none struct{}, _ error) {
		return none, on.c.Watch(ctx, func(tx *redis.Tx) error {
			v, err := runOn(ctx, tx, confirmScript, []string{key})
			list, _ := v.([]any)
			if err != nil || len(list) != 2 || list[1] == int64(0) {
				return err
			}
			n, err := tx.Wait(ctx, 1, limit).Result()
			if run, _ := list[0].(string); err == nil && n > 0 {
				confirmed = run
			}
			return err
		}, key)
	})
	return confirmed
}
