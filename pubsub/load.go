package pubsub

import (
	"context"
	"crypto/rand"
	"fmt"
	"slices"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/transload/transload/internal/budget"
)

const (
	// reloadAfter is the pause after a load that had no answer.
	reloadAfter = 50 * time.Millisecond

	// After an outage all topics are to be loaded at once. So many go in one script, and
	// none more once it has read so many bytes: a round trip for each would have taken
	// seconds on a busy machine, and one for all would hold up the server.
	loadMost  = 64
	loadBytes = 256 << 10
)

// newEpoch names a line.
func newEpoch() string { return rand.Text()[:10] }

// load brings topics that are in doubt to what Redis has, until ctx is done.
func (h *Hub) load(ctx context.Context) {
	for {
		list := h.loads.take(ctx, loadMost, func(a, b *topic) bool { return a.part == b.part })
		if len(list) == 0 {
			return
		}
		failed := h.loadAll(ctx, list)
		h.meter.failedLoads.Add(float64(len(failed)))
		if len(failed) > 0 && !pause(ctx, reloadAfter) {
			return
		}
		for _, l := range failed {
			h.doubt(l.t)
		}
	}
}

// A loading is a topic that is being loaded, and its place before.
type loading struct {
	t    *topic
	line []span
	seq  int64
}

// beginLoad takes a topic off the queue.
func (t *topic) beginLoad() loading {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.queued, t.loading = false, true
	return loading{t, slices.Clone(t.line), t.seq}
}

// loadAll loads topics of one partition, and returns those that had no answer.
func (h *Hub) loadAll(ctx context.Context, list []*topic) (failed []loading) {
	var all []loading
	for _, t := range list {
		if l := t.beginLoad(); t.part.find(t.name) == t { // else nobody follows it any more
			all = append(all, l)
		}
	}
	if len(all) == 0 {
		return nil
	}
	replies, err := h.readAll(ctx, list[0].part, all)
	if err != nil {
		return all
	}
	for i, l := range all {
		if i >= len(replies) { // those before it were large
			h.doubt(l.t)
			continue
		}
		if h.loadOne(ctx, l, replies[i]) != nil {
			failed = append(failed, l)
		}
	}
	return failed
}

// loadOne brings a topic to what was read of it.
func (h *Hub) loadOne(ctx context.Context, l loading, reply any) error {
	s, err := h.stateOf(ctx, l, reply)
	if err != nil {
		return err
	}
	adopt(s.line, l.line)
	h.prove(ctx, l.t.part, s.line)
	h.meter.loads.Inc()
	if l.t.merge(s, l.seq) {
		h.doubt(l.t)
	}
	return nil
}

// stateOf is what Redis keeps of a topic, and has of history what follows its place. If
// the line of that place has ended before it, or is not known any more, what follows
// begins earlier than it seemed, and is read again.
func (h *Hub) stateOf(ctx context.Context, l loading, reply any) (s state, err error) {
	for after := l.seq; ; {
		if _, why := reply.(string); why { // it could not be read together with others
			reply, err = h.read(ctx, l.t.part, l.t.name, l.t.policy, after)
		}
		if err != nil {
			return state{}, err
		}
		if s, err = parseState(reply); err != nil || len(l.line) == 0 {
			return s, err
		}
		from := s.common(l.line[len(l.line)-1].epoch, l.seq)
		if from >= after {
			return s, nil
		}
		after, reply = from, ""
	}
}

// readAll has load.lua read topics of a partition: the first, and of the others as many
// as are not too much together.
func (h *Hub) readAll(ctx context.Context, p *partition, all []loading) ([]any, error) {
	if t := all[0].t; len(all) == 1 {
		reply, err := h.read(ctx, p, t.name, t.policy, all[0].seq)
		return []any{reply}, err
	}
	var keys []string
	args := []any{loadBytes}
	for i, l := range all {
		pages := h.book.of(l.t.name)
		keys, args = appendRead(keys, args, p, l.t.name, l.t.policy, l.seq, pages)
		if i == 0 {
			keys = slices.Insert(keys, 1, p.sideKey())
		}
	}
	v, err := h.run(ctx, p, loadScript, keys, args...)
	replies, _ := v.([]any)
	if err == nil && len(replies) == 0 {
		err = fmt.Errorf("%w: what topics keep", errFrame)
	}
	return replies, err
}

// read has load.lua read a topic, and remove what has had its time.
func (h *Hub) read(ctx context.Context, p *partition, topic string, policy *Topic, after int64) (any, error) {
	v, err := h.paged(topic, func(pages int) (any, error) {
		keys, args := appendRead(nil, []any{0}, p, topic, policy, after, pages)
		return h.run(ctx, p, loadScript, slices.Insert(keys, 1, p.sideKey()), args...)
	})
	if list, ok := v.([]any); ok && len(list) == 1 {
		return list[0], err
	}
	return nil, err
}

// appendRead appends what load.lua needs to read a topic.
func appendRead(keys []string, args []any, p *partition, topic string, policy *Topic, after int64, pages int) ([]string, []any) {
	if policy.Delivery != Latest {
		pages = 0
	}
	keys = append(append(keys, p.key(topic)), p.pages(topic, pages)...)
	return keys, append(args, kinds[policy.Delivery], newEpoch(), policy.Keep.Milliseconds(), after, pages)
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
