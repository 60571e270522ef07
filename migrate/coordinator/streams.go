package coordinator

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/redis/go-redis/v9"

	"github.com/transload/transload/internal/command"
	"github.com/transload/transload/internal/keysync"
	"github.com/transload/transload/internal/protocol"
)

// What happens to the groups of a stream is reported by no feed, and a group can
// be made on any stream, so every stream is looked at again before and inside a
// hold. Streams that are there are found by a walk of their own; those that come
// to be later are among the names.

// findStreams remembers the streams in some slots.
func (s *syncer) findStreams(ctx context.Context, set *slotSet) error {
	if s.full() {
		return nil // everything is compared in the hold
	}
	for _, side := range protocol.Sides {
		err := s.t.keys[side].client.EachMaster(ctx, func(ctx context.Context, _ string, node *redis.Client) error {
			return scanNode(ctx, node, "stream", func(keys []string) error {
				v := s.view.Load()
				s.mu.Lock()
				defer s.mu.Unlock()
				for _, key := range keys {
					if set[command.Slot(key)] && !v.skip(key) {
						s.streams[key] = struct{}{}
					}
				}
				return nil
			})
		})
		if err != nil {
			return fmt.Errorf("look for streams on the %v: %w", side, err)
		}
	}
	return nil
}

// note remembers which of some keys are streams.
func (s *syncer) note(ctx context.Context, keys []string) error {
	if s.full() || len(keys) == 0 {
		return nil // everything is compared in the hold
	}
	v := s.view.Load()
	var by [3][]string
	for _, key := range keys {
		if !v.skip(key) {
			side := v.authority(key)
			by[side] = append(by[side], key)
		}
	}
	for _, side := range protocol.Sides {
		if len(by[side]) == 0 {
			continue
		}
		p := s.t.keys[side].client.Pipeline()
		cmds := make([]*redis.StatusCmd, len(by[side]))
		for i, key := range by[side] {
			cmds[i] = p.Type(ctx, key)
		}
		_, _ = p.Exec(ctx) // each reply is looked at below
		for i, cmd := range cmds {
			kind, err := cmd.Result()
			if err != nil {
				return fmt.Errorf("types of keys of the %v: %w", side, err)
			}
			if kind == "stream" {
				s.mu.Lock()
				s.streams[by[side][i]] = struct{}{}
				s.mu.Unlock()
			}
		}
	}
	return nil
}

// equaliseStreams compares the streams that are about to move, before the move
// begins, so that little is left for its hold.
func (s *syncer) equaliseStreams(ctx context.Context, goal map[string]int) error {
	keys := s.streamsOf(goal)
	for batch := range slices.Chunk(keys, keysAtOnce) {
		s.batches.RLock()
		n, left, err := s.t.equalise(ctx, s.view.Load(), batch, keysync.Sync)
		s.batches.RUnlock()
		s.count(n)
		s.dirty.Add(left...)
		if err != nil && !errors.Is(err, errYield) {
			return fmt.Errorf("coordinator: compare streams: %w", err)
		}
	}
	return nil
}

// streamsOf returns the streams whose authority a move with this goal would move.
func (s *syncer) streamsOf(goal map[string]int) (out []string) {
	v := s.view.Load()
	s.mu.Lock()
	defer s.mu.Unlock()
	for key := range s.streams {
		if v.moves(key, goal) {
			out = append(out, key)
		}
	}
	return out
}

// moves reports whether a move with this goal would move the authority over key.
func (v *view) moves(key string, goal map[string]int) bool {
	w, slot := v.router.Workload(key), int(command.Slot(key))
	cut := v.rec[protocol.Source].Cuts[w]
	to, ok := goal[w]
	return ok && slot >= min(cut, to) && slot < max(cut, to)
}

// movingStreams returns the streams whose authority is about to move and which
// have a group on either side.
func (s *syncer) movingStreams(ctx context.Context, v *view) ([]string, error) {
	s.mu.Lock()
	var all []string
	for key := range s.streams {
		if v.moving(key) {
			all = append(all, key)
		}
	}
	s.mu.Unlock()
	return s.grouped(ctx, all)
}

// grouped returns those of some streams that have a group on either side.
func (s *syncer) grouped(ctx context.Context, all []string) ([]string, error) {
	grouped := map[string]bool{}
	for _, side := range protocol.Sides {
		if len(all) == 0 {
			break
		}
		p := s.t.keys[side].client.Pipeline()
		cmds := make([]*redis.XInfoGroupsCmd, len(all))
		for i, key := range all {
			cmds[i] = p.XInfoGroups(ctx, key)
		}
		_, _ = p.Exec(ctx) // each reply is looked at below
		for i, cmd := range cmds {
			groups, err := cmd.Result()
			if err != nil && !isReply(err) {
				return nil, fmt.Errorf("groups of streams of the %v: %w", side, err)
			}
			// An error that the server gives means that the key is gone, or is no
			// stream any more: compared all the same.
			if err != nil || len(groups) > 0 {
				grouped[all[i]] = true
			}
		}
	}
	out := make([]string, 0, len(grouped))
	for key := range grouped {
		out = append(out, key)
	}
	return out, nil
}
