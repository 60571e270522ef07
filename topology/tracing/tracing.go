// Package tracing has the clients of package topology tell OpenTelemetry of what
// they send, by go-redis's own redisotel. It is a package of its own so that an
// app without traces does not carry OpenTelemetry's.
package tracing

import (
	"slices"

	"github.com/redis/go-redis/extra/redisotel/v9"
	"github.com/redis/go-redis/v9"

	"github.com/transload/transload/internal/command"
	"github.com/transload/transload/internal/handshake"
	"github.com/transload/transload/topology"
)

// With has every command, pipeline and dial of the client make a span: "get",
// "redis.pipeline set get", "redis.dial". Handshakes, which hold passwords, make
// none whatever opts say. Keys and values are not in spans, since sessions are
// among them, unless opts hold redisotel.WithDBStatement(true). Spans go to the
// global tracer provider, or to that of redisotel.WithTracerProvider.
func With(opts ...redisotel.TracingOption) topology.Option {
	opts = append([]redisotel.TracingOption{redisotel.WithDBStatement(false)}, opts...)
	opts = append(opts, redisotel.WithCommandFilter(private), redisotel.WithCommandsFilter(anyPrivate))
	return topology.WithClient(func(rdb *redis.Client) {
		_ = redisotel.InstrumentTracing(rdb, slices.Clone(opts)...) // it refuses other types than this
	})
}

// private reports whether a command belongs to a connection: logging in, naming
// it, choosing a database. What is sent by a client that logs in by itself is not
// the app's to send, and what holds a password is among it. So do the client's own
// checks of a new connection.
func private(cmd redis.Cmder) bool {
	if handshake.Is(cmd) {
		return true
	}
	c, ok := command.Lookup(cmd.Args())
	return ok && c.Class == command.Denied && !transaction[c.Name]
}

// transaction holds what go-redis puts around the commands of a transaction.
var transaction = map[string]bool{"multi": true, "exec": true, "watch": true, "unwatch": true}

func anyPrivate(cmds []redis.Cmder) bool { return slices.ContainsFunc(cmds, private) }
