package feed

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/transload/transload/topology"
)

// A Side is what a Feed must know of a side. A *topology.Client is one.
type Side interface {
	// Masters returns the masters as they are now.
	Masters(ctx context.Context) ([]topology.Node, error)
	// Node builds a client to one node. The Feed uses only its settings, to
	// dial a connection of its own, and closes it.
	Node(addr string, opts ...topology.Option) (*redis.Client, error)
}

// A Sink takes what a Feed learns. A *Dirty is one. It must not block, and must
// not call the Feed.
type Sink interface {
	// Add takes the names of keys that have changed. It must not keep the slice.
	Add(names ...string)
	// MarkSlots says that any key of these slots, ends included, may have changed.
	MarkSlots(first, last uint16)
}

// An Option changes a Feed.
type Option func(*Feed)

// WithName names the tracking connections. The default is no name.
func WithName(name string) Option { return func(f *Feed) { f.name = name } }

// WithLogger tells where to log. The default is not to log.
func WithLogger(l *slog.Logger) Option { return func(f *Feed) { f.log = l } }

// WithGaps has each gap reported to report, which must not block and must not
// call the Feed. The default is none.
func WithGaps(report func(Gap)) Option { return func(f *Feed) { f.report = report } }

// WithPrefixes has the servers name only keys that begin with one of prefixes, of
// which none may begin with another. The default is every key.
func WithPrefixes(prefixes ...string) Option { return func(f *Feed) { f.prefixes = prefixes } }

// WithSilence sets how long a master may leave a question unanswered before its
// connection is given up. The default, 10s, is longer than a script may run without
// others being told that the server is busy.
func WithSilence(d time.Duration) Option { return func(f *Feed) { f.silence = d } }

// WithInterval sets how often the masters are asked who they are, and the
// topology who the masters are. The default is 1s.
func WithInterval(d time.Duration) Option { return func(f *Feed) { f.interval = d } }

// A Feed follows the masters of one side and keeps a Sink up to date. It is
// safe for concurrent use.
type Feed struct {
	side     Side
	dirty    Sink
	name     string
	prefixes []string
	silence  time.Duration
	log      *slog.Logger
	report   func(Gap)
	interval time.Duration
	kick     chan struct{} // ask for the masters now; one is enough

	mu         sync.Mutex
	trackers   map[string]*tracker // by address
	known      bool                // the masters have been asked, and answered
	generation uint64
	since      time.Time
	last       Gap
	fatal      error         // why Run ended
	changed    chan struct{} // closed and replaced when any of these change
}

// New returns a Feed that adds to dirty. It does nothing until Run.
func New(side Side, dirty Sink, opts ...Option) *Feed {
	f := &Feed{
		side: side, dirty: dirty, log: slog.New(slog.DiscardHandler), report: func(Gap) {},
		silence: 10 * time.Second, interval: time.Second, kick: make(chan struct{}, 1),
		trackers: make(map[string]*tracker), changed: make(chan struct{}),
	}
	for _, opt := range opts {
		opt(f)
	}
	return f
}

// Run follows the masters until ctx is done, or until a server turns out to
// have no tracking, which it returns as ErrNoTracking. When it returns, all
// its goroutines have ended. It is called once.
func (f *Feed) Run(ctx context.Context) (err error) {
	ctx, cancel := context.WithCancelCause(ctx)
	var wg sync.WaitGroup
	defer func() {
		cancel(nil)
		wg.Wait()
		f.end(err)
	}()
	for {
		f.refresh(ctx, &wg, cancel)
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-f.kick:
		case <-time.After(f.interval):
		}
	}
}

func (f *Feed) end(err error) {
	f.gap("", fmt.Errorf("the feed has ended: %w", err))
	f.mu.Lock()
	defer f.mu.Unlock()
	f.fatal = err
	f.signal()
}

