package keysync

import (
	"context"
	"slices"
)

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
