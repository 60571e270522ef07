package migrate

import (
	"cmp"
	"context"
	"errors"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/transload/transload/internal/keysync"
	"github.com/transload/transload/internal/protocol"
)

var (
	// errNoCopy means that nothing of a batch may be copied under this view: its
	// keys are held, or a lease is missing.
	errNoCopy = errors.New("the keys are held, or a lease is missing")

	// errCopyMoved drops copies that were read under a view which is over.
	errCopyMoved = errors.New("the view has changed")
)

// maxTries is how often a key is tried that the mirror refuses for itself: it
// has no memory, or the value is of a type that it does not know. With the waits
// between that is some three seconds.
const maxTries = 6

// copyBatch copies the keys of a flight and ends it. An error says that the
// mirror, or the way to it, is in trouble.
func (r *mirror) copyBatch(ctx context.Context, v *view, s *shard, batch []item) error {
	if !v.leased {
		s.clear()
		return nil
	}
	var from [3][]item
	var moving [3]bool
	for _, it := range batch {
		side, mv := v.serve(r.m.plan.unit(it.key), true)
		from[side] = append(from[side], it)
		moving[side] = moving[side] || mv
	}
	var trouble error
	back, able := from[protocol.None], false
	for _, side := range protocol.Sides {
		if len(from[side]) == 0 {
			continue
		}
		p, ok := r.m.enterCopy(v, side, moving[side])
		if !ok {
			back = append(back, from[side]...)
			continue
		}
		able = true
		left, err := r.copyKeys(ctx, p, from[side])
		r.m.leaveCopy(p)
		back = append(back, left...)
		trouble = errors.Join(trouble, err)
	}
	if lost := s.landed(back); lost > 0 {
		r.drop(lost)
	}
	if !able && r.m.view.Load() == v {
		return errNoCopy
	}
	return trouble
}

// copyKeys copies keys one way, and returns those that are to be tried again.
func (r *mirror) copyKeys(ctx context.Context, p copyPass, items []item) (back []item, trouble error) {
	ctx, cancel := context.WithTimeout(ctx, copyBound)
	defer cancel()
	keys := make([]string, len(items))
	for i := range items {
		keys[i] = items[i].key
	}
	check := func() error { return r.m.mayCopy(p) }
	results, err := keysync.Copy(ctx, p.from.keys, p.to.keys, keys, keysync.Options{Check: check, Batch: mirrorBatch})
	if results == nil { // not even begun
		if ours(err) {
			return items, errNoCopy
		}
		r.fail(1)
		return items, err
	}
	ended := errors.Is(err, errCopyMoved)
	for i, it := range items {
		switch res := results[i]; {
		case res.Err == nil && (!ended || res.Action != keysync.None):
			r.written.Add(1)
		case ended && (res.Err == nil || errors.Is(res.Err, errCopyMoved)):
			back = append(back, it)
		case ours(res.Err):
			trouble = cmp.Or(trouble, errNoCopy)
			back = append(back, it)
		case ofKey(res.Err):
			r.fail(1)
			if it.tries++; it.tries >= maxTries {
				r.drop(1)
				continue
			}
			it.due = time.Now().Add(50 * time.Millisecond << it.tries)
			back = append(back, it)
		default:
			r.fail(1)
			trouble = res.Err
			back = append(back, it)
		}
	}
	return back, trouble
}

func (r *mirror) fail(n int64) {
	r.failed.Add(n)
	r.recent.Add(n)
}

// ours reports whether this member itself refused to copy: it is about to learn
// of a new record, and closes the pool or refuses a connection meanwhile. That
// says nothing of the mirror, and must not shut the gate that counts failures.
func ours(err error) bool { return errors.Is(err, errStale) || errors.Is(err, redis.ErrClosed) }

// ofKey reports whether a server refused one key, so that others may fare
// better. Replies that tell of the server's own state are not of that kind.
func ofKey(err error) bool {
	for _, prefix := range []string{"LOADING", "READONLY", "MASTERDOWN", "CLUSTERDOWN", "TRYAGAIN", "MOVED", "ASK", "NOREPLICAS", "BUSY ", "NOAUTH", "NOPERM"} {
		if redis.HasErrorPrefix(err, prefix) {
			return false
		}
	}
	_, reply := errors.AsType[redis.Error](err)
	return reply && !errors.Is(err, redis.ErrClosed)
}
