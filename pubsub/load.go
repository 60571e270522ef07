package pubsub

import (
	"context"
	"crypto/rand"
	"slices"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/transload/transload/internal/budget"
)

// reloadAfter is the pause after a load that had no answer.
const reloadAfter = 50 * time.Millisecond

// newEpoch names a line.
func newEpoch() string { return rand.Text()[:10] }

// load brings topics that are in doubt to what Redis has, until ctx is done.
func (h *Hub) load(ctx context.Context) {
	for {
		t, ok := h.loads.take(ctx)
		if !ok {
			return
		}
		t.mu.Lock()
		t.queued = false
		before := t.seq
		line := slices.Clone(t.line)
		t.mu.Unlock()
		if t.part.find(t.name) != t {
			continue // nobody follows it any more
		}
		s, err := h.fetchState(ctx, t, line, before)
		if err == nil {
			adopt(s.line, line)
			h.prove(ctx, t.part, s.line)
			h.meter.loads.Inc()
			if t.merge(s, before) {
				h.doubt(t)
			}
			continue
		}
		h.meter.failedLoads.Inc()
		if !pause(ctx, reloadAfter) {
			return
		}
		h.doubt(t)
	}
}

// fetchState reads what Redis keeps of a topic, and has of history what follows a
// place. If the line of that place has ended before it, or is not known any more, what
// follows begins earlier than it seemed.
func (h *Hub) fetchState(ctx context.Context, t *topic, line []span, seq int64) (s state, err error) {
	for after := seq; ; {
		reply, err := h.read(ctx, t.part, t.name, t.policy, after)
		if err != nil {
			return state{}, err
		}
		if s, err = parseState(reply); err != nil || len(line) == 0 {
			return s, err
		}
		from := s.common(line[len(line)-1].epoch, seq)
		if from >= after {
			return s, nil
		}
		after = from
	}
}

// read has load.lua read a topic, and remove what has had its time.
func (h *Hub) read(ctx context.Context, p *partition, topic string, policy *Topic, after int64) (any, error) {
	return h.paged(topic, func(pages int) (any, error) {
		keys := []string{p.key(topic), p.sideKey()}
		if policy.Delivery == Latest {
			keys = append(keys, p.pages(topic, pages)...)
		}
		return h.run(ctx, p, loadScript, keys, kinds[policy.Delivery], newEpoch(), policy.Keep.Milliseconds(), after)
	})
}

// common is up to which number a state agrees with who has a place.
func (s state) common(epoch string, seq int64) int64 {
	switch at := find(s.line, epoch); {
	case at < 0:
		return 0
	case at < len(s.line)-1:
		return min(seq, s.line[at].end)
	}
	return min(seq, s.seq)
}

// prove finds out of which lines it is certain that the next one lacks nothing: those
// of a server that is still the primary of one side, while the next one's is that of
// the other. What went from one to the other was a migration, which loses nothing. If
// a server has gone, it was a failover, or nobody can say any more.
func (h *Hub) prove(ctx context.Context, p *partition, line []span) {
	for i := range len(line) - 1 {
		if line[i].whole {
			continue
		}
		runs := h.primaries(ctx, p)
		a, b := slices.Index(runs, line[i].run), slices.Index(runs, line[i+1].run)
		line[i].whole = a >= 0 && b >= 0 && a != b && line[i].run != ""
	}
}

// A verdict is who the primaries of both sides were at a moment.
type verdict struct {
	at   time.Time
	runs []string
}

type verdicts map[*partition]verdict

// primaries asks both sides for the run ids of the servers that have a partition. With
// one side alone there is nothing to be proven by it. An answer is good for a second,
// since all topics ask at once.
func (h *Hub) primaries(ctx context.Context, p *partition) []string {
	clients := h.moved.sides()
	if clients == nil {
		return nil
	}
	h.mu.Lock()
	v := h.judged[p]
	h.mu.Unlock()
	if time.Since(v.at) < time.Second {
		return v.runs
	}
	v = verdict{at: time.Now()}
	for _, c := range clients {
		run, err := h.whoami(ctx, c, p)
		if err != nil {
			run = ""
		}
		v.runs = append(v.runs, run)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.judged == nil {
		h.judged = verdicts{}
	}
	h.judged[p] = v
	return v.runs
}

// whoami asks one side.
func (h *Hub) whoami(ctx context.Context, c redis.UniversalClient, p *partition) (string, error) {
	v, err := budget.Do(ctx, budget.New(c, h.opt.Budget), func(ctx context.Context) (any, error) { return runOn(ctx, c, whoamiScript, []string{p.channel}) })
	run, _ := v.(string)
	return run, err
}
