package pubsub

import (
	"cmp"
	"context"
	"crypto/rand"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/redis/go-redis/v9"

	"github.com/transload/transload/internal/budget"
)

// loaders is how many topics are loaded at a time.
const loaders = 16

// A Hub publishes messages, and brings those of the topics that somebody in this
// process follows. It is safe for concurrent use. Make one a process with New; to
// subscribe, its Run must be running.
type Hub struct {
	opt    Options
	topics []Topic    // the longest prefix first
	redis  [2]*server // the second of a plain pair alone
	source sides
	moved  crossing
	parts  []*partition
	id     string // for its probes
	began  time.Time
	meter  *meter
	book   book
	swept  atomic.Int64 // when a full topic was swept last
	loads  *queue[*topic]
	tries  chan struct{} // holds those that publish again
	echo   chan echo

	change  chan struct{} // 1: other partitions are wanted
	running atomic.Bool
	ended   chan struct{} // closed when Run has ended

	mu         sync.Mutex
	handlers   map[*Handler]bool
	judged     verdicts
	confirmers map[string]*confirmer // by run id
}

// New checks the options and makes a Hub on any client: plain in any mode, or
// migrating. It dials nothing, and starts nothing. The client stays the caller's.
func New(c redis.UniversalClient, topics []Topic, o Options) (*Hub, error) {
	o, err := o.withDefaults()
	if err != nil {
		return nil, err
	}
	if budget.Missing(c) {
		return nil, fmt.Errorf("%w: there is no client: give New what topology.Open returned", ErrOption)
	}
	var list []Topic
	for _, t := range topics {
		list = append(list, t.withDefaults())
	}
	if err := validateTopics(list); err != nil {
		return nil, err
	}
	for _, t := range slices.Concat(probes, []Topic{kicks}) {
		list = append(list, t.withDefaults())
	}
	slices.SortFunc(list, func(a, b Topic) int { return cmp.Compare(len(b.Prefix), len(a.Prefix)) })
	h := &Hub{opt: o, topics: list, redis: newServers(c, o), parts: newPartitions(o.Name, o.Partitions),
		id: rand.Text(), began: time.Now(), loads: newQueue[*topic](), tries: make(chan struct{}, triers*runtime.GOMAXPROCS(0)), echo: make(chan echo, maxEchoes),
		change: make(chan struct{}, 1), ended: make(chan struct{}), handlers: map[*Handler]bool{}, confirmers: map[string]*confirmer{}}
	if h.source, err = newSides(c, o.Also); err != nil {
		return nil, err
	}
	h.meter = newMeter(h)
	if !h.redis[0].budget.Heeded() {
		o.Logger.Warn("the client's reads do not end with a context's deadline: calls that are over budget are left to its own time-outs; set ContextTimeoutEnabled",
			"workload", workload)
	}
	return h, nil
}

// Run listens until ctx is done, and returns when all that it started has ended; what
// was subscribed then ends with ErrClosed. It may be called once.
func (h *Hub) Run(ctx context.Context) error {
	if h.running.Swap(true) {
		return fmt.Errorf("pubsub: Run was called before")
	}
	defer close(h.ended)
	var wg sync.WaitGroup
	defer wg.Wait()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	for range loaders {
		wg.Go(func() { h.load(ctx) })
	}
	wg.Go(func() { h.sendEchoes(ctx) })
	wg.Go(func() { h.watch(ctx, &wg) })
	wg.Go(func() { h.followKicks(ctx) })
	h.listen(ctx, &wg)
	return context.Cause(ctx)
}

// since is a moment as receivers note it.
func (h *Hub) since() int64 { return int64(time.Since(h.began)) }

// policy returns the policy of a topic, or why it cannot be used.
func (h *Hub) policy(topic string) (*Topic, error) {
	if err := checkName("topic", topic); err != nil {
		return nil, err
	}
	for i := range h.topics {
		if strings.HasPrefix(topic, h.topics[i].Prefix) {
			return &h.topics[i], nil
		}
	}
	return nil, fmt.Errorf("%w: topic: no policy has a prefix that fits", ErrTopic)
}

// notOurs refuses the Hub's own topics to others.
func notOurs(topic string) error {
	if strings.HasPrefix(topic, reserved) {
		return fmt.Errorf("%w: topics that begin with %s are the Hub's own", ErrTopic, reserved)
	}
	return nil
}

// maxName bounds topics and keys, in bytes.
const maxName = 200

func checkName(what, s string) error {
	switch {
	case s == "":
		return fmt.Errorf("%w: the %s is empty", ErrTopic, what)
	case len(s) > maxName:
		return fmt.Errorf("%w: the %s has over %d bytes", ErrTopic, what, maxName)
	case !utf8.ValidString(s) || strings.ContainsFunc(s, unicode.IsControl):
		return fmt.Errorf("%w: the %s holds what is no text", ErrTopic, what)
	}
	return nil
}

// wakeUp has Run look at what is to be listened to.
func (h *Hub) wakeUp() {
	select {
	case h.change <- struct{}{}:
	default:
	}
}

// join begins to follow a topic. The first one who does has it loaded.
func (h *Hub) join(name string, policy *Topic) *topic {
	p := h.partOf(name)
	t, first, woken := p.hold(name, policy)
	if woken {
		if !p.deaf.Load() {
			p.heard.Store(h.since()) // silence counts from now
		}
		h.wakeUp()
	}
	if first && p.up.Load() { // else it is loaded when the partition is heard
		h.doubt(t)
	}
	return t
}

// doubt has a topic loaded.
func (h *Hub) doubt(t *topic) {
	t.mu.Lock()
	defer t.mu.Unlock()
	h.reload(t)
}

// reload is doubt with topic.mu held.
func (h *Hub) reload(t *topic) {
	t.loading = false // if it is, not for this
	if !t.queued {
		t.queued = true
		h.loads.put(t)
	}
}
