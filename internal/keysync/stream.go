package keysync

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// A stream is all that a stream key holds.
type stream struct {
	lastID string
	// added and maxDeleted are known to servers from 7.0 on; -1 and "" else.
	added      int64
	maxDeleted string
	entries    []entry
	groups     []group // by name
}

type entry struct {
	id     string
	fields []string
}

type group struct {
	name, lastID string
	read         int64    // how many entries were read; -1 when not known
	consumers    []string // sorted
	pending      []pending
}

type pending struct {
	id, consumer     string
	delivered, count int64 // delivered in Unix milliseconds
}

// deliverySlack is how far the times of a delivery may lie apart, in
// milliseconds. Only XINFO STREAM … FULL tells them as they are; else they are
// worked out from "so long ago". A real new delivery is counted, too.
const deliverySlack = 1000

// maxClaims is how many entries one XCLAIM sets: it looks each up in the stream.
const maxClaims = 100

const zeroID = "0-0"

// same compares two streams. What one of the servers does not know is left
// out.
func (s *stream) same(o *stream) bool {
	both := s.added >= 0 && o.added >= 0
	if both && (s.added != o.added || s.maxDeleted != o.maxDeleted) {
		return false
	}
	return s.lastID == o.lastID &&
		slices.EqualFunc(s.entries, o.entries, entry.same) &&
		slices.EqualFunc(s.groups, o.groups, func(g, h group) bool {
			return g.same(h, both)
		})
}

func (e entry) same(o entry) bool { return e.id == o.id && slices.Equal(e.fields, o.fields) }

func (g group) same(o group, read bool) bool {
	return g.name == o.name && g.lastID == o.lastID && (!read || g.read == o.read) &&
		slices.Equal(g.consumers, o.consumers) &&
		slices.EqualFunc(g.pending, o.pending, func(p, q pending) bool {
			if max(p.delivered-q.delivered, q.delivered-p.delivered) <= deliverySlack {
				p.delivered = q.delivered
			}
			return p == q
		})
}

// program appends what builds the stream in a key that does not exist.
//
// XCLAIM keeps nothing pending that is no longer in the stream, so such
// entries are put in and taken out again. So is one with the last identifier
// where that is no entry's: a server without XSETID has no other way.
func (s *stream) program(p *program, key string) {
	ghosts := s.ghosts()
	s.addEntries(p, key, ghosts)
	for _, g := range s.groups {
		g.program(p, key)
	}
	s.removeGhosts(p, key, ghosts)
	s.setID(p, key)
}

// setID appends what sets the counters that no other command can set.
func (s *stream) setID(p *program, key string) {
	if s.added >= 0 {
		words := []any{"xsetid", key, s.lastID, "entriesadded", s.added}
		if s.maxDeleted != zeroID {
			words = append(words, "maxdeletedid", s.maxDeleted)
		}
		p.try(words...)
	}
}

// ghosts returns the identifiers, in order, that must have been in the stream
// for a while but are not.
func (s *stream) ghosts() []string {
	present := make(map[string]bool, len(s.entries))
	for _, e := range s.entries {
		present[e.id] = true
	}
	var list []string
	for _, g := range s.groups {
		for _, p := range g.pending {
			list = append(list, p.id)
		}
	}
	if s.lastID != zeroID && (len(s.entries) == 0 || s.maxDeleted != zeroID) {
		list = append(list, s.lastID)
	}
	list = slices.DeleteFunc(list, func(id string) bool { return present[id] })
	slices.SortFunc(list, compareIDs)
	return slices.Compact(list)
}

func (s *stream) addEntries(p *program, key string, ghosts []string) {
	if len(s.entries)+len(ghosts) == 0 { // an empty one: a group makes it
		p.add("xgroup", "create", key, "-", zeroID, "mkstream")
		p.add("xgroup", "destroy", key, "-")
		return
	}
	for _, e := range s.entries {
		for len(ghosts) > 0 && compareIDs(ghosts[0], e.id) < 0 {
			p.add("xadd", key, ghosts[0], "-", "-")
			ghosts = ghosts[1:]
		}
		e.program(p, key)
	}
	for _, id := range ghosts {
		p.add("xadd", key, id, "-", "-")
	}
}

func (e entry) program(p *program, key string) {
	*p = append(append(*p, 3+len(e.fields)), "xadd", key, e.id)
	for _, field := range e.fields {
		*p = append(*p, field)
	}
}

// removeGhosts deletes those that the stream may have deleted by XDEL, and
// trims the others: XDEL leaves a mark that nothing can set back.
func (s *stream) removeGhosts(p *program, key string, ghosts []string) {
	if len(ghosts) == 0 {
		return
	}
	if s.maxDeleted == zeroID {
		if len(s.entries) == 0 {
			p.add("xtrim", key, "maxlen", 0)
		} else {
			p.add("xtrim", key, "minid", s.entries[0].id)
		}
	}
	p.addMany(1, ghosts, "xdel", key)
}

// program appends what makes the group, with its consumers and what they hold.
func (g group) program(p *program, key string) {
	p.add("xgroup", "create", key, g.name, g.lastID)
	if g.read >= 0 {
		p.try("xgroup", "setid", key, g.name, g.lastID, "entriesread", g.read)
	}
	for _, consumer := range g.consumers {
		p.try("xgroup", "createconsumer", key, g.name, consumer)
	}
	for rest := g.pending; len(rest) > 0; {
		n := 1
		for n < len(rest) && n < maxClaims && rest[n].alike(rest[0]) {
			n++
		}
		rest[0].claim(p, key, g.name, rest[:n])
		rest = rest[n:]
	}
}

// alike reports whether one XCLAIM can set both.
func (p pending) alike(q pending) bool {
	q.id = p.id
	return p == q
}

func (p pending) claim(prog *program, key, group string, alike []pending) {
	words := []any{"xclaim", key, group, p.consumer, 0}
	for _, q := range alike {
		words = append(words, q.id)
	}
	prog.add(append(words, "time", p.delivered, "retrycount", p.count, "justid", "force")...)
}

// compareIDs orders identifiers of entries.
func compareIDs(a, b string) int {
	aTime, aSeq := splitID(a)
	bTime, bSeq := splitID(b)
	return cmp.Or(cmp.Compare(aTime, bTime), cmp.Compare(aSeq, bSeq))
}

func splitID(id string) (ms, seq uint64) {
	left, right, _ := strings.Cut(id, "-")
	ms, _ = strconv.ParseUint(left, 10, 64) // a server wrote it
	seq, _ = strconv.ParseUint(right, 10, 64)
	return ms, seq
}

// fullID adds the sequence where a server leaves it out.
func fullID(id string) string {
	switch {
	case id == "":
		return zeroID
	case !strings.Contains(id, "-"):
		return id + "-0"
	}
	return id
}

func streamError(what string, reply any) error {
	return fmt.Errorf("%w: %T for %s of a stream", errReply, reply, what)
}
