package pubsub

import (
	"context"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
)

// An ear is a receiver that runs.
type ear struct {
	r    *receiver
	stop context.CancelFunc
}

// A place is what has a receiver of its own: a side, and on a Cluster, where a
// connection leads to one server alone, a partition.
type place struct {
	side redis.UniversalClient
	part *partition
}

// listen keeps receivers running for the partitions that are wanted, on every side,
// until ctx is done.
func (h *Hub) listen(ctx context.Context, wg *sync.WaitGroup) {
	ears := map[place]ear{}
	tick := time.NewTicker(linger / 2)
	defer tick.Stop()
	for {
		clients, changed := h.source.Listen()
		if h.moved.note(clients) { // while the other side can still say that nothing was lost
			for _, p := range h.parts {
				h.doubtAll(p)
			}
		}
		want := h.places(clients)
		for at, e := range ears {
			if want[at] == nil {
				e.stop()
				delete(ears, at)
			}
		}
		for at, parts := range want {
			e, ok := ears[at]
			if !ok {
				e = h.startEar(ctx, wg, at)
				ears[at] = e
			}
			e.r.want(parts)
		}
		select {
		case <-ctx.Done():
			return
		case <-changed:
		case <-h.change:
		case <-tick.C:
		}
	}
}

func (h *Hub) startEar(ctx context.Context, wg *sync.WaitGroup, at place) ear {
	ctx, stop := context.WithCancel(ctx)
	r := newReceiver(h, at.side, at.part != nil)
	wg.Go(func() { r.run(ctx, wg) })
	return ear{r, stop}
}

// places returns where to listen, and to which partitions there.
func (h *Hub) places(clients []redis.UniversalClient) map[place][]*partition {
	var wanted []*partition
	for _, p := range h.parts {
		if p.wanted() {
			wanted = append(wanted, p)
		} else {
			p.up.Store(false)
		}
	}
	list := map[place][]*partition{}
	for _, c := range clients {
		if !sharded(c) {
			if len(wanted) > 0 {
				list[place{side: c}] = wanted
			}
			continue
		}
		for _, p := range wanted {
			list[place{c, p}] = []*partition{p}
		}
	}
	return list
}
