package coordinator

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/transload/transload/internal/command"
	"github.com/transload/transload/internal/keysync"
	"github.com/transload/transload/internal/protocol"
	"github.com/transload/transload/topology"
)

const (
	// scanCount is how many keys SCAN looks at in one step: about a third of a
	// millisecond of the server's time.
	scanCount = 1000

	// walkers is how many batches are compared at a time: while one waits for the
	// source another waits for the target.
	walkers = 4

	// worthTelling is how many keys must be copied for the source to be told not to
	// compress.
	worthTelling = 10_000

	// keysAtOnce is how many keys one batch of a walk holds.
	keysAtOnce = 200
)

// slotSet is the slots that a walk is about.
type slotSet [command.Slots]bool

func newSlotSet(slots []uint16) *slotSet {
	var set slotSet
	for _, s := range slots {
		set[s] = true
	}
	return &set
}

// walk compares every key of some slots. It goes over both sides: a key that is
// found on its authority is compared and copied; one that is found on its mirror
// is looked for on the authority, and if it is not there it is an extra, and is
// read there once more, right before it is deleted.
func (s *syncer) walk(ctx context.Context, slots []uint16) error {
	set := newSlotSet(slots)
	if s.begin(ctx, len(slots) == command.Slots) {
		defer s.t.uncompressed(ctx)()
	}
	want := func(key string) bool { return set[command.Slot(key)] && !s.view.Load().skip(key) }
	for _, side := range protocol.Sides {
		err := s.each(ctx, side, want, func(ctx context.Context, keys []string) error {
			if err := s.speed.wait(ctx, len(keys)); err != nil {
				return err
			}
			return s.batch(ctx, side, keys)
		})
		if err != nil {
			return err
		}
	}
	return s.findStreams(ctx, set)
}

// begin notes the beginning of a walk, and reports whether it is to fill a target
// that lacks most keys.
func (s *syncer) begin(ctx context.Context, whole bool) (fills bool) {
	var sizes [3]int64
	for _, side := range protocol.Sides {
		sizes[side], _ = dbSize(ctx, s.t.sides[side].client) // for the estimate alone
	}
	src := sizes[protocol.Source]
	total := src + max(src, sizes[protocol.Target]) // what is copied is found again on the target
	s.mu.Lock()
	defer s.mu.Unlock()
	s.pass = passInfo{Began: time.Now(), Total: total}
	if whole {
		clear(s.streams)
	}
	return whole && src > worthTelling && sizes[protocol.Target] < src/2
}

// each has the wanted keys of one side handled in batches.
func (s *syncer) each(ctx context.Context, side protocol.Side, want func(key string) bool, f func(ctx context.Context, keys []string) error) error {
	if err := eachKey(ctx, s.t.keys[side].client, want, f); err != nil {
		return fmt.Errorf("walk over the keys of the %v: %w", side, err)
	}
	return nil
}

// eachKey has the wanted keys of every master handled in batches by several
// walkers.
func eachKey(ctx context.Context, client eachMaster, want func(key string) bool, f func(ctx context.Context, keys []string) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	work := make(chan []string)
	var wg sync.WaitGroup
	for range walkers {
		wg.Go(func() {
			for keys := range work {
				if err := f(ctx, keys); err != nil {
					cancel(err)
				}
			}
		})
	}
	err := client.EachMaster(ctx, func(ctx context.Context, _ string, node *redis.Client) error {
		return scanNode(ctx, node, "", func(keys []string) error { return hand(ctx, work, keys, want) })
	})
	close(work)
	wg.Wait()
	return cmp.Or(context.Cause(ctx), err)
}

