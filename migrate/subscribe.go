package migrate

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"

	"github.com/transload/transload/internal/command"
	"github.com/transload/transload/internal/protocol"
	"github.com/transload/transload/topology"
)

// subscribeWithin bounds one attempt to connect a subscription, logging in
// included: PubSub holds its lock meanwhile, so that Close waits for it.
const subscribeWithin = 5 * time.Second

// Subscribe returns a subscription that changes sides by itself. It is on the
// source until the migration is done, while what is published through migrating
// clients goes to both sides; then its connection is cut, so that it connects to
// the target. What is published while it reconnects is missed, as in any
// failover. A source that cannot be reached is replaced by the target before
// that.
func (c *Client) Subscribe(ctx context.Context, channels ...string) *redis.PubSub {
	if c.plain != nil {
		return c.plain.Subscribe(ctx, channels...)
	}
	return c.subs.client("").Subscribe(ctx, channels...)
}

// PSubscribe is Subscribe for patterns.
func (c *Client) PSubscribe(ctx context.Context, patterns ...string) *redis.PubSub {
	if c.plain != nil {
		return c.plain.PSubscribe(ctx, patterns...)
	}
	return c.subs.client("").PSubscribe(ctx, patterns...)
}

// SSubscribe is Subscribe for the channels of one slot.
func (c *Client) SSubscribe(ctx context.Context, channels ...string) *redis.PubSub {
	if c.plain != nil {
		return c.plain.SSubscribe(ctx, channels...)
	}
	shard := ""
	if len(channels) > 0 {
		shard = channels[0]
	}
	return c.subs.client(shard).SSubscribe(ctx, channels...)
}

// A subscriber connects subscriptions to the side that is their turn, and cuts
// those that are on the wrong one. go-redis makes a PubSub of a client whose
// server is fixed, so the dialler chooses; it also logs in, since the two sides
// have different passwords.
type subscriber struct {
	m *member

	mu     sync.Mutex
	conns  map[*subConn]struct{}
	closed bool
}

// A subConn is one subscription's connection.
type subConn struct {
	net.Conn
	to   *subscriber
	side protocol.Side
}

func (c *subConn) Close() error {
	c.to.mu.Lock()
	delete(c.to.conns, c)
	c.to.mu.Unlock()
	return c.Conn.Close()
}

func newSubscriber(m *member) *subscriber {
	return &subscriber{m: m, conns: map[*subConn]struct{}{}}
}

// client makes the client of one subscription. It has no connections but those
// of its subscriptions, and need not be closed.
func (s *subscriber) client(shard string) *redis.Client {
	return redis.NewClient(&redis.Options{
		Addr: "127.0.0.1:0", Protocol: 2, PipelinePoolSize: -1, MaxRetries: -1, DisableIdentity: true,
		ClientName:               s.m.clientName(),
		MaintNotificationsConfig: &maintnotifications.Config{Mode: maintnotifications.ModeDisabled},
		Dialer: func(ctx context.Context, _, _ string) (net.Conn, error) {
			ctx, cancel := context.WithTimeout(ctx, subscribeWithin)
			defer cancel()
			return s.dial(ctx, shard)
		},
	})
}

// dial connects to the first side of those that may be used that answers.
func (s *subscriber) dial(ctx context.Context, shard string) (net.Conn, error) {
	for {
		v := s.m.view.Load()
		var errs error
		for _, side := range turn(v) {
			conn, err := s.dialSide(ctx, side, shard)
			if err != nil {
				errs = errors.Join(errs, fmt.Errorf("migrate: subscribe on the %v: %w", side, err))
				continue
			}
			return s.keep(conn, side)
		}
		if errs != nil {
			return nil, errs
		}
		select { // no record was read yet
		case <-v.changed:
		case <-s.m.closing:
			return nil, ErrClosed
		case <-ctx.Done():
			return nil, fmt.Errorf("%w: %s: %w", ErrNoSide, s.m.waitsFor(), context.Cause(ctx))
		}
	}
}

