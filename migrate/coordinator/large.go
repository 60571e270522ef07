package coordinator

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/transload/transload/internal/keysync"
)

// A key of a hundred megabytes takes seconds to copy, and half a second to
// compare. A move must not wait for that without a bound: the driver's loop would
// stand still. So what is being copied yields to it, piece by piece; such a key is
// dirty again, and the move waits, in its preparation, until it is not. One that
// the app writes all the time never is for long: it would have to be compared in
// the hold, and the gate for the hold counts the time that this takes.

const (
	// grace is how long a halt lets what is being compared end by itself: a batch of
	// small keys has been read by then, and would be more work in the hold.
	grace = 20 * time.Millisecond

	// haltBound is the longest that a halt waits: a server that hangs answers later.
	haltBound = time.Second

	// longRepair is how long a repair is under way when it is not one of small keys.
	longRepair = 100 * time.Millisecond

	// largeFor is how long it is remembered that a large key was repaired.
	largeFor = time.Minute

	// largeKept is how many of its repairs are. The shortest one tells what the key
	// itself takes: in others somebody else had the machine, as may not be in the hold,
	// and one that a queue writes all the time is chased by its repair.
	largeKept = 8
)

// errYield ends a copy that stands in the way of a move.
var errYield = errors.New("a move waits for what is being copied to end")

// halt has what is being copied end, and nothing new begin, until the batches lock
// is released. Small keys end by themselves, large ones yield.
func (s *syncer) halt(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, haltBound)
	defer cancel()
	locked := make(chan struct{})
	s.t.wg.Go(func() { // ends when the last batch does; that is bounded by the time-outs of its connections
		s.batches.Lock()
		select {
		case locked <- struct{}{}:
		case <-ctx.Done():
			s.batches.Unlock()
		}
	})
	defer s.t.yield.Store(false)
	yield := time.NewTimer(grace)
	defer yield.Stop()
	for {
		select {
		case <-locked:
			return nil
		case <-yield.C:
			s.t.yield.Store(true)
		case <-ctx.Done():
			return fmt.Errorf("what is being copied did not end within %v: %w", haltBound, context.Cause(ctx))
		}
	}
}

// largeKeys knows how long the repairs of large keys take.
type largeKeys struct {
	mu    sync.Mutex
	since time.Time // when the present repair began; zero if there is none
	keys  map[string]largeKey
}

// A largeKey is one that was repaired in pieces.
type largeKey struct {
	took []time.Duration // the last times in a row, each less than largeFor after the one before
	at   time.Time       // of the last
}

func (l *largeKeys) begin() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.since = time.Now()
}

// ended notes which large keys a repair has met.
func (l *largeKeys) ended(results []keysync.Result) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now()
	l.since = time.Time{}
	for key, k := range l.keys {
		if now.Sub(k.at) > largeFor {
			delete(l.keys, key)
		}
	}
	for _, r := range results {
		if r.Err != nil {
			continue
		}
		if l.keys == nil {
			l.keys = map[string]largeKey{}
		}
		took := append(l.keys[r.Key].took, r.Took)
		l.keys[r.Key] = largeKey{took: took[max(0, len(took)-largeKept):], at: now}
	}
}

// underWay returns 0, or if a large key seems to be repaired now, as much as a
// slot counts among what keeps a move from its hold.
func (l *largeKeys) underWay() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.since.IsZero() || time.Since(l.since) < longRepair {
		return 0
	}
	return 1000
}

// inHold tells how long it will take to compare those large keys in a hold that
// the app keeps writing, and names the one that takes longest. A key that was
// repaired once may have been named by its own copy.
func (l *largeKeys) inHold(moves func(key string) bool) (total time.Duration, longest string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	most := time.Duration(0)
	for key, k := range l.keys {
		if len(k.took) < 2 || time.Since(k.at) > largeFor || !moves(key) {
			continue
		}
		took := slices.Min(k.took)
		total += took
		if took > most {
			most, longest = took, key
		}
	}
	return total, longest
}