// refresh asks who the masters are, and starts and stops trackers. It does not
// wait long: a topology that cannot be asked is no gap, for the masters can
// still say of themselves what they are.
func (f *Feed) refresh(ctx context.Context, wg *sync.WaitGroup, fatal context.CancelCauseFunc) {
	ask, cancel := context.WithTimeout(ctx, 5*f.interval)
	masters, err := f.side.Masters(ask)
	cancel()
	if err != nil {
		f.log.Debug("feed: masters not known", "err", err)
		return
	}
	f.mu.Lock()
	fresh, stale := f.compare(masters)
	for _, t := range stale {
		delete(f.trackers, t.addr)
	}
	for _, t := range fresh {
		f.trackers[t.addr] = t
	}
	first := !f.known
	f.known = true
	f.signal()
	f.mu.Unlock()
	if !first && len(fresh)+len(stale) > 0 {
		f.gap("", errors.New("the masters or their slots have changed"))
	}
	for _, t := range stale {
		t.stop()
	}
	for _, t := range fresh {
		own, stop := context.WithCancel(ctx)
		t.stop = stop
		wg.Go(func() {
			defer stop()
			if err := t.run(own); errors.Is(err, ErrNoTracking) {
				fatal(err)
			}
		})
	}
}

// compare says which trackers are missing and which are of no use any more.
// The caller holds the mutex.
func (f *Feed) compare(masters []topology.Node) (fresh, stale []*tracker) {
	for _, m := range masters {
		t := f.trackers[m.Addr]
		if t != nil && slices.Equal(t.slots, m.Slots) {
			continue
		}
		fresh = append(fresh, &tracker{feed: f, addr: m.Addr, slots: m.Slots, cluster: m.ID != ""})
	}
	for addr, t := range f.trackers {
		same := func(m topology.Node) bool { return m.Addr == addr && slices.Equal(m.Slots, t.slots) }
		if !slices.ContainsFunc(masters, same) {
			stale = append(stale, t)
		}
	}
	return fresh, stale
}

// signal wakes who waits for a change. The caller holds the mutex.
func (f *Feed) signal() {
	close(f.changed)
	f.changed = make(chan struct{})
}

// Ready waits until the feed is unbroken. If Run has ended it returns why.
func (f *Feed) Ready(ctx context.Context) error {
	for {
		f.mu.Lock()
		whole, fatal, changed := f.whole(), f.fatal, f.changed
		f.mu.Unlock()
		switch {
		case fatal != nil:
			return fatal
		case whole:
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return fmt.Errorf("feed: wait for the masters: %w", errors.Join(context.Cause(ctx), f.LastGap().Err))
		}
	}
}

// Masters says which servers the feed follows, sorted by address.
func (f *Feed) Masters() []Identity {
	f.mu.Lock()
	defer f.mu.Unlock()
	var list []Identity
	for _, t := range f.trackers {
		if t.conn != nil {
			list = append(list, t.conn.self)
		}
	}
	slices.SortFunc(list, func(a, b Identity) int { return strings.Compare(a.Addr, b.Addr) })
	return list
}

// Watermark returns nil when every change that any master acknowledged before
// the call has reached the Sink, all masters being the same, with the same
// slots, as when this generation began. An error that is ErrGap means that
// they are not, and any other that the server did not say so in time.
func (f *Feed) Watermark(ctx context.Context) error {
	f.mu.Lock()
	before, whole := f.generation, f.whole()
	var conns []*conn
	for _, t := range f.trackers {
		conns = append(conns, t.conn)
	}
	f.mu.Unlock()
	if !whole {
		return fmt.Errorf("%w: %v", ErrGap, f.LastGap())
	}
	errs := make([]error, len(conns))
	var wg sync.WaitGroup
	for i, c := range conns[1:] {
		wg.Go(func() { errs[i+1] = c.watermark(ctx) })
	}
	errs[0] = conns[0].watermark(ctx)
	wg.Wait()
	if _, after, whole := f.Unbroken(); after != before || !whole {
		return fmt.Errorf("%w: %v", ErrGap, f.LastGap())
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("feed: watermark: %w", err)
	}
	return nil
}
