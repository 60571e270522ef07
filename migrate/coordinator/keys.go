package coordinator

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/transload/transload/internal/keysync"
	"github.com/transload/transload/internal/protocol"
	"github.com/transload/transload/migrate"
)

// A tally counts what became of keys that were compared.
type tally struct {
	Compared int64 `json:"compared"`
	Copied   int64 `json:"copied"`
	Repaired int64 `json:"repaired"`
	Deleted  int64 `json:"deleted"`
	Failed   int64 `json:"failed"`
	Bytes    int64 `json:"bytes"`

	large []keysync.Result // those that were handled in pieces; not added up
}

func (a *tally) add(b tally) {
	a.Compared += b.Compared
	a.Copied += b.Copied
	a.Repaired += b.Repaired
	a.Deleted += b.Deleted
	a.Failed += b.Failed
	a.Bytes += b.Bytes
}

// changed is how many keys of the mirror had to be written.
func (a tally) changed() int64 { return a.Copied + a.Repaired + a.Deleted }

// A copyFunc is keysync.Sync, or Fill.
type copyFunc func(ctx context.Context, from, to *keysync.Side, keys []string, opts keysync.Options) ([]keysync.Result, error)

// equalise makes the mirror of some keys equal to their authority. It returns
// the keys that it could not settle, with the first reason.
func (t *term) equalise(ctx context.Context, v *view, keys []string, by copyFunc) (n tally, left []string, err error) {
	var of [3][]string
	for _, key := range keys {
		if v.skip(key) {
			continue
		}
		s := v.authority(key)
		of[s] = append(of[s], key)
	}
	left = of[protocol.None]
	if len(left) > 0 {
		err = errors.New("authority over some keys is being decided")
	}
	for _, s := range protocol.Sides {
		if len(of[s]) == 0 {
			continue
		}
		m, l, e := t.copyBy(ctx, by, s, of[s])
		n.add(m)
		n.large = append(n.large, m.large...)
		left = append(left, l...)
		err = errors.Join(err, e)
	}
	return n, left, err
}

// sync copies what differs from the side to the other.
func (t *term) sync(ctx context.Context, from protocol.Side, keys []string) (n tally, left []string, err error) {
	return t.copyBy(ctx, keysync.Sync, from, keys)
}

func (t *term) copyBy(ctx context.Context, by copyFunc, from protocol.Side, keys []string) (n tally, left []string, err error) {
	lost := t.lost[from].Load()
	if lost { // what it has not may be what it has lost
		there, err := t.held(ctx, from, keys)
		if err != nil {
			return tally{Failed: int64(len(keys))}, keys, err
		}
		if len(there) == 0 {
			return n, nil, nil
		}
		keys = there
	}
	opts := keysync.Options{Check: func() error { return t.mayCopy(from, lost) }, Move: t.id}
	results, err := by(ctx, t.keys[from].keys, t.keys[from.Other()].keys, keys, opts)
	if err != nil {
		err = fmt.Errorf("copy to the %v: %w", from.Other(), err)
	}
	if len(results) == 0 {
		return tally{Failed: int64(len(keys))}, keys, err
	}
	for _, r := range results {
		if r.Err != nil && !isReply(r.Err) && !errors.Is(r.Err, keysync.ErrDropped) {
			t.orphaned()
		}
		if !n.count(r) {
			left = append(left, r.Key)
			continue
		}
		if r.Action != keysync.None {
			t.log.Debug("key repaired", "op", "sync", "key", migrate.HashKey(r.Key), "diff", r.Diff.String(), "from", from.String())
		}
	}
	return n, left, err
}

// count counts one key, and reports whether it is settled.
func (a *tally) count(r keysync.Result) bool {
	a.Compared++
	a.Bytes += r.Bytes
	if r.Large {
		a.large = append(a.large, r)
	}
	if r.Err != nil || r.Diff == keysync.Unknown && r.Action == keysync.None { // or the call ended before its turn
		a.Failed++
		return false
	}
	switch r.Action {
	case keysync.Copied:
		a.Copied++
	case keysync.Repaired:
		a.Repaired++
	case keysync.Deleted:
		a.Deleted++
	}
	return true
}

// orphaned notes that a copy was left unanswered: the server may still carry it
// out, at any time.
func (t *term) orphaned() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.orphans = time.Now()
}

func (t *term) hasOrphans() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return !t.orphans.IsZero()
}

// orphanLife is how long a copy that was left unanswered is feared where
// connections cannot be killed: longer than any buffer on the way holds it.
const orphanLife = time.Minute

// killOrphans ends the connections that copied, if a copy was left unanswered.
// It is called before a hold, while nothing is being copied and nobody uses
// the connections.
func (t *term) killOrphans(ctx context.Context) error {
	t.mu.Lock()
	at := t.orphans
	t.mu.Unlock()
	if at.IsZero() {
		return nil
	}
	err := fence(ctx, t.sides, t.c.opts.Name, copyName(t.id))
	if errors.Is(err, errNoFence) && time.Since(at) > orphanLife {
		err = nil
	}
	if err != nil {
		return fmt.Errorf("a copy was left unanswered at %s, and its connection could not be ended: %w", at.Format(time.TimeOnly), err)
	}
	for _, s := range protocol.Sides {
		if err := t.openKeys(s); err != nil { // a killed connection that is used again would look like a new orphan
			return err
		}
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.orphans = time.Time{}
	return nil
}
