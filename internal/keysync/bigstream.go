package keysync

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
)

// outline reads all of a stream but its entries.
func (s *Side) outline(ctx context.Context, caps Capabilities, key string) (*stream, error) {
	reply, err := ask(ctx, s.client, "xinfo", "stream", key)
	if err != nil {
		return nil, err
	}
	info, err := record(reply)
	if err != nil {
		return nil, err
	}
	st, err := parseInfo(info)
	if err != nil {
		return nil, err
	}
	reply, err = ask(ctx, s.client, "xinfo", "groups", key)
	if err != nil {
		return nil, err
	}
	groups, _ := reply.([]any)
	for _, reply := range groups {
		fields, err := record(reply)
		if err != nil {
			return nil, err
		}
		g := parseGroup(fields)
		consumers, err := ask(ctx, s.client, "xinfo", "consumers", key, g.name)
		if err != nil {
			return nil, err
		}
		list, _ := consumers.([]any)
		if g.consumers, err = parseConsumers(list); err != nil {
			return nil, err
		}
		if g.pending, err = s.pending(ctx, caps, key, g.name); err != nil {
			return nil, err
		}
		st.groups = append(st.groups, g)
	}
	st.sortGroups()
	return st, nil
}

// Pieces of what groups hold: commands on streams cost more an element.
const (
	pendingPage  = 400
	programPiece = 300 // words
)

// pending reads, page by page, what a group holds. The times of delivery are
// worked out, and may be off by some milliseconds.
func (s *Side) pending(ctx context.Context, caps Capabilities, key, group string) (all []pending, err error) {
	for start := "-"; ; start = nextID(all[len(all)-1].id) {
		c := &call{keys: []string{key}, argv: []any{group, start, pendingPage}}
		s.run(ctx, caps, pendingScript, []*call{c})
		if c.err != nil {
			return nil, c.err
		}
		if len(c.reply) != 2 {
			return nil, streamError("what is pending", c.whole)
		}
		now, _ := c.reply[0].(int64)
		list, _ := c.reply[1].([]any)
		page, err := parsePending(list, func(ago int64) int64 { return now - ago })
		if err != nil {
			return nil, err
		}
		all = append(all, page...)
		if len(page) < pendingPage {
			return all, nil
		}
	}
}

// nextID is the least identifier above one.
func nextID(id string) string {
	ms, seq := splitID(id)
	if seq == math.MaxUint64 {
		return fmt.Sprintf("%d-0", ms+1)
	}
	return fmt.Sprintf("%d-%d", ms, seq+1)
}

// entries reads a window of a stream.
func (s *Side) entries(ctx context.Context, key, start, end string, n int64) ([]entry, error) {
	reply, err := ask(ctx, s.client, "xrange", key, start, end, "count", n)
	if err != nil {
		return nil, err
	}
	return parseEntries(reply)
}

// copyStream fills a temporary key as stream.program would, but in pieces.
func (l *large) copyStream(ctx context.Context, t *temp) (length int64, err error) {
	s, err := l.from.outline(ctx, l.fromCaps, l.key)
	if err != nil {
		return 0, err
	}
	c := &streamCopy{temp: t, s: s, candidates: s.pendingIDs()}
	for start := "-"; ; {
		entries, err := l.from.entries(ctx, l.key, start, "+", max(10, l.a.step()/2))
		if err != nil {
			return 0, err
		}
		if len(entries) == 0 {
			break
		}
		if err := c.add(ctx, entries); err != nil {
			return 0, err
		}
		start = nextID(entries[len(entries)-1].id)
	}
	return c.length, c.finish(ctx)
}

// A streamCopy is a stream that is being written to a temporary key.
type streamCopy struct {
	*temp
	s          *stream
	candidates []string // pending identifiers not yet met, in order
	ghosts     []string // those that turned out to be no entry's
	length     int64
	last       string
}

// pendingIDs returns the identifiers that any group holds, in order.
func (s *stream) pendingIDs() []string {
	var ids []string
	for _, g := range s.groups {
		for _, p := range g.pending {
			ids = append(ids, p.id)
		}
	}
	slices.SortFunc(ids, compareIDs)
	return slices.Compact(ids)
}

func ghostly(key, id string) []any { return []any{"xadd", key, id, "-", "-"} }

// add writes entries, and before each the ghosts that belong there.
func (c *streamCopy) add(ctx context.Context, entries []entry) error {
	var commands [][]any
	for _, e := range entries {
		for len(c.candidates) > 0 && compareIDs(c.candidates[0], e.id) <= 0 {
			if id := c.candidates[0]; id != e.id {
				commands = append(commands, ghostly(c.name, id))
				c.ghosts = append(c.ghosts, id)
			}
			c.candidates = c.candidates[1:]
		}
		commands = append(commands, join(e.fields, "xadd", c.name, e.id))
		if c.length++; c.length == 1 {
			c.s.entries = []entry{{id: e.id}} // all that is asked of it is the first
		}
		c.last = e.id
	}
	_, err := c.fill(ctx, commands...)
	return err
}

// finish writes what comes after the entries.
func (c *streamCopy) finish(ctx context.Context) error {
	rest := c.candidates
	if len(rest) > 0 {
		c.last = rest[len(rest)-1]
	}
	if compareIDs(c.s.lastID, c.last) > 0 && (c.length == 0 || c.s.maxDeleted != zeroID) {
		rest = append(rest, c.s.lastID)
		c.last = c.s.lastID
	}
	c.ghosts = append(c.ghosts, rest...)
	var p program
	for _, id := range rest {
		p.add(ghostly(c.name, id)...)
	}
	if c.last == "" {
		(&stream{}).addEntries(&p, c.name, nil)
	}
	for _, g := range c.s.groups {
		g.program(&p, c.name)
	}
	c.s.removeGhosts(&p, c.name, c.ghosts)
	c.s.setID(&p, c.name)
	p.add("pexpire", c.name, tempLife.Milliseconds())
	return c.runProgram(ctx, c.name, p)
}

// runProgram runs a program in pieces.
func (l *large) runProgram(ctx context.Context, key string, p program) error {
	for len(p) > 0 {
		n := 0
		for n < len(p) && n < programPiece {
			words, _ := p[n].(int)
			n += max(words, -words) + 1
		}
		if err := l.allowed(); err != nil {
			return err
		}
		c := &call{keys: []string{key}, argv: p[:n]}
		l.to.run(ctx, l.toCaps, programScript, []*call{c})
		if c.err != nil {
			return c.err
		}
		l.result.Bytes += int64(programSize(p[:n]))
		p = p[n:]
	}
	return nil
}

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
