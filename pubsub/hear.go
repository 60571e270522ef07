package pubsub

import (
	"context"
	"math/rand/v2"
	"strings"
	"sync"
	"time"
)

// reorder is how long a message may be ahead of those before it, where there are two
// connections by which they may come, before these count as missed.
const reorder = 30 * time.Millisecond

// up says that a partition is subscribed to anew on some side: what was published
// meanwhile was missed there.
func (h *Hub) up(p *partition) {
	p.up.Store(true)
	h.doubtAll(p)
}

func (h *Hub) doubtAll(p *partition) {
	for _, t := range p.all() {
		h.doubt(t)
	}
}

// hear takes a frame. Any frame proves that what is published in a partition is heard.
func (h *Hub) hear(p *partition, frame string) {
	if strings.HasPrefix(frame, "p ") {
		h.heardFrom(p)
		return
	}
	m, err := parseMessage(frame)
	if err != nil {
		h.meter.foreign.Inc()
		return
	}
	h.heardFrom(p)
	t := p.find(m.topic)
	if t == nil {
		return
	}
	f := t.arrive(m)
	h.meter.fates[f].Inc()
	switch f {
	case tooSoon:
		h.miss(t)
	case taken:
		h.meter.delay.Observe(max(time.Since(time.UnixMilli(m.at)).Seconds(), 0))
	}
}

func (h *Hub) heardFrom(p *partition) {
	p.heard.Store(h.since())
	if p.deaf.Swap(false) {
		h.opt.Logger.Info("partition is heard again", "workload", workload, "op", "listen", "partition", p.channel)
		h.doubtAll(p)
	}
}

// miss has a topic loaded of which a message came too soon, unless what is before it
// may still come by itself.
func (h *Hub) miss(t *topic) {
	t.mu.Lock()
	defer t.mu.Unlock()
	clients, _ := h.source.Listen()
	if len(t.early) == 0 || t.loading {
		return // it has come meanwhile, or is about to: merge looks at what is left
	}
	if len(clients) < 2 || find(t.line, t.early[len(t.early)-1].epoch) < 0 {
		h.reload(t)
		return
	}
	if t.late == nil {
		t.late = time.AfterFunc(reorder, func() {
			t.mu.Lock()
			defer t.mu.Unlock()
			t.late = nil
			if len(t.early) > 0 {
				h.reload(t)
			}
		})
	}
}

// watch proves once in a while that each partition is heard, and notes when it is not,
// until ctx is done.
func (h *Hub) watch(ctx context.Context, wg *sync.WaitGroup) {
	tick := time.NewTicker(h.opt.Silence / 20)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		for _, p := range h.parts {
			if p.wanted() {
				h.check(ctx, wg, p)
			}
		}
	}
}

func (h *Hub) check(ctx context.Context, wg *sync.WaitGroup, p *partition) {
	age := time.Duration(h.since() - p.heard.Load())
	if age > h.opt.Silence/4+rand.N(h.opt.Silence/8) && !p.probing.Swap(true) {
		wg.Go(func() {
			defer p.probing.Store(false)
			if _, err := h.run(ctx, p, sendScript, []string{p.channel, p.sideKey()}, p.channel, "p "+h.id); err != nil {
				h.meter.lostProbes.Inc()
			}
		})
	}
	if age <= h.opt.Silence*9/10 || p.deaf.Swap(true) { // what is over it is seen a tick later, and that is within Silence
		return
	}
	h.opt.Logger.Warn("nothing is heard: subscribers are told so until it is", "workload", workload, "op", "listen", "partition", p.channel, "age", age)
	h.meter.silences.Inc()
	for _, t := range p.all() {
		t.doubt()
	}
	h.tellTrouble()
	if !p.up.Load() {
		h.doubtAll(p) // who subscribes meanwhile gets what there is, if it can be read
	}
}
