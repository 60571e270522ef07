package migrate

import (
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"strings"
	"sync/atomic"
	"time"

	"github.com/transload/transload/internal/control"
	"github.com/transload/transload/internal/lastminute"
)

const (
	// mirrorShards is how many workers copy. A key always has the same one: else
	// an older value could be written after a newer one. Two are 50,000 keys a
	// second at a round trip of 2.5 ms; more make smaller batches, which cost the
	// machine of the app more.
	mirrorShards = 2

	// mirrorBatch is how many keys are copied in one go.
	mirrorBatch = 200

	// linger is how long a worker that has little to do waits for more. At 1,500
	// writes a second a copy of its own for each write cost the app's process and
	// the servers 90 µs; in batches of 10 ms it was 50 µs, and under full load 13.
	linger = 10 * time.Millisecond

	// mirrorBytes bounds the names that wait, whatever their number.
	mirrorBytes = 64 << 20

	// copyBound is the longest that one batch is tried. It is above every default
	// time-out of a connection.
	copyBound = 10 * time.Second
)

// A mirror copies what the app has written to the side that is not the
// authority. It takes names only; the value is read when its turn comes, so a
// key that changes a hundred times is copied once. It costs the app a map entry:
// it never blocks it and never fails it. What finds no room, or cannot be
// copied, is dropped and counted: it is dirty, and the coordinator's feeds have
// its name.
type mirror struct {
	m      *member
	seed   maphash.Seed
	shards [mirrorShards]*shard
	cold   bool // some workload is cold

	written atomic.Int64           // keys copied
	failed  atomic.Int64           // attempts that the mirror, or the way to it, refused
	dropped atomic.Int64           // keys given up
	recent  lastminute.Counter     // failures and drops of the last minute
	last    atomic.Pointer[string] // why the last batch failed; nil if it did not
}

func newMirror(m *member, room int) *mirror {
	r := &mirror{m: m, seed: maphash.MakeSeed()}
	for _, cold := range m.plan.cold {
		r.cold = r.cold || cold
	}
	for i := range r.shards {
		r.shards[i] = newShard(max(1, room/mirrorShards), mirrorBytes/mirrorShards)
	}
	return r
}

// mark says that a write to some keys has succeeded under a view.
func (r *mirror) mark(v *view, keys ...string) {
	if !v.leased {
		return
	}
	for _, key := range keys {
		if strings.HasPrefix(key, control.Reserved) || (r.cold && r.m.plan.cold[r.m.plan.workload(key)]) {
			continue
		}
		s := r.shards[maphash.String(r.seed, key)%mirrorShards]
		if !s.add(key, time.Now()) {
			r.drop(1)
		}
	}
}

func (r *mirror) drop(n int) {
	r.dropped.Add(int64(n))
	r.recent.Add(int64(n))
}

// pending reports whether a key waits to be copied, or is being copied now.
func (r *mirror) pending(key string) bool {
	return r.shards[maphash.String(r.seed, key)%mirrorShards].pending(key)
}

// dirty counts the keys that are known to differ, or may.
func (r *mirror) dirty() (n int) {
	for _, s := range r.shards {
		n += s.len()
	}
	return n
}

// waitingLooked bounds the keys that are looked at for a Waiting, by shard: a
// millisecond.
const waitingLooked = 10_000

// waiting tells by workload what waits to be copied.
func (r *mirror) waiting() map[string]Waiting {
	by := map[string]Waiting{}
	for _, s := range r.shards {
		for _, it := range s.list(waitingLooked) {
			name := r.m.plan.names[r.m.plan.workload(it.key)]
			by[name] = by[name].Add(it.key, it.at)
		}
	}
	return by
}

// lag is how long the key that has waited longest has been waiting.
func (r *mirror) lag(now time.Time) (d time.Duration) {
	for _, s := range r.shards {
		if at := s.oldest(); !at.IsZero() {
			d = max(d, now.Sub(at))
		}
	}
	return d
}

// drain waits until every key that waits now has been tried. What is marked
// after the call is no matter: writes go on, and an empty queue would never come.
func (r *mirror) drain(ctx context.Context) error {
	var upTo [mirrorShards]uint64
	for i, s := range r.shards {
		upTo[i] = s.hurry()
	}
	for i, s := range r.shards {
		for wait := 100 * time.Microsecond; !s.reached(upTo[i]); wait = min(2*wait, 2*time.Millisecond) {
			if !pause(ctx, wait) {
				return fmt.Errorf("%d keys wait to be copied to the mirror%s", r.dirty(), r.why())
			}
		}
	}
	return nil
}

// trouble says why the mirror, or the way to it, refuses copies now.
func (r *mirror) trouble() string {
	if text := r.last.Load(); text != nil {
		return *text
	}
	return ""
}

func (r *mirror) why() string {
	if text := r.trouble(); text != "" {
		return ": " + text
	}
	return ""
}

// work copies the keys of one shard until ctx is done.
func (r *mirror) work(ctx context.Context, s *shard) {
	var wait time.Duration // back-off while the mirror refuses
	for {
		if !s.await(ctx, !r.m.view.Load().underWay) {
			return
		}
		batch := s.take(mirrorBatch, time.Now())
		if len(batch) == 0 {
			continue
		}
		v := r.m.view.Load()
		err := r.copyBatch(ctx, v, s, batch)
		switch {
		case ctx.Err() != nil:
			return
		case err == nil:
			wait = 0
			if r.last.Swap(nil) != nil {
				r.m.log.Info("the mirror takes copies again", "op", "mirror")
			}
			continue
		case errors.Is(err, errNoCopy): // until the view changes
			select {
			case <-v.changed:
			case <-time.After(time.Second):
			case <-ctx.Done():
				return
			}
			continue
		}
		text := err.Error()
		if r.last.Swap(&text) == nil {
			r.m.log.Warn("the mirror takes no copies", "op", "mirror", "err", err)
		}
		wait = min(max(2*wait, 20*time.Millisecond), 5*time.Second)
		s.backOff(ctx, wait)
	}
}
