package keysync

import (
	"context"
	"fmt"
	"math"
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
