package keysync

import (
	"context"
	"errors"
	"slices"
)

// mendStream mends what streams commonly differ in: entries added at the tail,
// trimmed at the head or deleted, and groups. All else is written anew.
func (l *large) mendStream(ctx context.Context) error {
	a, err := l.from.outline(ctx, l.fromCaps, l.key)
	if err != nil {
		return err
	}
	b, err := l.to.outline(ctx, l.toCaps, l.key)
	if err != nil {
		return err
	}
	if compareIDs(b.lastID, a.lastID) > 0 || b.added >= 0 && a.maxDeleted == zeroID && b.maxDeleted != zeroID {
		return l.anew()
	}
	if err := l.mendEntries(ctx, a.lastID, b.lastID); err != nil {
		return err
	}
	if err := l.mendGroups(ctx, a, b); err != nil {
		return err
	}
	if b, err = l.to.outline(ctx, l.toCaps, l.key); err != nil {
		return err
	}
	if a.same(b) {
		return nil
	}
	var p program
	a.setID(&p, l.key)
	if err := l.putProgram(ctx, p); err != nil {
		return err
	}
	if b, err = l.to.outline(ctx, l.toCaps, l.key); err != nil || a.same(b) {
		return err
	}
	now, err := l.from.outline(ctx, l.fromCaps, l.key)
	if err != nil || !a.same(now) {
		return err // changed meanwhile: the feed names it again
	}
	return errRewrite // what is pending is no longer in the stream, or there is no XSETID
}

// anew gives up mending; who only compares has seen enough.
func (l *large) anew() error {
	if l.writes {
		return errRewrite
	}
	return errDiffers
}

// putProgram is put for a program.
func (l *large) putProgram(ctx context.Context, p program) error {
	if err := l.put(ctx); err != nil || len(p) == 0 {
		return err
	}
	return l.runProgram(ctx, l.key, p)
}

// mendEntries goes through the entries of both sides up to final, window by
// window. New ones must come after last, the mirror's last identifier.
func (l *large) mendEntries(ctx context.Context, final, last string) error {
	if err := l.trimHead(ctx); err != nil {
		return err
	}
	step := max(10, l.a.step()/4)
	for start := "-"; ; {
		if err := l.allowed(); err != nil {
			return err
		}
		a, err := l.from.entries(ctx, l.key, start, final, step)
		if err != nil {
			return err
		}
		end := final
		if int64(len(a)) == step {
			end = a[step-1].id
		}
		b, err := l.to.entries(ctx, l.key, start, end, 2*step)
		if err != nil {
			return err
		}
		if int64(len(b)) == 2*step {
			return l.anew()
		}
		if err := l.mendWindow(ctx, a, b, last); err != nil {
			return err
		}
		if end == final {
			return nil
		}
		start = nextID(end)
	}
}

// trimHead takes entries from the mirror that are older than the authority's
// oldest, some at a time.
func (l *large) trimHead(ctx context.Context) error {
	a, err := l.from.entries(ctx, l.key, "-", "+", 1)
	if err != nil || len(a) == 0 {
		return err
	}
	for {
		b, err := l.to.entries(ctx, l.key, "-", "+", pieceLen/4)
		if err != nil {
			return err
		}
		i, _ := slices.BinarySearchFunc(b, a[0].id, func(e entry, id string) int { return compareIDs(e.id, id) })
		switch {
		case i == 0:
			return nil
		case i < len(b):
			return l.put(ctx, []any{"xtrim", l.key, "minid", a[0].id})
		}
		if err := l.put(ctx, []any{"xtrim", l.key, "minid", nextID(b[i-1].id)}); err != nil {
			return err
		}
	}
}

// mendWindow makes the entries of one window equal.
func (l *large) mendWindow(ctx context.Context, a, b []entry, last string) error {
	var commands [][]any
	deleted := []any{"xdel", l.key}
	for len(a) > 0 || len(b) > 0 {
		switch {
		case len(a) == 0 || len(b) > 0 && compareIDs(b[0].id, a[0].id) < 0:
			deleted = append(deleted, b[0].id)
			b = b[1:]
		case len(b) == 0 || compareIDs(a[0].id, b[0].id) < 0:
			if compareIDs(a[0].id, last) <= 0 {
				return l.anew()
			}
			commands = append(commands, join(a[0].fields, "xadd", l.key, a[0].id))
			a = a[1:]
		case !a[0].same(b[0]):
			return l.anew()
		default:
			a, b = a[1:], b[1:]
		}
	}
	if len(deleted) > 2 {
		commands = append(commands, deleted)
	}
	if len(commands) == 0 {
		return nil
	}
	return l.put(ctx, commands...)
}

// mendGroups builds the groups anew that differ.
func (l *large) mendGroups(ctx context.Context, a, b *stream) error {
	both := a.added >= 0 && b.added >= 0
	var p program
	for _, g := range b.groups {
		at := slices.IndexFunc(a.groups, func(h group) bool { return h.name == g.name })
		if at < 0 || !a.groups[at].same(g, both) {
			p.add("xgroup", "destroy", l.key, g.name)
		}
	}
	for _, g := range a.groups {
		at := slices.IndexFunc(b.groups, func(h group) bool { return h.name == g.name })
		if at < 0 || !g.same(b.groups[at], both) {
			g.program(&p, l.key)
		}
	}
	if len(p) == 0 {
		return nil
	}
	return l.putProgram(ctx, p)
}

// errDiffers ends a comparison that has found a difference.
var errDiffers = errors.New("the sides differ")
