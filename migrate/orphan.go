package migrate

import (
	"bytes"
	"net"
	"strconv"
	"sync"
	"syscall"
	"time"
)

const (
	// maxOrphans bounds what is remembered of connections given up. Beyond it
	// every connection of this member to that side is killed instead.
	maxOrphans = 10_000

	// restless is how long after its last byte a connection that is closed counts
	// as given up, whatever it read last: go-redis closes one after READONLY with
	// the rest of a pipeline unanswered.
	restless = time.Second
)

// orphans remembers the connections to one side that were given up with a
// command unanswered: the server may still carry it out. They are killed by id
// before the member acknowledges anything.
type orphans struct {
	mu   sync.Mutex
	list map[orphan]time.Time // when it was given up
	over bool                 // there were too many to remember
}

// An orphan is one connection, by the server that had it and its id there.
type orphan struct {
	addr string
	id   int64
}

func (o *orphans) add(x orphan) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.list == nil {
		o.list = map[orphan]time.Time{}
	}
	if len(o.list) >= maxOrphans {
		o.over = true
		return
	}
	o.list[x] = time.Now()
}

// byServer returns the ids by address, and whether there were more.
func (o *orphans) byServer() (ids map[string][]int64, over bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if len(o.list) > 0 {
		ids = map[string][]int64{}
	}
	for x := range o.list {
		ids[x.addr] = append(ids[x.addr], x.id)
	}
	return ids, o.over
}

// youngest returns when the last of a server's was given up.
func (o *orphans) youngest(addr string) (at time.Time) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for x, t := range o.list {
		if x.addr == addr && t.After(at) {
			at = t
		}
	}
	return at
}

// gone forgets connections that are known to have ended. They stay on the list
// until then, so that two that kill at once both wait for the kill.
func (o *orphans) gone(addr string, ids []int64) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, id := range ids {
		delete(o.list, orphan{addr, id})
	}
}

func (o *orphans) recovered() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.over = false
}

func (o *orphans) len() int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return len(o.list)
}

// wrap watches one connection of a pool.
func (o *orphans) wrap(c net.Conn, p *pool) net.Conn {
	w := &watchedConn{Conn: c, to: o, of: p}
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
// is closed with something unanswered. It does not follow replies, and errs on
// the side of an orphan: a close counts as one if the last thing was a write or
// a read that failed, if it comes right after traffic (unless every write is
// known to have ended), or if the pool's lease has lapsed. To kill a connection that is gone costs nothing.
type watchedConn struct {
	net.Conn
	to *orphans
	of *pool

	mu      sync.Mutex
	id      int64
	head    []byte // what was read before the id was found
	suspect bool
	closed  bool
	last    time.Time
}

func (c *watchedConn) Write(b []byte) (int, error) {
	c.mu.Lock()
	c.suspect, c.last = true, time.Now()
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
	given := c.suspect || c.of.lapsed.Load() || (!c.of.quiet.Load() && time.Since(c.last) < restless)
	if given && !c.closed && c.id > 0 {
		c.to.add(orphan{addr: c.Conn.RemoteAddr().String(), id: c.id})
	}
	c.closed = true
	c.mu.Unlock()
	return c.Conn.Close()
}
