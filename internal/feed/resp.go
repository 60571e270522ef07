package feed

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"strconv"
)

// errProtocol means that a server sent what is no RESP3.
var errProtocol = errors.New("feed: malformed reply")

// maxBulk is the largest string that a server may send: its own limit.
const maxBulk = 512 << 20

// maxDepth bounds how deep replies nest.
const maxDepth = 16

// namesAtOnce is how many names are handed on together. A script that changes
// a hundred thousand keys names them in a single message.
const namesAtOnce = 1000

// A replyError is an error that the server answered with.
type replyError string

func (e replyError) Error() string { return string(e) }

// A reader reads replies, and hands out of band messages to its handlers.
type reader struct {
	*bufio.Reader
	names      func(names []string) // not kept by the callee
	everything func()               // FLUSHALL and the like
}

// next returns the next reply: nil, string, int64, []any or replyError; maps
// and sets are flat arrays, all other types strings.
func (r *reader) next() (any, error) {
	for {
		kind, line, err := r.header()
		if err != nil {
			return nil, err
		}
		if kind != '>' {
			return r.value(kind, line, 0)
		}
		if err := r.push(line); err != nil {
			return nil, err
		}
	}
}

// push reads an out of band message. Those of subscriptions mean nothing here.
func (r *reader) push(line string) error {
	n, err := length(line)
	if err != nil || n < 1 {
		return fmt.Errorf("%w: push of %q", errProtocol, line)
	}
	kind, err := r.plain()
	if err != nil {
		return err
	}
	if kind == "invalidate" && n == 2 {
		return r.invalidate()
	}
	for range n - 1 {
		if _, err := r.plain(); err != nil {
			return err
		}
	}
	return nil
}

// plain reads a reply that is no push.
func (r *reader) plain() (any, error) {
	kind, line, err := r.header()
	if err != nil {
		return nil, err
	}
	return r.value(kind, line, 0)
}

// invalidate reads the names of changed keys, or the null that stands for all.
func (r *reader) invalidate() error {
	kind, line, err := r.header()
	if err != nil {
		return err
	}
	if kind != '*' || line == "-1" {
		if kind != '_' && line != "-1" {
			return fmt.Errorf("%w: invalidate of %q", errProtocol, kind)
		}
		r.everything()
		return nil
	}
	n, err := length(line)
	if err != nil {
		return err
	}
	names := make([]string, 0, min(n, namesAtOnce))
	for range n {
		name, err := r.plain()
		if err != nil {
			return err
		}
		text, ok := name.(string)
		if !ok {
			return fmt.Errorf("%w: %T for the name of a key", errProtocol, name)
		}
		if names = append(names, text); len(names) == namesAtOnce {
			r.names(names)
			names = names[:0]
		}
	}
	if len(names) > 0 {
		r.names(names)
	}
	return nil
}

// header reads the first line of a reply: its type and the rest.
func (r *reader) header() (kind byte, rest string, err error) {
	line, err := r.ReadSlice('\n')
	if errors.Is(err, bufio.ErrBufferFull) {
		return 0, "", fmt.Errorf("%w: a line of %d bytes", errProtocol, len(line))
	}
	if err != nil {
		return 0, "", err
	}
	if len(line) < 3 || line[len(line)-2] != '\r' {
		return 0, "", fmt.Errorf("%w: line %q", errProtocol, line)
	}
	return line[0], string(line[1 : len(line)-2]), nil
}

// value reads what follows a header.
func (r *reader) value(kind byte, line string, depth int) (any, error) {
	switch kind {
	case '+', ',', '(', '#':
		return line, nil
	case '-':
		return replyError(line), nil
	case ':':
		n, err := strconv.ParseInt(line, 10, 64)
		if err != nil {
			return nil, fmt.Errorf("%w: number %q", errProtocol, line)
		}
		return n, nil
	case '_':
		return nil, nil
	case '$', '=', '!':
		return r.bulk(kind, line)
	case '*', '~', '%', '|':
		return r.array(kind, line, depth)
	}
	return nil, fmt.Errorf("%w: type %q", errProtocol, kind)
}

func (r *reader) bulk(kind byte, line string) (any, error) {
	if line == "-1" {
		return nil, nil
	}
	n, err := length(line)
	if err != nil {
		return nil, err
	}
	if n > maxBulk {
		return nil, fmt.Errorf("%w: a string of %d bytes", errProtocol, n)
	}
	text := make([]byte, min(n+2, 64<<10))
	if _, err := io.ReadFull(r, text); err != nil {
		return nil, err
	}
	if more := n + 2 - len(text); more > 0 { // not allocated on the word of a header
		rest, err := io.ReadAll(io.LimitReader(r, int64(more)))
		if err != nil {
			return nil, err
		}
		if len(rest) < more {
			return nil, io.ErrUnexpectedEOF
		}
		text = append(text, rest...)
	}
	switch s := string(text[:n]); {
	case kind == '!':
		return replyError(s), nil
	case kind == '=' && n >= 4:
		return s[4:], nil // less "txt:"
	default:
		return s, nil
	}
}

func (r *reader) array(kind byte, line string, depth int) (any, error) {
	if line == "-1" {
		return nil, nil
	}
	n, err := length(line)
	if err != nil {
		return nil, err
	}
	if depth == maxDepth {
		return nil, fmt.Errorf("%w: nested deeper than %d", errProtocol, maxDepth)
	}
	if kind == '%' || kind == '|' {
		n *= 2
	}
	array := make([]any, 0, min(n, namesAtOnce))
	for range n {
		kind, line, err := r.header()
		if err != nil {
			return nil, err
		}
		element, err := r.value(kind, line, depth+1)
		if err != nil {
			return nil, err
		}
		array = append(array, element)
	}
	if kind == '|' { // attributes: of what follows
		return r.plain()
	}
	return array, nil
}

func length(line string) (int, error) {
	n, err := strconv.Atoi(line)
	if err != nil || n < 0 || n > 1<<32 {
		return 0, fmt.Errorf("%w: length %q", errProtocol, line)
	}
	return n, nil
}
