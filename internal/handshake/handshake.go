// Package handshake marks the commands by which Transload itself checks a new
// connection. Hooks see them as they see the app's, which they are not: meters and
// spans leave them out.
package handshake

import (
	"context"

	"github.com/redis/go-redis/v9"
)

// command is a redis.Cmd in all but its type, which is the mark.
type command struct{ *redis.Cmd }

// Do sends a command on a new connection, marked, and returns it.
func Do(ctx context.Context, cn *redis.Conn, args ...any) *redis.Cmd {
	cmd := command{redis.NewCmd(ctx, args...)}
	_ = cn.Process(ctx, cmd) // it is in cmd too
	return cmd.Cmd
}

// Is reports whether a command was sent by Do.
func Is(cmd redis.Cmder) bool {
	_, ok := cmd.(command)
	return ok
}
