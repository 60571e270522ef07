package feed

import (
	"bufio"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
)

// ErrNoTracking means that a server cannot say which keys change: it does not
// know CLIENT TRACKING (before 6.0, or not a real Redis) or does not allow it.
// The only proof of equality is then a full pass.
var ErrNoTracking = errors.New("feed: the server has no CLIENT TRACKING, or does not allow it")

// Errors that end a tracking connection, and with it a generation.
var (
	errNotMaster   = errors.New("the server is not a master")
	errOtherMaster = errors.New("the server has been a replica since")
	errSlotMap     = errors.New("the slot map has changed")
	errFlushed     = errors.New("all keys changed at once, as by FLUSHALL")
	errSilent      = errors.New("the server does not answer")
)

// quiet is a channel to which nobody publishes.
const quiet = "transload:feed"

// readBuffer suits names by the hundred; it is also the longest line.
const readBuffer = 64 << 10

// An Identity tells which server, and which time of its being a master, a
// tracking connection leads to.
type Identity struct {
	Addr string
	// RunID is of the process. It is empty where a service hides it.
	RunID string
	// ReplID is of the history of writes: a server that becomes a replica, or
	// a replica that becomes a master, gets another.
	ReplID string
}

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

// dial connects to a master and turns tracking on. From then on changes are
// handed to in's handlers, once serve runs.
func dial(ctx context.Context, opt *redis.Options, cluster bool, in reader) (*conn, error) {
	ctx, cancel := context.WithTimeout(ctx, opt.DialTimeout)
	defer cancel()
	nc, err := opt.Dialer(ctx, opt.Network, opt.Addr)
	if err != nil {
		return nil, err
	}
	in.Reader = bufio.NewReaderSize(nc, readBuffer)
	c := &conn{net: nc, in: in, self: Identity{Addr: opt.Addr}}
	stop := context.AfterFunc(ctx, func() { _ = nc.SetDeadline(time.Unix(1, 0)) })
	if err = c.handshake(ctx, opt, cluster); err == nil && !stop() {
		err = context.Cause(ctx)
	}
	if err != nil {
		stop()
		return nil, errors.Join(err, nc.Close())
	}
	return c, nil
}

// handshake authenticates, turns tracking on, and only then asks who the
// server is: what it says holds since before the first name.
func (c *conn) handshake(ctx context.Context, opt *redis.Options, cluster bool) error {
	hello := []string{"hello", "3"}
	if user, password, err := credentials(ctx, opt); err != nil {
		return err
	} else if password != "" {
		hello = append(hello, "auth", user, password)
	}
	if opt.ClientName != "" {
		hello = append(hello, "setname", opt.ClientName)
	}
	if reply, err := c.first(hello); err != nil {
		return refusal(reply, err)
	}
	if reply, err := c.first([]string{"client", "tracking", "on", "bcast"}); err != nil {
		return refusal(reply, err)
	}
	// SUBSCRIBE answers out of band, or with an error where the channel is not
	// allowed; then the feed does without the server's limit.
	if _, err := c.net.Write(encode([]string{"subscribe", quiet}, []string{"ping"})); err != nil {
		return err
	}
	for pong := any(nil); pong != "PONG"; {
		var err error
		if pong, err = c.in.next(); err != nil {
			return err
		}
	}
	return c.identify(cluster)
}

// refusal tells a server that has no tracking from one that has no time.
func refusal(reply any, err error) error {
	text, ok := reply.(replyError)
	if ok && (strings.HasPrefix(string(text), "ERR ") || strings.HasPrefix(string(text), "NOPERM ") ||
		strings.HasPrefix(string(text), "NOPROTO ")) {
		return fmt.Errorf("%w: %w", ErrNoTracking, text)
	}
	return err
}

// first sends a command during the handshake and returns its reply, which is
// also the error if it is one.
func (c *conn) first(command []string) (any, error) {
	if _, err := c.net.Write(encode(command)); err != nil {
		return nil, err
	}
	reply, err := c.in.next()
	if err != nil {
		return nil, err
	}
	if refused, ok := reply.(replyError); ok {
		return reply, refused
	}
	return reply, nil
}

func (c *conn) identify(cluster bool) error {
	server, err := c.first([]string{"info", "server"})
	if err != nil {
		return err
	}
	replication, err := c.first([]string{"info", "replication"})
	if err != nil {
		return err
	}
	c.self.RunID = field(server, "run_id")
	c.self.ReplID = field(replication, "master_replid")
	if field(replication, "role") != "master" {
		return errNotMaster
	}
	if !cluster {
		return nil
	}
	slots, err := c.first([]string{"cluster", "slots"})
	if err != nil {
		return err
	}
	c.owned, err = slotMap(slots)
	return err
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

// credentials are those with which go-redis would log in.
func credentials(ctx context.Context, opt *redis.Options) (user, password string, err error) {
	user, password = opt.Username, opt.Password
	switch {
	case opt.CredentialsProviderContext != nil:
		user, password, err = opt.CredentialsProviderContext(ctx)
	case opt.CredentialsProvider != nil:
		user, password = opt.CredentialsProvider()
	}
	if user == "" {
		user = "default"
	}
	return user, password, err
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

// field returns a line of INFO.
func field(info any, name string) string {
	text, _ := info.(string)
	for line := range strings.Lines(text) {
		if value, ok := strings.CutPrefix(line, name+":"); ok {
			return strings.TrimSpace(value)
		}
	}
	return ""
}

// slotMap digests who owns which slots out of CLUSTER SLOTS; replicas do not
// matter.
func slotMap(reply any) (string, error) {
	ranges, ok := reply.([]any)
	if !ok {
		return "", fmt.Errorf("%w: %T for CLUSTER SLOTS", errProtocol, reply)
	}
	lines := make([]string, 0, len(ranges))
	for _, r := range ranges {
		parts, _ := r.([]any)
		if len(parts) < 3 {
			return "", fmt.Errorf("%w: %d parts of a slot range", errProtocol, len(parts))
		}
		lines = append(lines, fmt.Sprintln(parts[0], parts[1], nodeID(parts[2])))
	}
	slices.Sort(lines)
	sum := sha256.Sum256([]byte(strings.Join(lines, "")))
	return string(sum[:]), nil
}

// nodeID is the third part of a node, where it has one.
func nodeID(node any) any {
	parts, _ := node.([]any)
	if len(parts) < 3 {
		return node
	}
	return parts[2]
}
