package migrate

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"

	"github.com/redis/go-redis/v9"
)

// maxOrphans bounds what is remembered of connections given up. Beyond it the
// member cannot acknowledge a move until they are killed.
const maxOrphans = 10_000

// orphans remembers connections that were given up with a command unanswered:
// the server may still carry it out. They are killed by id before the member
// acknowledges anything.
type orphans struct {
	mu   sync.Mutex
	list []orphan
}

type orphan struct {
	addr string // of the server that had it
	id   int64  // as its HELLO told; 0 if the connection ended before
}

func (o *orphans) add(x orphan) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if len(o.list) < maxOrphans {
		o.list = append(o.list, x)
	}
}

func (o *orphans) take() []orphan {
	o.mu.Lock()
	defer o.mu.Unlock()
	l := o.list
	o.list = nil
	return l
}

func (o *orphans) putBack(l []orphan) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.list = append(o.list, l...)
}

// wrap watches one connection.
func (o *orphans) wrap(c net.Conn) net.Conn {
	w := &watchedConn{Conn: c, to: o}
	if raw, ok := c.(syscall.Conn); ok {
		return rawWatchedConn{w, raw} // go-redis looks through it for connections that the server has closed
	}
	return w
}

type rawWatchedConn struct {
	*watchedConn
	syscall.Conn
}

// A watchedConn reads its own id from the reply to HELLO, and notes whether it
// is closed with something unanswered: the last thing was a write, or a read
// failed. It errs on the side of an orphan; killing a connection that is gone
// costs nothing.
type watchedConn struct {
	net.Conn
	to *orphans

	mu      sync.Mutex
	id      int64
	head    []byte // what was read before the id was found
	suspect bool
	closed  bool
}

func (c *watchedConn) Write(b []byte) (int, error) {
	c.mu.Lock()
	c.suspect = true
	c.mu.Unlock()
	return c.Conn.Write(b)
}

func (c *watchedConn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	c.mu.Lock()
	defer c.mu.Unlock()
	if n > 0 && c.id == 0 {
		c.learn(b[:n])
	}
	c.suspect = err != nil // a read is asked for only where a reply is due
	return n, err
}

// learn looks for the id in the reply to HELLO, which is among the first bytes
// of a connection in both protocol versions.
func (c *watchedConn) learn(b []byte) {
	const mark = "$2\r\nid\r\n:"
	if len(c.head) > 4096 {
		c.id, c.head = -1, nil // this server tells none
		return
	}
	c.head = append(c.head, b...)
	_, rest, ok := bytes.Cut(c.head, []byte(mark))
	if !ok {
		return
	}
	digits, _, ok := bytes.Cut(rest, []byte("\r\n"))
	if !ok {
		return
	}
	if id, err := strconv.ParseInt(string(digits), 10, 64); err == nil {
		c.id, c.head = id, nil
	}
}

func (c *watchedConn) Close() error {
	c.mu.Lock()
	if c.suspect && !c.closed && c.id > 0 {
		c.to.add(orphan{addr: c.Conn.RemoteAddr().String(), id: c.id})
	}
	c.closed = true
	c.mu.Unlock()
	return c.Conn.Close()
}

// killOrphans ends the connections that were given up on one side. A server that
// refuses connections is dead and has none; one that does not answer leaves its
// orphans to be killed later, and the member cannot acknowledge.
func (m *member) killOrphans(ctx context.Context, sd *memberSide) error {
	left := sd.orphans.take()
	if len(left) == 0 {
		return nil
	}
	byAddr := map[string][]int64{}
	for _, o := range left {
		byAddr[o.addr] = append(byAddr[o.addr], o.id)
	}
	for addr, ids := range byAddr {
		if err := m.killAt(ctx, sd, addr, ids); err != nil {
			sd.orphans.putBack(left) // killing twice is harmless
			return fmt.Errorf("orphaned connections on %s: %w", addr, err)
		}
	}
	return nil
}

func (m *member) killAt(ctx context.Context, sd *memberSide, addr string, ids []int64) error {
	node, err := sd.ctl.Node(addr)
	if err != nil {
		return err
	}
	defer node.Close()
	slices.Sort(ids)
	args := []any{"client", "list", "id"}
	for _, id := range ids {
		args = append(args, id)
	}
	list, err := node.Do(ctx, args...).Text()
	if err != nil {
		if errors.Is(err, syscall.ECONNREFUSED) || unknownCommand(err) {
			return nil
		}
		return err
	}
	p := node.Pipeline()
	for line := range strings.Lines(list) {
		if f := clientFields(line); f["name"] == m.clientName() {
			p.Do(ctx, "client", "kill", "id", f["id"]) // 0 if it went by itself
		}
	}
	if p.Len() == 0 {
		return nil
	}
	_, err = p.Exec(ctx)
	return err
}

// clientFields reads one line of CLIENT LIST.
func clientFields(line string) map[string]string {
	out := map[string]string{}
	for f := range strings.FieldsSeq(line) {
		if k, v, ok := strings.Cut(f, "="); ok {
			out[k] = v
		}
	}
	return out
}

func unknownCommand(err error) bool {
	return redis.HasErrorPrefix(err, "ERR unknown") || redis.HasErrorPrefix(err, "ERR Unknown") || redis.HasErrorPrefix(err, "NOPERM")
}
