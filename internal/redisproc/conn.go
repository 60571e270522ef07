package redisproc

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"time"
)

// A ReplyError is an error that the server sent.
type ReplyError string

func (e ReplyError) Error() string { return string(e) }

// A Push is a message that the server sent unasked, on a connection that has said
// HELLO 3.
type Push []any

// A Conn is one connection, RESP2 unless it says HELLO 3, with nothing between its user and the socket:
// no pool, no handshake, no retry. Tests of what a server does with a connection
// need to know which one they have. It is not safe for concurrent use.
type Conn struct {
	net.Conn
	r *bufio.Reader
}

// NewConn speaks RESP over nc.
func NewConn(nc net.Conn) *Conn { return &Conn{nc, bufio.NewReader(nc)} }

// Do sends one command and returns its reply: a string, an int64, a []any (a map
// is a flat list), nil, or a ReplyError as err. It gives up when ctx does.
func (c *Conn) Do(ctx context.Context, args ...string) (any, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	stop := context.AfterFunc(ctx, func() { _ = c.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	if err := c.Send(args...); err != nil {
		return nil, err
	}
	return c.Receive()
}

// Send writes one command and waits for nothing.
func (c *Conn) Send(args ...string) error {
	_, err := io.WriteString(c.Conn, Command(args...))
	return err
}

// Receive reads one reply, or one Push.
func (c *Conn) Receive() (any, error) {
	v, err := c.read()
	if e, ok := v.(ReplyError); ok && err == nil {
		return nil, e
	}
	return v, err
}

// Command returns the bytes of a command.
func Command(args ...string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "*%d\r\n", len(args))
	for _, a := range args {
		fmt.Fprintf(&b, "$%d\r\n%s\r\n", len(a), a)
	}
	return b.String()
}

// read returns one value; an error inside an array is a value of it.
func (c *Conn) read() (any, error) {
	line, err := c.r.ReadString('\n')
	if err != nil {
		return nil, err
	}
	line = strings.TrimSuffix(line, "\r\n")
	if line == "" {
		return nil, errors.New("redisproc: empty reply")
	}
	switch rest := line[1:]; line[0] {
	case '+':
		return rest, nil
	case '-':
		return ReplyError(rest), nil
	case ':':
		return strconv.ParseInt(rest, 10, 64)
	case '$':
		n, err := strconv.Atoi(rest)
		if err != nil || n < 0 {
			return nil, err
		}
		buf := make([]byte, n+2)
		_, err = io.ReadFull(c.r, buf)
		return string(buf[:n]), err
	case '_':
		return nil, nil
	case '>':
		list, err := c.list(rest, 1)
		return Push(list), err
	case '%':
		return c.list(rest, 2)
	case '*', '~':
		if rest == "-1" {
			return nil, nil
		}
		return c.list(rest, 1)
	}
	return nil, fmt.Errorf("redisproc: reply begins with %q", line[0])
}

// list reads as many values as count says, times each.
func (c *Conn) list(count string, each int) ([]any, error) {
	n, err := strconv.Atoi(count)
	if err != nil || n < 0 {
		return nil, fmt.Errorf("redisproc: a list of %q", count)
	}
	values := make([]any, n*each)
	for i := range values {
		if values[i], err = c.read(); err != nil {
			return nil, err
		}
	}
	return values, nil
}
