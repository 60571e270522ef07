package command

import (
	"iter"
	"maps"
	"slices"
	"strings"
)

// longest is the length of the longest name that Lookup folds without an
// allocation; a test holds every name of the table to it.
const longest = 32

// index holds the commands by their first word.
var index = build()

// Lookup finds the command of a call by its name and, where it has them, by its
// subcommand, in upper or lower case. It returns false for what the table does
// not know: a command of a module or of a later server, of which nobody can say
// what its keys are.
func Lookup(args []any) (*Command, bool) {
	if len(args) == 0 {
		return nil, false
	}
	c, ok := find(index, args[0])
	if !ok || c.subs == nil || len(args) == 1 {
		return c, ok
	}
	return find(c.subs, args[1])
}

func find(m map[string]*Command, arg any) (*Command, bool) {
	name, ok := arg.(string)
	if !ok {
		var err error
		if name, err = text(arg); err != nil {
			return nil, false
		}
	}
	if c, ok := m[name]; ok { // go-redis writes nearly all names in lower case
		return c, true
	}
	if len(name) > longest {
		return nil, false
	}
	var buf [longest]byte
	for i := range len(name) {
		buf[i] = lower(name[i])
	}
	c, ok := m[string(buf[:len(name)])]
	return c, ok
}

// All returns every command and subcommand of the table, in order of their
// names.
func All() iter.Seq[*Command] {
	return func(yield func(*Command) bool) {
		for _, name := range slices.Sorted(maps.Keys(index)) {
			c := index[name]
			if !yield(c) {
				return
			}
			for _, sub := range slices.Sorted(maps.Keys(c.subs)) {
				if !yield(c.subs[sub]) {
					return
				}
			}
		}
	}
}

// build joins the generated table, what newer servers and modules add, and what
// is written by hand about each.
func build() map[string]*Command {
	m := make(map[string]*Command, len(served)+len(newer)+len(modules))
	for _, part := range [][]Command{served, newer, modules} {
		for i := range part {
			add(m, &part[i])
		}
	}
	h := newHand()
	for _, c := range m {
		h.classify(c)
		for _, sub := range c.subs {
			h.classify(sub)
		}
	}
	return m
}

func add(m map[string]*Command, c *Command) {
	head, sub, isSub := strings.Cut(c.Name, "|")
	if !isSub {
		m[head] = c
		return
	}
	parent := m[head]
	if parent.subs == nil {
		parent.subs = make(map[string]*Command)
	}
	parent.subs[sub] = c
}
