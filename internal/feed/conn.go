package feed

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"sync"
	"time"
)

// ErrFlushed is the reason of a gap in which a server has dropped all its keys.
var ErrFlushed = errors.New("all keys changed at once, as by FLUSHALL")

// Errors that end a tracking connection, and with it a generation.
var (
	errNotMaster   = errors.New("the server is not a master")
	errOtherMaster = errors.New("the server has been a replica since")
	errSlotMap     = errors.New("the slot map has changed")
	errSilent      = errors.New("the server does not answer")
)

// readBuffer suits names by the hundred; it is also the longest line.
const readBuffer = 64 << 10

// A conn is a connection on which tracking is on. One goroutine runs serve;
// any may ask.
type conn struct {
	net  net.Conn
	in   reader
	self Identity
	// owned is the slot map as this server saw it when tracking began; empty
	// outside a cluster.
	owned string

	mu      sync.Mutex
	waiting []*request
	failed  error
}

// A request is a pipeline that waits for its replies.
type request struct {
	want    int
	replies []any
	err     error
	done    chan struct{}
}

// serve reads until the connection ends, and says why it did. Handlers are
// called on its goroutine.
func (c *conn) serve() error {
	for {
		reply, err := c.in.next()
		if err != nil {
			return c.fail(err)
		}
		c.mu.Lock()
		if len(c.waiting) == 0 {
			c.mu.Unlock()
			return c.fail(fmt.Errorf("%w: %v, which nobody asked for", errProtocol, reply))
		}
		r := c.waiting[0]
		if r.replies = append(r.replies, reply); len(r.replies) == r.want {
			c.waiting = c.waiting[1:]
			close(r.done)
		}
		c.mu.Unlock()
	}
}

// fail ends the connection, for the given reason unless there is one already.
func (c *conn) fail(err error) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.failed != nil {
		return c.failed
	}
	c.failed = err
	_ = c.net.Close() // what ended it is known
	for _, r := range c.waiting {
		r.err = err
		close(r.done)
	}
	c.waiting = nil
	return err
}

// ask sends commands in one write and returns their replies.
func (c *conn) ask(ctx context.Context, commands ...[]string) ([]any, error) {
	r := &request{want: len(commands), done: make(chan struct{})}
	c.mu.Lock()
	if c.failed != nil {
		defer c.mu.Unlock()
		return nil, c.failed
	}
	c.waiting = append(c.waiting, r)
	// Written under the mutex, so that replies come in the order of waiting.
	// A few hundred bytes fit the socket's buffer; if they do not, the server
	// has not read for long, and the deadline ends the connection.
	_ = c.net.SetWriteDeadline(time.Now().Add(time.Second))
	_, err := c.net.Write(encode(commands...))
	c.mu.Unlock()
	if err != nil {
		return nil, c.fail(err)
	}
	select {
	case <-r.done:
		return r.replies, r.err
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// watermark returns when every change that this server acknowledged before
// the call has been named, provided that it has been the master of the same
// slots all the time.
func (c *conn) watermark(ctx context.Context) error {
	commands := [][]string{{"ping"}, {"info", "replication"}}
	if c.owned != "" {
		commands = append(commands, []string{"cluster", "slots"})
	}
	replies, err := c.ask(ctx, commands...)
	if err != nil {
		return err
	}
	for _, reply := range replies {
		if refused, ok := reply.(replyError); ok {
			return refused // BUSY and the like: no watermark, but no gap
		}
	}
	if field(replies[1], "role") != "master" {
		return c.fail(errNotMaster)
	}
	if field(replies[1], "master_replid") != c.self.ReplID {
		return c.fail(errOtherMaster)
	}
	if c.owned == "" {
		return nil
	}
	owned, err := slotMap(replies[2])
	if err != nil {
		return c.fail(err)
	}
	if owned != c.owned {
		return c.fail(errSlotMap)
	}
	return nil
}

// encode writes commands as a server reads them.
func encode(commands ...[]string) []byte {
	var b []byte
	for _, words := range commands {
		b = append(strconv.AppendInt(append(b, '*'), int64(len(words)), 10), "\r\n"...)
		for _, word := range words {
			b = append(strconv.AppendInt(append(b, '$'), int64(len(word)), 10), "\r\n"...)
			b = append(append(b, word...), "\r\n"...)
		}
	}
	return b
}
