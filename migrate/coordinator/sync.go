package coordinator

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/transload/transload/internal/control"
	"github.com/transload/transload/internal/feed"
	"github.com/transload/transload/internal/keysync"
	"github.com/transload/transload/internal/protocol"
)

const (
	// settleFor is how long a name stays dirty before it is compared: members copy
	// what they write, and need some milliseconds. A name that is compared too
	// early costs a copy that is not needed.
	settleFor = time.Second

	// namesAtOnce is how many names one repair takes.
	namesAtOnce = 500

	// passEvery is the least pause between two passes where there is no feed.
	passEvery = 2 * time.Second
)

// A syncer keeps the sides equal during a term: it walks slots that are dirty,
// and repairs names that are. Its two loops work in batches, each of which holds
// the batches lock for reading; whoever holds it for writing knows that nothing
// is being copied.
type syncer struct {
	t     *term
	dirty *feed.Dirty
	feeds [3]*feed.Feed // by side; nil where the server has no tracking
	gaps  chan string   // 1: why a feed broke, for a move that is under way
	speed throttle
	large largeKeys

	view    atomic.Pointer[view]
	hurry   atomic.Bool // repair names at once: a move is being prepared
	batches sync.RWMutex

	mu      sync.Mutex
	walking int // slots that were taken out of the dirty set and are being walked
	passes  int // walks of all slots that have ended well
	pass    passInfo
	streams map[string]struct{} // streams, whose groups no feed reports
	total   tally
	trouble string // why nothing goes on

	passedAt time.Time // when the last of them did
}

// A passInfo tells how a walk goes, or went.
type passInfo struct {
	Began, Ended time.Time
	Keys, Total  int64
	Written      int64         // keys of the mirror
	Lacks        float64       // share of the keys of late that the mirror did not have
	Busy         time.Duration // of all walkers together
}

func newSyncer(t *term, v *view) *syncer {
	s := &syncer{t: t, dirty: feed.NewDirty(v.skip), gaps: make(chan string, 1), streams: map[string]struct{}{}}
	s.speed.rate = t.c.opts.Rate
	s.view.Store(v)
	return s
}

// full reports whether a side has no feed, so that only a full pass proves
// that the sides are equal.
func (s *syncer) full() bool {
	return s.feeds[protocol.Source] == nil || s.feeds[protocol.Target] == nil
}

// start runs the feeds and the loops until ctx is done; the term waits for them.
func (s *syncer) start(ctx context.Context) {
	for _, side := range protocol.Sides {
		sd := s.t.sides[side]
		if !sd.caps.Tracking {
			continue
		}
		s.feeds[side] = feed.New(sd.client, s.dirty,
			feed.WithName(control.ClientName(s.t.c.opts.Name, s.t.id)), feed.WithLogger(s.t.log),
			feed.WithGaps(func(g feed.Gap) { s.gap(side, g) }))
	}
	if s.full() {
		s.dirty.MarkAll()
	}
	for _, f := range s.feeds {
		if f != nil {
			s.t.wg.Go(func() {
				if err := f.Run(ctx); errors.Is(err, feed.ErrNoTracking) {
					s.t.end(fmt.Errorf("coordinator: a server has no change feed, though it seemed so: %w", err))
				}
			})
		}
	}
	s.t.wg.Go(func() { s.walkLoop(ctx) })
	s.t.wg.Go(func() { s.repairLoop(ctx) })
	s.t.wg.Go(func() { s.speed.watch(ctx, s.t.sides) })
}

func (s *syncer) gap(side protocol.Side, g feed.Gap) {
	select {
	case s.gaps <- fmt.Sprintf("the feed of the %v broke: %v", side, g):
	default:
	}
}

// repairLoop compares the names that the feeds give.
func (s *syncer) repairLoop(ctx context.Context) {
	wait := lookEvery
	for ctx.Err() == nil {
		if s.filling() {
			pause(ctx, lookEvery)
			continue
		}
		age, idle := settleFor, 20*time.Millisecond
		if s.hurry.Load() {
			age, idle = 0, time.Millisecond
		}
		n, err := s.repair(ctx, age)
		switch {
		case errors.Is(err, errYield):
		case err != nil:
			s.say(err)
			pause(ctx, wait)
			wait = min(2*wait, 5*time.Second)
			for !s.whole() && pause(ctx, lookEvery) { // what cannot be compared keeps the time of its change
			}
			continue
		case n == 0:
			pause(ctx, idle)
		}
		wait = lookEvery
	}
}

// filling reports whether a walk is going on that copies most of what it finds.
// The mirror's feed names each copy, and to compare them meanwhile would take two
// thirds of the servers' time. They are compared afterwards: by name, or if there
// are too many, by one more walk, in which the names of what the app writes are
// not left to pile up.
func (s *syncer) filling() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.walking > 0 && s.pass.Keys > 10*keysAtOnce && s.pass.Written > s.pass.Keys/4
}

// repair compares one batch of names, and puts back those that it cannot settle.
func (s *syncer) repair(ctx context.Context, age time.Duration) (int, error) {
	s.batches.RLock()
	defer s.batches.RUnlock()
	s.large.begin()
	names := s.dirty.Take(namesAtOnce, age)
	if len(names) == 0 {
		s.large.ended(nil)
		return 0, nil
	}
	n, left, err := s.t.equalise(ctx, s.view.Load(), names, keysync.Sync)
	s.large.ended(n.large)
	s.dirty.Add(left...)
	s.count(n)
	if err == nil {
		err = s.note(ctx, names)
	}
	if err != nil {
		s.dirty.Return(names...)
	}
	return len(names), err
}

// whole reports whether every feed follows its side.
func (s *syncer) whole() bool {
	for _, f := range s.feeds {
		if f != nil {
			if _, _, whole := f.Unbroken(); !whole {
				return false
			}
		}
	}
	return true
}

func (s *syncer) count(n tally) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.total.add(n)
	if n.Failed == 0 {
		s.trouble = ""
	}
}

// say remembers why nothing goes on, and logs it once.
func (s *syncer) say(err error) {
	s.mu.Lock()
	was := s.trouble
	s.trouble = err.Error()
	s.mu.Unlock()
	if was == "" && !errors.Is(err, context.Canceled) {
		s.t.log.Warn("sync is held up", "op", "sync", "err", err)
	}
}