// hand gives the wanted keys to the walkers, a batch at a time.
func hand(ctx context.Context, work chan<- []string, keys []string, want func(key string) bool) error {
	batch := make([]string, 0, keysAtOnce)
	for i, key := range keys {
		if want(key) {
			batch = append(batch, key)
		}
		if len(batch) == 0 || (len(batch) < keysAtOnce && i < len(keys)-1) {
			continue
		}
		select {
		case work <- batch:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
		batch = make([]string, 0, keysAtOnce)
	}
	return nil
}

// scanNode hands every key name of one master to f. kind narrows it to one type.
func scanNode(ctx context.Context, node *redis.Client, kind string, f func(keys []string) error) error {
	for cursor := uint64(0); ; {
		cmd := node.Scan(ctx, cursor, "", scanCount)
		if kind != "" {
			cmd = node.ScanType(ctx, cursor, "", scanCount, kind)
		}
		keys, next, err := cmd.Result()
		if err != nil {
			return err
		}
		if err := f(keys); err != nil {
			return err
		}
		if next == 0 {
			return nil
		}
		cursor = next
	}
}

// batch compares some keys that were found on one side.
func (s *syncer) batch(ctx context.Context, side protocol.Side, keys []string) error {
	s.batches.RLock()
	defer s.batches.RUnlock()
	began := time.Now()
	v := s.view.Load()
	var own, others []string
	for _, key := range keys {
		switch v.authority(key) {
		case side:
			own = append(own, key)
		case side.Other():
			others = append(others, key)
		default:
			s.dirty.Add(key) // being decided: compared when that is over
		}
	}
	extras, err := s.t.absent(ctx, side.Other(), others)
	if err != nil {
		return err
	}
	if s.t.keepExtras(side) {
		extras = nil
	}
	n, left, err := s.t.equalise(ctx, v, append(own, extras...), s.copier())
	s.count(n)
	s.mu.Lock()
	s.pass.Keys += int64(len(keys))
	s.pass.Written += n.changed()
	s.pass.Busy += time.Since(began)
	if n.Compared > 0 {
		s.pass.Lacks += (float64(n.Copied)/float64(n.Compared) - s.pass.Lacks) / 8
	}
	s.mu.Unlock()
	if err != nil && len(left) == len(own)+len(extras) && !errors.Is(err, errYield) {
		return err // nothing goes: the walk is begun again
	}
	s.dirty.Add(left...)
	return nil
}

// copier returns how the next batch of a walk is copied: while the mirror lacks
// nearly all that is found, it is not asked for each key first.
func (s *syncer) copier() copyFunc {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.pass.Lacks > 0.8 {
		return keysync.Fill
	}
	return keysync.Sync
}

// absent returns those keys that a side does not have.
func (t *term) absent(ctx context.Context, side protocol.Side, keys []string) ([]string, error) {
	return absent(ctx, t.keys[side].client, side, keys)
}

func absent(ctx context.Context, client *topology.Client, side protocol.Side, keys []string) (out []string, err error) {
	if len(keys) == 0 {
		return nil, nil
	}
	if client.Mode() != topology.Cluster { // mostly none is absent, and one question tells
		n, err := client.Exists(ctx, keys...).Result()
		if err != nil {
			return nil, fmt.Errorf("look for keys on the %v: %w", side, err)
		}
		if int(n) == len(keys) {
			return nil, nil
		}
	}
	p := client.Pipeline()
	cmds := make([]*redis.IntCmd, len(keys))
	for i, key := range keys {
		cmds[i] = p.Exists(ctx, key)
	}
	_, _ = p.Exec(ctx) // each reply is looked at below
	for i, cmd := range cmds {
		n, err := cmd.Result()
		if err != nil {
			return nil, fmt.Errorf("look for keys on the %v: %w", side, err)
		}
		if n == 0 {
			out = append(out, keys[i])
		}
	}
	return out, nil
}

// dbSize returns how many keys a side has.
func dbSize(ctx context.Context, client eachMaster) (int64, error) {
	var mu sync.Mutex
	total := int64(0)
	err := client.EachMaster(ctx, func(ctx context.Context, _ string, node *redis.Client) error {
		n, err := node.DBSize(ctx).Result()
		mu.Lock()
		defer mu.Unlock()
		total += n
		return err
	})
	return total, err
}

type eachMaster interface {
	EachMaster(ctx context.Context, f func(ctx context.Context, addr string, c *redis.Client) error) error
}
