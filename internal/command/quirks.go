package command

import (
	"fmt"
	"strings"
)

// The parsers here follow those that the server runs a call with, not the looser
// ones of its COMMAND GETKEYS.

// storeAt returns the position of the key that SORT or GEORADIUS stores its
// result in, or 0. Of several, the server takes the last.
func (c *Command) storeAt(args []any) (at int) {
	switch c.quirk {
	case sortStore:
		for i := 2; i < len(args); i++ {
			switch {
			case is(args[i], "limit"):
				i += 2
			case is(args[i], "get"), is(args[i], "by"):
				i++
			case is(args[i], "store") && i+1 < len(args):
				at = i + 1
				i++
			}
		}
	case geoStore:
		for i := c.Arity * -1; i+1 < len(args); i++ {
			if is(args[i], "store") || is(args[i], "storedist") {
				at = i + 1
				i++
			}
		}
	}
	return at
}

// sortsByPattern reports whether a SORT reads keys that it makes up from what it
// sorts: BY with a * in it, or GET of anything but #, the element itself.
func sortsByPattern(args []any) bool {
	for i := 2; i+1 < len(args); i++ {
		by := is(args[i], "by")
		switch {
		case by || is(args[i], "get"):
			pattern, err := text(args[i+1])
			if err != nil || by && strings.Contains(pattern, "*") || !by && pattern != "#" {
				return true
			}
			i++
		case is(args[i], "limit"):
			i += 2
		case is(args[i], "store"):
			i++
		}
	}
	return false
}

// bitfieldWrites reports whether a BITFIELD has any operation but GET. One that
// makes no sense counts as a write.
func bitfieldWrites(args []any) bool {
	for i := 2; i < len(args); i++ {
		left := len(args) - i - 1
		switch {
		case is(args[i], "get") && left >= 2:
			i += 2
		case is(args[i], "overflow") && left >= 1:
			i++
		default:
			return true
		}
	}
	return false
}

// copiesToDB reports whether a COPY names a database.
func copiesToDB(args []any) bool {
	return findWord(args, 3, "db") > 0
}

// scanStreams returns where BLOCK's time-out and where STREAMS stand in XREAD or
// XREADGROUP, 0 for none. GROUP takes its operands, so that a group called
// "streams" is not taken for the keyword; what else stands before it is a number
// or an option of a later server.
func scanStreams(args []any) (block, at int) {
	for i := 1; i < len(args); i++ {
		switch {
		case is(args[i], "group"):
			i += 2
		case is(args[i], "block"):
			block = i + 1
			i++
		case is(args[i], "streams"):
			return block, i
		}
	}
	return block, 0
}

// appendStreams appends the keys between STREAMS and the ids, of which there are
// as many.
func (c *Command) appendStreams(dst []string, args []any) ([]string, error) {
	_, at := scanStreams(args)
	n := len(args) - at - 1
	if at == 0 || n == 0 || n%2 != 0 {
		return dst, fmt.Errorf("%w: %s: keys and ids after STREAMS do not pair", ErrArgs, c.Name)
	}
	return c.appendSpan(dst, args, at+1, at+n/2, 1)
}

// findWord returns the position of a keyword from a position on, or 0.
func findWord(args []any, from int, word string) int {
	for i := from; i < len(args); i++ {
		if is(args[i], word) {
			return i
		}
	}
	return 0
}
