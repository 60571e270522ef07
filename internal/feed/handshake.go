package feed

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
)

// ErrNoTracking means that a server cannot say which keys change: it does not
// know CLIENT TRACKING (before 6.0, or not a real Redis) or does not allow it.
// The only proof of equality is then a full pass.
var ErrNoTracking = errors.New("feed: the server has no CLIENT TRACKING, or does not allow it")

// quiet is a channel to which nobody publishes.
const quiet = "transload:feed"

// dial connects to a master and turns tracking on, for the keys under prefixes. From then on changes are
// handed to in's handlers, once serve runs.
func dial(ctx context.Context, opt *redis.Options, cluster bool, prefixes []string, in reader) (*conn, error) {
	ctx, cancel := context.WithTimeout(ctx, opt.DialTimeout)
	defer cancel()
	nc, err := opt.Dialer(ctx, opt.Network, opt.Addr)
	if err != nil {
		return nil, err
	}
	in.Reader = bufio.NewReaderSize(nc, readBuffer)
	c := &conn{net: nc, in: in, self: Identity{Addr: opt.Addr}}
	stop := context.AfterFunc(ctx, func() { _ = nc.SetDeadline(time.Unix(1, 0)) })
	if err = c.handshake(ctx, opt, cluster, prefixes); err == nil && !stop() {
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
func (c *conn) handshake(ctx context.Context, opt *redis.Options, cluster bool, prefixes []string) error {
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
	tracking := []string{"client", "tracking", "on", "bcast"}
	for _, prefix := range prefixes {
		tracking = append(tracking, "prefix", prefix)
	}
	if reply, err := c.first(tracking); err != nil {
		return refusal(reply, err)
	}
	if err := c.subscribe(); err != nil {
		return err
	}
	return c.identify(cluster)
}

// subscribe puts the connection under the server's limit for subscribers.
// SUBSCRIBE answers out of band, or with an error where the channel is not
// allowed: then nothing would bound what the server keeps for a reader that has
// stopped, and there is no feed.
func (c *conn) subscribe() error {
	if _, err := c.net.Write(encode([]string{"subscribe", quiet}, []string{"ping"})); err != nil {
		return err
	}
	for {
		reply, err := c.in.next()
		if err != nil {
			return err
		}
		if refused, ok := reply.(replyError); ok {
			return fmt.Errorf("feed: subscribe to %s, without which a stalled feed would fill the server's memory: %w", quiet, refused)
		}
		if reply == "PONG" {
			return nil
		}
	}
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
