package topology

import (
	"context"
	"errors"
	"net"
	"strconv"
	"time"

	"github.com/redis/go-redis/v9"
)

// asker builds a client by which one server is asked how it is: with one
// connection, without retries, and never held up by a pool that stops dialling.
func (c *Client) asker(addr, username string, password Secret, name string) *redis.Client {
	return redis.NewClient(&redis.Options{
		Addr:       addr,
		ClientName: name,
		Username:   username,
		Password:   string(password),
		Dialer: func(ctx context.Context, network, addr string) (net.Conn, error) {
			conn, err := c.dialler.dial(ctx, network, addr)
			if err != nil {
				return unborn{err}, nil
			}
			return conn, nil
		},
		MaxRetries:               -1,
		DialTimeout:              c.meetingTime(),
		DialerRetries:            1,
		ReadTimeout:              c.answerTime(),
		ContextTimeoutEnabled:    true,
		PoolSize:                 1,
		PipelinePoolSize:         -1,
		DisableIdentity:          true,
		MaintNotificationsConfig: quiet(),
	})
}

// answerTime is how long a server may take to say how it is before it counts for
// one that does not answer: ReadTimeout, since commands do not wait longer for
// it either, but not so long that a failover waits.
func (c *Client) answerTime() time.Duration {
	return min(max(c.cfg.ReadTimeout, 100*time.Millisecond), 2*time.Second)
}

// meetingTime is the same where a connection must be made first, with all that
// belongs to it. A hung server is found out on a connection that was there.
func (c *Client) meetingTime() time.Duration {
	return min(3*c.answerTime(), c.cfg.DialTimeout)
}

// probe asks a data server how it is, again and again until ctx is done.
func (c *Client) probe(ctx context.Context, rdb *redis.Client, p *pulse, tell func(nodeState)) {
	limit := c.meetingTime()
	for {
		call, began := p.next(), time.Now()
		n := askNode(ctx, rdb, limit)
		if n.err != nil && !timedOut(n.err) {
			n = askNode(ctx, rdb, c.meetingTime()) // a promotion ends connections, and then the server answers
		}
		n.Addr, n.asked = rdb.Options().Addr, began
		limit = c.meetingTime()
		if n.err == nil {
			n.answered, limit = time.Now(), c.answerTime()
		}
		if ctx.Err() != nil {
			return
		}
		tell(n)
		if !p.pause(ctx, began, call, hastily) {
			return
		}
	}
}

// askNode asks a data server once. One that refuses to tell does answer.
func askNode(ctx context.Context, rdb *redis.Client, limit time.Duration) nodeState {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	p := rdb.Pipeline()
	ping, info := p.Ping(ctx), p.Info(ctx, "replication")
	_, err := p.Exec(ctx)
	if _, reply := errors.AsType[redis.Error](err); err != nil && !reply {
		return nodeState{err: err}
	}
	n := nodeState{loading: redis.IsLoadingError(ping.Err()) || redis.IsMasterDownError(ping.Err())}
	if redis.IsAuthError(err) {
		n.refused = err
	}
	n.read(pairs(info.Val(), "\n", ":"), time.Now())
	return n
}

// read takes over what a server says in INFO's section about replication.
func (n *nodeState) read(info map[string]string, now time.Time) {
	number := func(name string) int64 {
		i, err := strconv.ParseInt(info[name], 10, 64)
		if err != nil {
			return -1
		}
		return i
	}
	ago := func(name string) time.Time {
		if s := number(name); s >= 0 {
			return now.Add(-time.Duration(s) * time.Second)
		}
		return time.Time{}
	}
	switch info["role"] {
	case "master":
		n.says, n.offset, n.connected = Master, number("master_repl_offset"), int(number("connected_slaves"))
	case "slave":
		n.says, n.offset = Replica, number("slave_repl_offset")
		n.of = net.JoinHostPort(info["master_host"], info["master_port"])
		n.linkUp, n.syncing = info["master_link_status"] == "up", info["master_sync_in_progress"] == "1"
		n.priority = int(number("slave_priority"))
		n.heard, n.linkLost = ago("master_last_io_seconds_ago"), ago("master_link_down_since_seconds")
	}
}

// after completes what a node says now with what is known from before.
func (n nodeState) after(old *nodeState) nodeState {
	if old == nil {
		return n
	}
	if n.err != nil { // what it said last stays
		asked, err := n.asked, n.err
		n = *old
		n.asked, n.err = asked, err
		return n
	}
	switch {
	case n.says == Master && old.says == Replica:
		n.turned = n.answered
	case n.says == Master:
		n.turned = old.turned
	case n.says == Replica && n.heard.IsZero():
		n.heard = old.heard // it tells only while the link is up
	}
	return n
}

func timedOut(err error) bool {
	e, ok := errors.AsType[net.Error](err)
	return ok && e.Timeout() || errors.Is(err, context.DeadlineExceeded)
}
