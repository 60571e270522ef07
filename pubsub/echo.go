package pubsub

import (
	"context"
	"time"

	"github.com/redis/go-redis/v9"
)

// maxEchoes bounds the echoes that wait. What does not fit is dropped: an echo is a
// second way, never the only one.
const maxEchoes = 1024

// An echo is a message that was published on one side, for those who can hear the
// other side alone at the moment.
type echo struct {
	part  *partition
	frame string
	run   string // of the server that has published it
}

// sendEcho has a message published on the other side too, where there is one. It is
// known there by its number as what it is: a repetition.
func (h *Hub) sendEcho(p *partition, n numbered) {
	if clients, _ := h.source.Listen(); len(clients) < 2 || n.frame == "" || !h.running.Load() {
		return
	}
	select {
	case h.echo <- echo{p, n.frame, n.run}:
	default:
		h.meter.lostEchoes.Inc()
	}
}

// sendEchoes publishes echoes until ctx is done.
func (h *Hub) sendEchoes(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case e := <-h.echo:
			h.echoAll(ctx, h.moreEchoes(e))
		}
	}
}

// moreEchoes returns an echo and those that wait behind it.
func (h *Hub) moreEchoes(first echo) []echo {
	list := []echo{first}
	for len(list) < maxEchoes/8 {
		select {
		case e := <-h.echo:
			list = append(list, e)
		default:
			return list
		}
	}
	return list
}

// echoAll publishes each echo on the side of which the primary is known to be another
// server. A side that does not answer is known by that, for a second, and left out: it
// would hold up the others'.
func (h *Hub) echoAll(ctx context.Context, list []echo) {
	clients, _ := h.source.Listen()
	if len(clients) < 2 {
		return // the migration has ended meanwhile
	}
	for i, c := range clients {
		ctx, cancel := context.WithTimeout(ctx, min(h.opt.Budget, 250*time.Millisecond))
		_, err := c.Pipelined(ctx, func(pipe redis.Pipeliner) error {
			for _, e := range list {
				runs := h.primaries(ctx, e.part)
				switch {
				case i >= len(runs) || runs[i] == "" || runs[i] == e.run:
				case sharded(c):
					pipe.SPublish(ctx, e.part.channel, e.frame)
				default:
					pipe.Publish(ctx, e.part.channel, e.frame)
				}
			}
			return nil
		})
		cancel()
		if err != nil {
			h.meter.lostEchoes.Add(float64(len(list)))
		}
	}
}
