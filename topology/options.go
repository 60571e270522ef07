package topology

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"strings"
	"unicode/utf8"

	"github.com/redis/go-redis/v9"
)

// ErrOption is in the errors of Open that an option causes.
var ErrOption = errors.New("topology: bad option")

// An Option changes what Open and Client.Node build.
type Option func(*settings) error

// settings is what options say.
type settings struct {
	name       string
	onConnect  func(context.Context, *redis.Conn) error
	wrap       func(net.Conn) net.Conn
	noRetries  bool
	noReplicas bool
	guard      func(*slog.Logger) guard // nil: no breakers
	hooks      []redis.Hook
	logger     *slog.Logger
	hear       func(Event)
	side       string
	measured   bool
	clients    []func(*redis.Client)
}

func newSettings(opts []Option) (settings, error) {
	var s settings
	for _, opt := range opts {
		if err := opt(&s); err != nil {
			return s, err
		}
	}
	return s, nil
}

// WithName names every connection, by SETNAME in its handshake, so that it can be
// found in CLIENT LIST. The default is no name.
func WithName(name string) Option {
	return func(s *settings) error {
		// What CLIENT SETNAME refuses: a refused name fails every connection.
		if strings.ContainsFunc(name, func(r rune) bool { return r < '!' || r > '~' }) {
			return errors.Join(ErrOption, errors.New("a connection's name holds only printable ASCII without spaces"))
		}
		s.name = name
		return nil
	}
}

// WithOnConnect has f called for each new connection to a data server, after its
// handshake was answered and before a command of the caller's is sent on it.
// Connections to sentinels are not shown to f. If f returns an error the
// connection is closed and the command fails with that error, less one level of
// wrapping: return one that is not wrapped. The default is none.
func WithOnConnect(f func(context.Context, *redis.Conn) error) Option {
	return func(s *settings) error { s.onConnect = f; return nil }
}

// WithConn has f wrap each new connection to a data server. What f returns sees
// RESP, above TLS. Connections to sentinels are not shown to f. The default is
// none.
func WithConn(f func(net.Conn) net.Conn) Option {
	return func(s *settings) error { s.wrap = f; return nil }
}

// WithoutRetries has every command sent once at most. On a cluster redirections
// are not followed either: a caller sees MOVED and ASK. The default is the
// Config's Retries.
func WithoutRetries() Option {
	return func(s *settings) error { s.noRetries = true; return nil }
}

// WithoutReplicas has every read go to the primary, whatever the Config says. It
// is for who must not read what is a moment old. The default is the Config's
// Reader.
func WithoutReplicas() Option {
	return func(s *settings) error { s.noReplicas = true; return nil }
}

// WithHook adds a hook to the client, on a cluster to the client of every node.
// Hooks see the commands of handshakes too, passwords among them. The default is
// none.
func WithHook(h redis.Hook) Option {
	return func(s *settings) error { s.hooks = append(s.hooks, h); return nil }
}

// WithClient has f called with each go-redis client that is built for a data
// server, before it is used: for instruments that want the client itself, as
// package tracing. Open calls it, and on a cluster whoever sends a command to a
// node that is new. The default is none.
func WithClient(f func(*redis.Client)) Option {
	return func(s *settings) error { s.clients = append(s.clients, f); return nil }
}

// WithSide tells which side of a migration the client is of, where a process
// watches two: "source", "target". It is the label "side" of every metric and
// the key "side" of events in the log. The default is none.
func WithSide(side string) Option {
	return func(s *settings) error {
		if side == "" || !utf8.ValidString(side) {
			return errors.Join(ErrOption, errors.New("a side needs a name"))
		}
		s.side = side
		return nil
	}
}

// WithMetrics has each operation measured, for Metrics and for what Health says
// of performance. It costs less than a microsecond an operation, and no
// allocation. The default is not to.
func WithMetrics() Option {
	return func(s *settings) error { s.measured = true; return nil }
}

// WithEvents has f called for each Event, one after the other in their order,
// never two at a time, on a goroutine of its own. A slow f holds up nobody but
// later events: 256 wait for it, further ones are dropped, and the log tells how
// many. Close waits a second for the last ones, so f should not call it. The
// default is none.
func WithEvents(f func(Event)) Option {
	return func(s *settings) error { s.hear = f; return nil }
}

// WithLogger tells where to log: events, at level Warn where people should look
// and Info otherwise, and go-redis's own lines, for the whole process, at level
// Debug. The default is not to log.
func WithLogger(l *slog.Logger) Option {
	return func(s *settings) error { s.logger = l; return nil }
}
