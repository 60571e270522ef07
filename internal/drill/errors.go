package drill

import (
	"context"
	"errors"
	"io"
	"net"
	"syscall"

	"github.com/redis/go-redis/v9"
)

// replies are the beginnings of a server's errors that a failover brings, and
// what a drill calls them.
var replies = []string{"READONLY", "MASTERDOWN", "CLUSTERDOWN", "LOADING", "NOREPLICAS", "UNBLOCKED", "TRYAGAIN", "MOVED", "ASK", "NOPERM", "OOM"}

// kindOf sorts an error that the app was shown into one of few kinds, for people
// to count by.
func kindOf(err error) string {
	for _, prefix := range replies {
		if redis.HasErrorPrefix(err, prefix) {
			return prefix
		}
	}
	var timeout net.Error
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		return "deadline"
	case errors.Is(err, redis.ErrPoolTimeout), errors.Is(err, redis.ErrPoolExhausted):
		return "no free connection"
	case errors.Is(err, syscall.ECONNREFUSED):
		return "connection refused"
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, net.ErrClosed),
		errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE):
		return "connection lost"
	case errors.As(err, &timeout) && timeout.Timeout():
		return "time-out"
	}
	if _, ok := errors.AsType[redis.Error](err); ok {
		return "server's error"
	}
	return "other"
}
