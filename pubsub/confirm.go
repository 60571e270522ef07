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
	busy bool
	next *round // those who came while one is under way
}

// A round is one WAIT, for all who joined before it began.
type round struct {
	done chan struct{}
	run  string // of the server, "" if no replica has confirmed
}

// confirmer returns that of a server. There are as many as servers that were primaries
// in this process's time.
func (h *Hub) confirmer(run string) *confirmer {
	h.mu.Lock()
	defer h.mu.Unlock()
	c := h.confirmers[run]
	if c == nil {
		c = &confirmer{}
		h.confirmers[run] = c
	}
	return c
}

// confirmed reports whether a replica has what the server run has numbered before the
// call. A partition leads to the server.
func (c *confirmer) confirmed(ctx context.Context, h *Hub, p *partition, run string, limit time.Duration) bool {
	c.mu.Lock()
	if c.next == nil {
		c.next = &round{done: make(chan struct{})}
	}
	r := c.next
	lead := !c.busy
	if lead {
		c.begin()
	}
	c.mu.Unlock()
	if lead {
		c.lead(context.WithoutCancel(ctx), h, p, r, limit) // others wait for it too; bounded by limit
	}
	select {
	case <-r.done:
		return r.run == run && run != ""
	case <-ctx.Done():
		return false
	}
}

// begin takes those who wait into a round of their own. mu is held.
func (c *confirmer) begin() {
	c.busy = true
	c.next = nil
}

// lead runs a round, and the next one for those who came meanwhile.
func (c *confirmer) lead(ctx context.Context, h *Hub, p *partition, r *round, limit time.Duration) {
	r.run = h.confirmOnce(ctx, p, limit)
	close(r.done)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.busy = false
	if n := c.next; n != nil {
		c.begin()
		go c.lead(ctx, h, p, n, limit) // ends when nobody has come meanwhile
	}
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
