package keysync

import (
	"context"
	"slices"
)

// mendText compares a string window by window, and overwrites those that
// differ. One that is too long is written anew.
func (l *large) mendText(ctx context.Context) error {
	if l.a.length < l.b.length {
		return errRewrite
	}
	for at := int64(0); at < l.a.length; at += pieceBytes {
		if err := l.allowed(); err != nil {
			return err
		}
		words := []any{"getrange", l.key, at, at + pieceBytes - 1}
		a, err := ask(ctx, l.from.client, words...)
		if err != nil {
			return err
		}
		b, err := ask(ctx, l.to.client, words...)
		if err != nil {
			return err
		}
		if a == b {
			continue
		}
		if err := l.put(ctx, []any{"setrange", l.key, at, a}); err != nil {
			return err
		}
	}
	return nil
}

// shiftLimit is how far a list may have moved and still be mended in place.
const shiftLimit = 10_000

// mendList compares a list from its head. Lists that are used as queues differ
// by what was added at one end and taken from the other: then the mirror's is
// moved along once, and its tail appended or cut.
func (l *large) mendList(ctx context.Context) error {
	at, err := l.samePrefix(ctx)
	if err != nil {
		return err
	}
	if at < min(l.a.length, l.b.length) {
		if !l.writes {
			return l.put(ctx)
		}
		moved, err := l.shift(ctx)
		if err != nil {
			return err
		}
		if !moved {
			return errRewrite
		}
		if at, err = l.samePrefix(ctx); err != nil {
			return err
		}
		if at < min(l.a.length, l.b.length) {
			return errRewrite
		}
	}
	if l.b.length > at {
		return l.cut(ctx, l.b.length-at)
	}
	return l.append(ctx, at)
}

// samePrefix says how many elements at the head are the same, and measures
// both lists.
func (l *large) samePrefix(ctx context.Context) (at int64, err error) {
	for _, h := range []struct {
		side *Side
		caps Capabilities
		head *head
	}{{l.from, l.fromCaps, &l.a}, {l.to, l.toCaps, &l.b}} {
		kind := h.head.kind
		if *h.head, err = h.side.head(ctx, h.caps, l.key); err != nil {
			return 0, err
		}
		if h.head.kind != kind {
			return 0, errChanged
		}
	}
	for step := l.a.step(); ; {
		if err := l.allowed(); err != nil {
			return 0, err
		}
		words := []any{"lrange", l.key, at, at + step - 1}
		a, err := askTexts(ctx, l.from.client, words...)
		if err != nil {
			return 0, err
		}
		b, err := askTexts(ctx, l.to.client, words...)
		if err != nil {
			return 0, err
		}
		for i := range min(len(a), len(b)) {
			if a[i] != b[i] {
				return at + int64(i), nil
			}
		}
		at += int64(min(len(a), len(b)))
		if int64(len(a)) < step || int64(len(b)) < step {
			return at, nil
		}
	}
}

// shift looks for the head of one list in the other, and makes the mirror's
// list begin as the authority's does.
func (l *large) shift(ctx context.Context) (moved bool, err error) {
	a, err := askTexts(ctx, l.from.client, "lrange", l.key, 0, 0)
	if err != nil || len(a) == 0 {
		return false, err
	}
	b, err := askTexts(ctx, l.to.client, "lrange", l.key, 0, 0)
	if err != nil || len(b) == 0 {
		return false, err
	}
	if n, ok := position(ctx, l.to, l.key, a[0]); ok { // taken from the head
		for step := l.b.step(); n > 0; n -= step {
			if err := l.put(ctx, []any{"ltrim", l.key, min(n, step), -1}); err != nil {
				return false, err
			}
		}
		return true, nil
	}
	n, ok := position(ctx, l.from, l.key, b[0])
	if !ok {
		return false, nil
	}
	for step := l.a.step(); n > 0; n -= step { // added at the head
		added, err := askTexts(ctx, l.from.client, "lrange", l.key, max(0, n-step), n-1)
		if err != nil {
			return false, err
		}
		if len(added) == 0 {
			return false, errChanged
		}
		slices.Reverse(added)
		if err := l.put(ctx, join(added, "lpush", l.key)); err != nil {
			return false, err
		}
	}
	return true, nil
}

// position finds an element near the head. A server without LPOS (before
// 6.0.6) finds nothing.
func position(ctx context.Context, s *Side, key, element string) (int64, bool) {
	reply, err := ask(ctx, s.client, "lpos", key, element, "maxlen", shiftLimit)
	n, ok := reply.(int64)
	return n, ok && err == nil
}

// cut takes n elements from the tail of the mirror's list.
func (l *large) cut(ctx context.Context, n int64) error {
	for step := l.b.step(); n > 0; n -= step {
		if err := l.put(ctx, []any{"ltrim", l.key, 0, -1 - min(n, step)}); err != nil {
			return err
		}
	}
	return nil
}

// append adds what the authority's list has from position at on.
func (l *large) append(ctx context.Context, at int64) error {
	for step := l.a.step(); ; at += step {
		more, err := askTexts(ctx, l.from.client, "lrange", l.key, at, at+step-1)
		if err != nil {
			return err
		}
		if len(more) == 0 {
			return nil
		}
		if err := l.put(ctx, join(more, "rpush", l.key)); err != nil {
			return err
		}
	}
}
