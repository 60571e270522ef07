package pubsub

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"
)

var (
	errSilent  = errors.New("nothing was heard")
	errNotYet  = errors.New("other partitions are wanted")
	errOutrun  = errors.New("the server answers others, and not this connection")
	errDropped = errors.New("the server ended the subscription: its slot has moved")
)

// A receiver listens to partitions on one side: on one connection, and on another one
// as soon as that breaks or falls silent.
type receiver struct {
	h       *Hub
	client  redis.UniversalClient
	sharded bool
	kick    chan struct{} // 1: other partitions are wanted
	outruns int           // connections in a row that were given up as outrun

	mu    sync.Mutex
	parts map[string]*partition // by channel
}

func newReceiver(h *Hub, c redis.UniversalClient, sharded bool) *receiver {
	return &receiver{h: h, client: c, sharded: sharded, kick: make(chan struct{}, 1)}
}

// want says to which partitions the receiver is to listen.
func (r *receiver) want(parts []*partition) {
	set := make(map[string]*partition, len(parts))
	for _, p := range parts {
		set[p.channel] = p
	}
	r.mu.Lock()
	same := len(set) == len(r.parts)
	for ch := range set {
		same = same && r.parts[ch] != nil
	}
	r.parts = set
	r.mu.Unlock()
	if !same {
		select {
		case r.kick <- struct{}{}:
		default:
		}
	}
}

func (r *receiver) wanted() map[string]*partition {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.parts // replaced, never changed
}

// run listens until ctx is done.
func (r *receiver) run(ctx context.Context, wg *sync.WaitGroup) {
	for ctx.Err() == nil {
		err := r.connect(ctx, wg)
		if ctx.Err() != nil {
			return
		}
		r.h.meter.reconnects.Inc()
		r.h.opt.Logger.Debug("subscription ended; it is made anew", "workload", workload, "op", "listen", "err", err)
		if c, ok := r.client.(*redis.ClusterClient); ok {
			c.ReloadState(ctx) // go-redis dials a killed master for up to a minute
		}
		pause(ctx, 20*time.Millisecond+rand.N(60*time.Millisecond))
	}
}

// A connection is one subscription, from dial to death. Whatever go-redis has under
// way on it is left to end by itself when it is given up: its PubSub holds a lock while
// it dials or writes, and a server that hangs would hold up who closes it.
type connection struct {
	r     *receiver
	ended chan error   // 2: by the reader, and by who adjusts
	last  atomic.Int64 // when something came
	over  atomic.Bool  // given up: what still comes counts for nothing
	ping  atomic.Bool  // one is being written
	ps    atomic.Pointer[redis.PubSub]
	have  map[string]bool // subscribed; the reader's alone
	asked map[string]*partition
}

// connect listens on one connection until it is no good.
func (r *receiver) connect(ctx context.Context, wg *sync.WaitGroup) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	h := r.h
	select {
	case <-r.kick: // what is wanted is read below
	default:
	}
	c := &connection{r: r, ended: make(chan error, 2), have: map[string]bool{}, asked: r.wanted()}
	born := h.since()
	c.last.Store(born)
	wg.Go(func() { c.read(ctx) })
	defer c.giveUp(wg)
	tick := time.NewTicker(h.opt.Silence / 20)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case err := <-c.ended:
			return err
		case <-r.kick:
			c.adjust(ctx, wg)
			continue
		case <-tick.C:
		}
		idle := time.Duration(h.since() - c.last.Load())
		limit := h.opt.Silence * 9 / 10 // what is over it is seen a tick later, and that is within Silence
		switch {
		case idle > limit:
			return fmt.Errorf("%w for %v", errSilent, idle.Round(time.Millisecond))
		case time.Duration(h.since()-born) > h.opt.Silence && c.deaf():
			return fmt.Errorf("%w of what is published, though the server answers", errSilent)
		case c.last.Load() != born:
			r.outruns = 0
		case c.outrun(born, patience(h.opt.Silence, r.outruns)):
			r.outruns++
			return errOutrun
		}
		if idle > h.opt.Silence/4 {
			c.pingNow(ctx, wg)
		}
	}
}