// turn returns the sides on which a subscription may be, best first.
func turn(v *view) []protocol.Side {
	switch {
	case v.phase == protocol.Unknown:
		return nil
	case v.phase == protocol.Done:
		return []protocol.Side{protocol.Target}
	case v.leased:
		return []protocol.Side{protocol.Source, protocol.Target}
	}
	return []protocol.Side{protocol.Source}
}

// keep remembers a connection, unless its side has had its turn meanwhile.
func (s *subscriber) keep(conn net.Conn, side protocol.Side) (net.Conn, error) {
	c := &subConn{Conn: conn, to: s, side: side}
	s.mu.Lock()
	closed := s.closed
	if !closed {
		s.conns[c] = struct{}{}
	}
	s.mu.Unlock()
	if closed {
		_ = conn.Close()
		return nil, ErrClosed
	}
	s.cut(s.m.view.Load()) // it is known before the view is looked at, so that no change is missed
	return c, nil
}

// run cuts what is on the wrong side, whenever that changes.
func (s *subscriber) run(ctx context.Context) {
	for {
		v := s.m.view.Load()
		s.cut(v)
		select {
		case <-ctx.Done():
			return
		case <-v.changed:
		}
	}
}

// cut closes the connections to sides that have had their turn. The
// subscriptions stay, and connect anew.
func (s *subscriber) cut(v *view) {
	sides := turn(v)
	if len(sides) == 0 {
		return
	}
	s.each(func(c *subConn) bool {
		for _, side := range sides {
			if c.side == side {
				return false
			}
		}
		return true
	})
}

// each closes the connections that f picks.
func (s *subscriber) each(f func(*subConn) bool) {
	s.mu.Lock()
	var list []*subConn
	for c := range s.conns {
		if f(c) {
			list = append(list, c)
		}
	}
	s.mu.Unlock()
	for _, c := range list {
		_ = c.Close()
	}
}

func (s *subscriber) close() {
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	s.each(func(*subConn) bool { return true })
}

// dialSide connects to the master that has a shard's channels, or to any.
func (s *subscriber) dialSide(ctx context.Context, side protocol.Side, shard string) (net.Conn, error) {
	client := s.m.sides[side].ctl
	nodes, err := client.Masters(ctx)
	if err != nil {
		return nil, err
	}
	addr, ok := nodeOf(nodes, shard)
	if !ok {
		return nil, errors.New("no master has the channel's slot")
	}
	conn, err := client.Dial(ctx, addr)
	if err != nil {
		return nil, err
	}
	cfg := client.Config()
	if err := logIn(ctx, conn, cfg.Username, string(cfg.Password)); err != nil {
		_ = conn.Close()
		return nil, err
	}
	return conn, nil
}

func nodeOf(nodes []topology.Node, shard string) (addr string, ok bool) {
	slot := command.Slot(shard)
	for _, n := range nodes {
		for _, r := range n.Slots {
			if shard == "" || r.From <= slot && slot <= r.To {
				return n.Addr, true
			}
		}
	}
	return "", false
}

// logIn authenticates a bare connection. go-redis's handshake, which follows,
// has no credentials of its own.
func logIn(ctx context.Context, conn net.Conn, user, password string) error {
	if password == "" {
		return nil
	}
	if deadline, ok := ctx.Deadline(); ok {
		if err := conn.SetDeadline(deadline); err != nil {
			return err
		}
	}
	words := []string{"AUTH", password}
	if user != "" {
		words = []string{"AUTH", user, password}
	}
	var b bytes.Buffer
	b.WriteString("*" + strconv.Itoa(len(words)) + "\r\n")
	for _, w := range words {
		b.WriteString("$" + strconv.Itoa(len(w)) + "\r\n" + w + "\r\n")
	}
	if _, err := conn.Write(b.Bytes()); err != nil {
		return err
	}
	line := make([]byte, 0, 64)
	for one := make([]byte, 1); !bytes.HasSuffix(line, []byte("\r\n")) && len(line) < 512; {
		if _, err := conn.Read(one); err != nil {
			return err
		}
		line = append(line, one[0])
	}
	if line[0] != '+' {
		return fmt.Errorf("log in: %s", bytes.TrimSpace(line))
	}
	return conn.SetDeadline(time.Time{})
}
