package command

import "fmt"

// An access says what a call does to the keys that a spec finds.
type access uint8

const (
	readWrite access = iota // RW, and RM: what is deleted is changed too
	readOnly                // RO
	overwrite               // OW
)

// A keySpec is one of the key specifications of a COMMAND reply. The zero fields
// stand for what nearly all have: one key, right where the spec begins.
type keySpec struct {
	at     int  // position of the first key
	count  bool // what stands there is the number of keys, which follow it
	last   int  // position of the last key, counted from the first, or from the end if negative
	step   int  // from key to key; 0 means 1
	access access
}

// AppendKeys appends the keys of a call to dst, in the order in which they stand
// and as often. It allocates nothing for keys that are strings, if dst has room.
// Arguments that do not fit the command are [ErrArgs].
func (c *Command) AppendKeys(dst []string, args []any) ([]string, error) {
	return c.appendKeys(dst, args, false)
}

// AppendWritten is AppendKeys for the keys that the call may change alone: of
// SUNIONSTORE d a b it names d. It names none if the call is no write.
func (c *Command) AppendWritten(dst []string, args []any) ([]string, error) {
	if !c.Write(args) {
		return dst, nil
	}
	return c.appendKeys(dst, args, true)
}

func (c *Command) appendKeys(dst []string, args []any, written bool) ([]string, error) {
	// Only the lower bound: newer servers take more arguments than the one
	// that the table is from, never fewer.
	if least := max(c.Arity, -c.Arity); len(args) < least {
		return dst, fmt.Errorf("%w: %s: %d given, %d needed", ErrArgs, c.Name, len(args), least)
	}
	if c.quirk == streams {
		return c.appendStreams(dst, args)
	}
	for i := range c.keys {
		s := &c.keys[i]
		if written && s.access == readOnly {
			continue
		}
		first, last, ok := s.span(args, c.Script)
		if !ok {
			return dst, fmt.Errorf("%w: %s: number of keys", ErrArgs, c.Name)
		}
		var err error
		if dst, err = c.appendSpan(dst, args, first, last, max(s.step, 1)); err != nil {
			return dst, err
		}
	}
	if at := c.storeAt(args); at > 0 {
		return c.appendSpan(dst, args, at, at, 1)
	}
	return dst, nil
}

func (c *Command) appendSpan(dst []string, args []any, first, last, step int) ([]string, error) {
	for i := first; i <= last; i += step {
		key, err := text(args[i])
		if err != nil {
			return dst, fmt.Errorf("%s: argument %d: %w", c.Name, i, err)
		}
		dst = append(dst, key)
	}
	return dst, nil
}

// span returns the first and the last key position, last < first if the call
// has no such key, and false if the arguments make no sense. Both lie within
// args. Only a script may say that it has 0 keys.
func (s *keySpec) span(args []any, script bool) (first, last int, ok bool) {
	first = s.at
	if first >= len(args) {
		return 0, -1, !s.count // PFMERGE without a source
	}
	if s.count {
		n, ok := integer(args[first])
		if !ok || n < 0 || n == 0 && !script || n > int64(len(args)) {
			return 0, -1, false
		}
		last = first + 1 + (int(n)-1)*max(s.step, 1)
		return first + 1, last, last < len(args)
	}
	if last = first + s.last; s.last < 0 {
		last = len(args) + s.last
	}
	return first, last, last < len(args)
}