// patience is how much longer than others a new connection may take over its first
// word. It grows, since on a busy machine all may take long.
func patience(silence time.Duration, outruns int) time.Duration {
	return silence / 16 << min(outruns, 3)
}

// deaf reports whether a partition on the connection is.
func (c *connection) deaf() bool {
	for _, p := range c.asked {
		if p.deaf.Load() {
			return true
		}
	}
	return false
}

// outrun reports whether a server that has not said a word since the connection was
// begun has answered scripts meanwhile: they go to another one, which was promoted in
// its place, and a hung server takes connections all the same.
func (c *connection) outrun(born int64, patience time.Duration) bool {
	for _, p := range c.asked {
		if time.Duration(p.replied.Load()-born) > patience {
			return true
		}
	}
	return false
}

func (c *connection) giveUp(wg *sync.WaitGroup) {
	c.over.Store(true)
	c.close(wg)
}

func (c *connection) close(wg *sync.WaitGroup) {
	if ps := c.ps.Swap(nil); ps != nil {
		wg.Go(func() { _ = ps.Close() })
	}
}

// read subscribes and receives. It ends with the connection: go-redis would make
// another one by itself, and not tell what was missed.
func (c *connection) read(ctx context.Context) {
	channels := make([]string, 0, len(c.asked))
	for ch := range c.asked {
		channels = append(channels, ch)
	}
	var ps *redis.PubSub
	if c.r.sharded {
		ps = c.r.client.SSubscribe(ctx, channels...)
	} else {
		ps = c.r.client.Subscribe(ctx, channels...)
	}
	c.ps.Store(ps)
	defer ps.Close()
	for !c.over.Load() {
		v, err := ps.Receive(ctx)
		if c.over.Load() {
			return
		}
		if err == nil {
			err = c.heard(v)
		}
		if err != nil {
			c.ended <- err
			return
		}
	}
}

// heard takes what the server sent.
func (c *connection) heard(v any) error {
	h := c.r.h
	c.last.Store(h.since())
	parts := c.r.wanted()
	switch v := v.(type) {
	case *redis.Message:
		if p := parts[v.Channel]; p != nil {
			h.hear(p, v.Payload)
		}
	case *redis.Subscription:
		p := parts[v.Channel]
		switch v.Kind {
		case "subscribe", "ssubscribe":
			if p != nil && !c.have[v.Channel] {
				c.have[v.Channel] = true
				h.up(p)
			}
		case "sunsubscribe", "unsubscribe":
			delete(c.have, v.Channel)
			if p != nil {
				return errDropped
			}
		}
	}
	return nil
}

func (c *connection) pingNow(ctx context.Context, wg *sync.WaitGroup) {
	ps := c.ps.Load()
	if ps == nil || c.ping.Swap(true) {
		return
	}
	wg.Go(func() {
		defer c.ping.Store(false)
		_ = ps.Ping(ctx) // if it fails, silence follows
	})
}

// adjust subscribes to what is wanted now, and unsubscribes from the rest.
func (c *connection) adjust(ctx context.Context, wg *sync.WaitGroup) {
	ps := c.ps.Load()
	if ps == nil { // not there yet: begin again with what is wanted
		select {
		case c.ended <- errNotYet:
		default:
		}
		return
	}
	was, now := c.asked, c.r.wanted()
	c.asked = now
	var more, less []string
	for ch := range now {
		if was[ch] == nil {
			more = append(more, ch)
		}
	}
	for ch := range was {
		if now[ch] == nil {
			less = append(less, ch)
		}
	}
	wg.Go(func() { // an error shows as silence, or ends the reader
		if len(more) > 0 {
			_ = ps.Subscribe(ctx, more...)
		}
		if len(less) > 0 {
			_ = ps.Unsubscribe(ctx, less...)
		}
	})
}
